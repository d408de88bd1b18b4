"""The admin: calls can only be looked at, organisations with calls stay, rates can be entered."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from tests.support import factories, scope_queries
from tests.support.rows import NOON, enter, row
from usage_billing.models import (
    DailyUsage,
    ExchangeRate,
    Membership,
    Organization,
    UsageRecord,
)
from usage_billing.models.organization import UNATTRIBUTED

CALLS = "admin:usage_billing_usagerecord"
ORGANIZATIONS = "admin:usage_billing_organization"
RATES = "admin:usage_billing_exchangerate"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def in_english(settings: Any) -> None:
    settings.LANGUAGE_CODE = "en"


@pytest.fixture
def superadmin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def acme() -> Organization:
    return Organization.objects.create(name="Acme", slug="acme", timezone="Europe/Moscow")


def unattributed() -> Organization:
    return Organization.objects.get_or_create(slug=UNATTRIBUTED, defaults={"name": "Unattributed"})[0]


def listed(response: Any, column: str) -> list[Any]:
    changelist = response.context["cl"]
    return [getattr(changelist.model_admin, column)(call) for call in changelist.result_list]


def test_every_page_opens(superadmin: Client, acme: Organization) -> None:
    person = User.objects.create_user("anna")
    Membership.objects.create(org=acme, user=person, role="owner")
    ExchangeRate.objects.create(date=date(2026, 5, 20), usd_rub=Decimal("80"))
    enter(row(acme, user_id=person.pk))
    addresses = [reverse("admin:index"), *(reverse(f"{name}_changelist") for name in (CALLS, ORGANIZATIONS, RATES))]
    addresses += [reverse(f"admin:auth_{name}_{page}") for name in ("user", "group") for page in ("changelist", "add")]
    addresses += [reverse(f"{ORGANIZATIONS}_add"), reverse(f"{RATES}_add")]
    addresses += [
        reverse(f"{name}_change", args=[key])
        for name, key in (
            (CALLS, UsageRecord.objects.get().pk),
            (ORGANIZATIONS, acme.pk),
            (RATES, "2026-05-20"),
            ("admin:auth_user", person.pk),
        )
    ]
    assert {address: superadmin.get(address).status_code for address in addresses} == dict.fromkeys(addresses, 200)


def test_daily_totals_are_not_in_the_admin() -> None:
    assert (admin.site.is_registered(UsageRecord), admin.site.is_registered(DailyUsage)) == (True, False)


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_superuser_cannot_add_change_or_delete_a_call(superadmin: Client, acme: Organization) -> None:
    enter(row(acme))
    call = UsageRecord.objects.get()
    addresses = [
        reverse(f"{CALLS}_add"),
        reverse(f"{CALLS}_change", args=[call.pk]),
        reverse(f"{CALLS}_delete", args=[call.pk]),
    ]
    change = {"ai_model": "another", "cost_usd": "0"}
    assert [superadmin.post(address, change).status_code for address in addresses] == [403, 403, 403]
    delete_selected = {"action": "delete_selected", "_selected_action": [call.pk], "post": "yes"}
    superadmin.post(reverse(f"{CALLS}_changelist"), delete_selected)
    assert UsageRecord.objects.values().get() == {
        name: value for name, value in vars(call).items() if not name.startswith("_")
    }


def test_call_page_has_no_field_to_fill_in(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=None, cost_rub=None, price_source="unpriced:model"))
    response = superadmin.get(reverse(f"{CALLS}_change", args=[UsageRecord.objects.get().pk]))
    assert response.context["adminform"].form.fields == {}
    assert response.context["has_change_permission"] is False


def test_calls_are_listed_newest_first_without_counting_them(
    superadmin: Client, acme: Organization, django_assert_num_queries: Any
) -> None:
    gone, left, anna = (User.objects.create_user(name) for name in ("gone", "left", "anna"))
    enter(
        row(acme, user_id=anna.pk, created_at=NOON),
        row(acme, user_id=gone.pk, created_at=NOON - timedelta(hours=1)),
        row(acme, created_at=NOON - timedelta(hours=2), status="failed", error_code="overloaded", request_type=""),
        row(acme, user_id=left.pk, created_at=NOON - timedelta(hours=3)),
        *(row(acme, created_at=NOON - timedelta(days=1, hours=n)) for n in range(60)),
    )
    gone.delete()
    left.delete()
    # Session, user; the page of calls, their organisations, their users, deleted ones' names; the organisations to
    # filter by, and twice the first and last day, for the date hierarchy; whether older ones are archived.
    with django_assert_num_queries(10 + scope_queries.of_a_superadmin()) as queries:
        response = superadmin.get(reverse(f"{CALLS}_changelist"))
    assert [query["sql"] for query in queries.captured_queries if "count(" in query["sql"].lower()] == []
    assert len(response.context["cl"].result_list) == 50
    assert listed(response, "who")[:4] == ["anna", "gone", "system", "left"]
    assert listed(response, "kind")[:3] == ["custom_analysis", "custom_analysis", "no type"]
    assert listed(response, "status_text")[1:3] == ["succeeded", "failed · overloaded"]


def test_days_to_choose_lie_between_the_first_call_and_the_last(superadmin: Client, acme: Organization) -> None:
    enter(row(acme), row(acme, created_at=NOON - timedelta(days=50)), row(acme, created_at=NOON - timedelta(days=400)))

    def choices(**query: int) -> list[str]:
        response = superadmin.get(reverse(f"{CALLS}_changelist"), query)
        text = response.content.decode()
        return sorted(set(re.findall(r"\?((?:usage_date__\w+=\d+(?:&amp;)?)+)\"", text)))

    assert choices() == ["usage_date__year=2025", "usage_date__year=2026"]
    assert choices(usage_date__year=2026)[:3] == [
        "usage_date__month=3&amp;usage_date__year=2026",
        "usage_date__month=4&amp;usage_date__year=2026",
        "usage_date__month=5&amp;usage_date__year=2026",
    ]
    assert "usage_date__day=20&amp;usage_date__month=5&amp;usage_date__year=2026" in choices(
        usage_date__year=2026, usage_date__month=5
    )


def test_organisation_and_call_lead_to_their_costs(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, agent_id="a & b"))
    page = reverse("usage_billing:usage")
    organisations = superadmin.get(reverse(f"{ORGANIZATIONS}_changelist")).content.decode()
    assert f'href="{page}?org={acme.pk}"' in organisations
    call = superadmin.get(reverse(f"{CALLS}_change", args=[UsageRecord.objects.get().pk])).content.decode()
    links = re.findall(rf'href="{page}\?([^"]*)"', call)
    may = "&amp;from=2026-05-01&amp;to=2026-05-31"
    assert links == [
        f"org={acme.pk}{may}",
        f"agent_id=a+%26+b{may}",
        f"ai_provider=openai&amp;ai_model=gpt-5-mini{may}",
        f"org={acme.pk}&amp;from=2026-05-20&amp;to=2026-05-20",
    ]
    narrowed = superadmin.get(f"{page}?{links[1].replace('&amp;', '&')}", follow=True)
    assert (narrowed.request["PATH_INFO"], narrowed.context["total"]["requests_count"]) == (
        reverse("usage_billing:ai-costs"),
        1,
    )


def test_staff_are_led_to_costs_that_they_may_see(client: Client, acme: Organization) -> None:
    enter(row(acme, request_type="ours"), row(factories.organization(), request_type="theirs"))
    person = factories.owner(acme)
    person.is_staff = True
    person.save()
    person.user_permissions.set(Permission.objects.all())
    client.force_login(person)
    call = UsageRecord.objects.get(org=acme)
    pages = (reverse(f"{ORGANIZATIONS}_changelist"), reverse(f"{CALLS}_change", args=[call.pk]))
    text = "".join(client.get(page).content.decode() for page in pages)
    links = re.findall(r'href="([^"]*\?(?:org|agent_id|ai_provider)=[^"]*)"', text)
    assert len(links) == 5
    for link in links:
        shown = client.get(link.replace("&amp;", "&"))
        assert (shown.status_code, shown.context["page"].scope.owned_org_ids) == (200, {acme.pk})


def test_calls_can_be_narrowed_to_an_organisation(superadmin: Client, acme: Organization) -> None:
    other = Organization.objects.create(name="Globex", slug="globex", timezone="Europe/Moscow")
    enter(row(acme), row(other), row(other))
    response = superadmin.get(reverse(f"{CALLS}_changelist"), {"org__id__exact": other.pk})
    assert [call.org for call in response.context["cl"].result_list] == [other, other]


def test_call_of_a_deleted_user_can_be_opened(superadmin: Client, acme: Organization) -> None:
    gone = User.objects.create_user("gone")
    enter(row(acme, user_id=gone.pk))
    gone_id = gone.pk
    asked = superadmin.get(reverse("admin:auth_user_delete", args=[gone_id])).content.decode()
    assert "1 call stays in the ledger, under the name of its user" in asked
    response = superadmin.post(reverse("admin:auth_user_delete", args=[gone_id]), {"post": "yes"})
    assert (response.status_code, User.objects.filter(pk=gone_id).exists()) == (302, False)
    response = superadmin.get(reverse(f"{CALLS}_change", args=[UsageRecord.objects.get(user_id=gone_id).pk]))
    assert "gone" in response.content.decode()


def test_calls_are_found_by_status_day_and_the_beginning_of_their_id(superadmin: Client, acme: Organization) -> None:
    enter(
        row(acme, request_id="chatcmpl-Abc1"),
        row(acme, request_id="chatcmpl-abc2", status="failed"),
        row(acme, request_id="msg-chatcmpl", created_at=NOON - timedelta(days=9)),
    )

    def found(**query: str) -> list[str]:
        response = superadmin.get(reverse(f"{CALLS}_changelist"), query)
        return sorted(call.request_id for call in response.context["cl"].result_list)

    assert found() == ["chatcmpl-Abc1", "chatcmpl-abc2", "msg-chatcmpl"]
    assert found(q="chatcmpl") == ["chatcmpl-Abc1", "chatcmpl-abc2"]
    assert found(status__exact="failed") == ["chatcmpl-abc2"]
    assert found(usage_date__gte="2026-05-01", usage_date__lt="2026-05-20") == ["msg-chatcmpl"]


def test_what_callers_send_is_never_markup(superadmin: Client, acme: Organization) -> None:
    attack = "<script>alert(1)</script>"
    texts = ("agent_id", "request_type", "ai_provider", "ai_model", "error_code", "price_source", "request_id")
    enter(row(acme, **dict.fromkeys(texts, attack), request_metadata={attack: attack}, usage={attack: 1}))
    for address in (
        reverse(f"{CALLS}_changelist"),
        reverse(f"{CALLS}_change", args=[UsageRecord.objects.get().pk]),
    ):
        text = superadmin.get(address).content.decode()
        assert (attack in text, "&lt;script&gt;alert(1)" in text) == (False, True)


# ── Organisations ────────────────────────────────────────────────────────────────────────────────────────────────


def test_organisation_without_calls_can_be_deleted(superadmin: Client, acme: Organization) -> None:
    response = superadmin.post(reverse(f"{ORGANIZATIONS}_delete", args=[acme.pk]), {"post": "yes"})
    assert (response.status_code, Organization.objects.filter(pk=acme.pk).exists()) == (302, False)


@pytest.mark.parametrize("calls", [1, 30])
def test_organisation_with_calls_is_protected_without_listing_them(
    superadmin: Client, acme: Organization, calls: int, django_assert_num_queries: Any
) -> None:
    enter(*(row(acme) for _ in range(calls)))
    address = reverse(f"{ORGANIZATIONS}_delete", args=[acme.pk])
    with django_assert_num_queries(4 + scope_queries.of_a_superadmin()):
        page = superadmin.get(address)
    assert page.context["protected"] == ["The AI calls of “Acme”. Close the organisation instead."]
    superadmin.post(address, {"post": "yes"})
    delete_selected = {"action": "delete_selected", "_selected_action": [acme.pk], "post": "yes"}
    superadmin.post(reverse(f"{ORGANIZATIONS}_changelist"), delete_selected)
    assert Organization.objects.filter(pk=acme.pk).exists()


def test_unattributed_cannot_be_deleted_nor_renamed_away(superadmin: Client) -> None:
    reserved = unattributed()
    assert superadmin.post(reverse(f"{ORGANIZATIONS}_delete", args=[reserved.pk]), {"post": "yes"}).status_code == 403
    delete_selected = {"action": "delete_selected", "_selected_action": [reserved.pk], "post": "yes"}
    superadmin.post(reverse(f"{ORGANIZATIONS}_changelist"), delete_selected)
    change = {"name": "Nobody's", "slug": "other", "timezone": "Europe/Moscow", "language": "ru", **NO_MEMBERS}
    superadmin.post(reverse(f"{ORGANIZATIONS}_change", args=[reserved.pk]), change)
    reserved.refresh_from_db()
    assert (reserved.name, reserved.slug) == ("Nobody's", UNATTRIBUTED)


NO_MEMBERS = {"memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0}


def test_organisation_is_made_with_its_members(superadmin: Client) -> None:
    olga = User.objects.create_user("olga")
    superadmin.post(
        reverse(f"{ORGANIZATIONS}_add"),
        {
            "name": "Globex",
            "slug": "globex",
            "timezone": "Asia/Kolkata",
            "language": "en",
            "memberships-TOTAL_FORMS": 1,
            "memberships-INITIAL_FORMS": 0,
            "memberships-0-user": olga.pk,
            "memberships-0-role": "owner",
        },
    )
    member = Membership.objects.get()
    assert (member.org.name, member.org.timezone, member.user, member.role) == ("Globex", "Asia/Kolkata", olga, "owner")


def test_unknown_zone_is_refused(superadmin: Client) -> None:
    change = {"name": "Globex", "slug": "globex", "timezone": "Mars/Olympus", "language": "ru", **NO_MEMBERS}
    response = superadmin.post(reverse(f"{ORGANIZATIONS}_add"), change)
    assert response.context["adminform"].form.errors == {
        "timezone": ["“Mars/Olympus” is not a time zone. Write one such as Europe/Moscow."]
    }


def test_zone_stays_once_it_has_dated_a_call(superadmin: Client, acme: Organization) -> None:
    address = reverse(f"{ORGANIZATIONS}_change", args=[acme.pk])

    def zone_after(zone: str) -> str:
        superadmin.post(address, {"name": "Acme", "slug": "acme", "timezone": zone, "language": "ru", **NO_MEMBERS})
        acme.refresh_from_db()
        return acme.timezone

    assert zone_after("Asia/Tokyo") == "Asia/Tokyo"
    enter(row(acme))
    assert zone_after("Europe/Paris") == "Asia/Tokyo"


# ── Exchange rates ───────────────────────────────────────────────────────────────────────────────────────────────


def test_rate_can_be_changed_and_is_then_marked_as_entered_by_hand(superadmin: Client) -> None:
    ExchangeRate.objects.create(date=date(2026, 5, 20), usd_rub=Decimal("80"), source="cbr")
    superadmin.post(reverse(f"{RATES}_change", args=["2026-05-20"]), {"usd_rub": "81.5", "date": "2026-05-21"})
    assert list(ExchangeRate.objects.values_list("date", "usd_rub", "source")) == [
        (date(2026, 5, 20), Decimal("81.5"), "manual")
    ]


def test_rate_can_be_added_once_for_a_day_and_is_more_than_nothing(superadmin: Client) -> None:
    for rate in ("0", "-1", "78.25", "79"):
        superadmin.post(reverse(f"{RATES}_add"), {"date": "2026-05-21", "usd_rub": rate})
    assert list(ExchangeRate.objects.values_list("date", "usd_rub", "source")) == [
        (date(2026, 5, 21), Decimal("78.25"), "manual")
    ]


# ── Words ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "declined"),
    [
        ("usage_billing_organization", "организацию"),
        ("usage_billing_priceoverride", "собственную цену"),
        ("usage_billing_repricerun", "пересчёт стоимости"),
        ("usage_billing_exchangerate", "курс USD/RUB"),
        ("auth_user", "пользователя"),
        ("auth_group", "группу"),
    ],
)
def test_russian_titles_and_buttons_are_declined(
    superadmin: Client, acme: Organization, name: str, declined: str
) -> None:
    russian = {"accept-language": "ru"}
    listed = superadmin.get(reverse(f"admin:{name}_changelist"), headers=russian)
    assert f"Добавить {declined}" in listed.content.decode()
    assert declined in listed.context["title"]
    added = superadmin.get(reverse(f"admin:{name}_add"), headers=russian)
    assert added.context["title"] == f"Добавить {declined}"


def test_messages_name_the_model_in_the_nominative(superadmin: Client, acme: Organization) -> None:
    address = reverse(f"{ORGANIZATIONS}_delete", args=[Organization.objects.create(name="Gone", slug="gone").pk])
    asked = superadmin.get(address, headers={"accept-language": "ru"})
    assert "организацию" in asked.content.decode()
    answer = superadmin.post(address, {"post": "yes"}, follow=True, headers={"accept-language": "ru"})
    assert [str(message).split()[0].lower() for message in answer.context["messages"]] == ["организация"]
