"""The AI costs page: who sees which numbers, their format, and the words for unknown ones."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.support import factories, scope_queries
from tests.support.page_text import read
from tests.support.rows import NOON, enter, row
from usage_billing.api import export_slots
from usage_billing.models import ExchangeRate, Membership, Organization, UsageRecord
from usage_billing.pages import hooks
from usage_billing.recording.outbox import Backlog
from usage_billing.recording.recorder import Health

SUPERADMIN, OWN = "/superadmin/ai-costs", "/usage/"
MOST_EXPENSIVE_FIRST = "totals of the period, most expensive first"
TYPES, MODELS, AGENTS, ORGS, USERS, CONTENT = (
    f"{title}: {MOST_EXPENSIVE_FIRST}"
    for title in ("Request types", "Models", "Agents", "Organisations", "Users", "Content")
)
DAYS = "Totals by day, the oldest first"
LATEST = "The last calls of the period, newest first"
FAILURES = "Failed and unpriced calls by reason, most frequent first"
WELL = Health(backlog=Backlog(events=0, oldest_at=None, rejected=0, lost=0), lost=0, error="")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def at_noon(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """The clock stands at `NOON`, the language is English, and the recorder of this machine is not read."""
    settings.LANGUAGE_CODE = "en"
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOON)
    monkeypatch.setattr("usage_billing.recording.health", lambda: WELL)
    monkeypatch.setattr(hooks, "destination_sources", [])


def user(name: str, **attributes: Any) -> User:
    return User.objects.create_user(name, **attributes)


def organization(name: str, **attributes: Any) -> Organization:
    return Organization.objects.create(name=name, slug=name.lower(), timezone="Europe/Moscow", **attributes)


def logged_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def acme() -> Organization:
    return organization("Acme")


@pytest.fixture
def globex() -> Organization:
    return organization("Globex")


@pytest.fixture
def superadmin() -> Client:
    return logged_in(user("root", is_staff=True, is_superuser=True))


@pytest.fixture
def member_of() -> Callable[..., Client]:
    def log_in(*orgs: Organization, role: str = "member", name: str = "misha") -> Client:
        person = user(name)
        for org in orgs:
            Membership.objects.create(org=org, user=person, role=role)
        return logged_in(person)

    return log_in


@pytest.fixture
def owner_of(member_of: Callable[..., Client]) -> Callable[..., Client]:
    return lambda *orgs: member_of(*orgs, role="owner", name="olga")


@pytest.fixture
def two_tenants(acme: Organization, globex: Organization) -> None:
    enter(
        row(acme, request_type="weekly_digest", cost_usd=Decimal("0.25"), cost_rub=Decimal("20")),
        row(acme, request_type="custom_analysis", cost_usd=Decimal("0.75"), cost_rub=Decimal("60")),
        row(globex, request_type="globex_secret", cost_usd=Decimal("7777"), cost_rub=Decimal("622160")),
    )


# ── Who sees what ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("two_tenants")
def test_superadmin_sees_every_organisation(superadmin: Client) -> None:
    page = read(superadmin.get(SUPERADMIN))
    assert page.headings == ["AI costs"]
    assert page.cards["Calls"] == ["3", "new"]
    assert page.cards["Tokens"] == ["360", "new", "300 input, 60 output"]
    assert page.cards["Cost, USD"] == ["$7,778.00", "new"]
    assert page.cards["Cost, RUB"] == ["₽622,240.00", "new"]
    assert page.tables[TYPES] == [
        ["Request type", "USD", "Trend", "Calls", "Tokens", "RUB"],
        ["globex_secret 100.0%", "$7,777.00", "new", "1", "120", "₽622,160.00"],
        ["custom_analysis <\u00a00.1%", "$0.75", "new", "1", "120", "₽60.00"],
        ["weekly_digest <\u00a00.1%", "$0.25", "new", "1", "120", "₽20.00"],
    ]
    assert [line[0] for line in page.tables[ORGS][1:]] == ["Globex 100.0%", "Acme <\u00a00.1%"]


@pytest.mark.usefixtures("two_tenants")
def test_owner_sees_their_organisation_and_nothing_of_another(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization
) -> None:
    secrets = ("globex_secret", "7,777", "622,160", "Globex")
    everything = superadmin.get(SUPERADMIN).content.decode()
    assert [secret in everything for secret in secrets] == [True] * len(secrets)

    response = owner_of(acme).get(OWN)
    page = read(response)
    assert page.cards["Calls"][0] == "2"
    assert page.cards["Cost, USD"][0] == "$1.00"
    assert page.cards["Cost, RUB"][0] == "₽80.00"
    assert [line[0] for line in page.tables[TYPES][1:]] == ["custom_analysis 75.0%", "weekly_digest 25.0%"]
    assert ORGS not in page.tables
    assert len(page.tables[LATEST][1:]) == 2
    assert [secret in response.content.decode() for secret in secrets] == [False] * len(secrets)


def test_member_sees_only_their_own_calls(member_of: Callable[..., Client], acme: Organization) -> None:
    client = member_of(acme)
    misha = User.objects.get(username="misha")
    enter(
        row(acme, user_id=misha.pk, cost_usd=Decimal("0.11"), cost_rub=Decimal("9")),
        row(acme, user_id=user("colleague").pk, cost_usd=Decimal("0.22"), cost_rub=Decimal("18")),
        row(acme),
    )
    page = read(client.get(OWN))
    assert page.cards["Calls"][0] == "1"
    assert page.cards["Cost, USD"][0] == "$0.11"
    assert [line[6] for line in page.tables[LATEST][1:]] == ["misha"]


def test_member_sees_nothing_of_an_organisation_that_they_left(
    member_of: Callable[..., Client], acme: Organization
) -> None:
    client = member_of(acme)
    enter(row(acme, user_id=User.objects.get(username="misha").pk))
    assert read(client.get(OWN)).cards["Calls"][0] == "1"
    Membership.objects.all().delete()
    assert read(client.get(OWN)).cards == {}


@pytest.mark.usefixtures("two_tenants")
def test_outsider_is_told_that_they_belong_to_no_organisation() -> None:
    page = read(logged_in(user("stranger")).get(OWN))
    assert page.cards == {}
    assert page.titles == ["You belong to no organisation yet"]
    assert page.tables == {}


@pytest.mark.usefixtures("two_tenants")
@pytest.mark.parametrize("address", [SUPERADMIN, f"{SUPERADMIN}/", f"{SUPERADMIN}?days=7"])
def test_superadmin_page_refuses_others_and_names_theirs(
    address: str, owner_of: Callable[..., Client], acme: Organization
) -> None:
    response = owner_of(acme).get(address)
    assert response.status_code == 403
    page = read(response)
    assert (page.headings, page.cards, page.tables) == (["No access"], {}, {})
    assert '<a href="/usage/">' in response.content.decode()


def test_staff_without_superuser_is_refused(acme: Organization) -> None:
    response = logged_in(user("clerk", is_staff=True)).get(SUPERADMIN)
    assert response.status_code == 403
    assert "Admin" not in read(response).links


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (SUPERADMIN, "/login/?next=/superadmin/ai-costs"),
        (f"{SUPERADMIN}?days=7", "/login/?next=/superadmin/ai-costs%3Fdays%3D7"),
        (OWN, "/login/?next=/usage/"),
        ("/usage", "/login/?next=/usage"),
        ("/", "/login/"),
    ],
)
def test_anonymous_is_sent_to_log_in(client: Client, address: str, expected: str) -> None:
    response = client.get(address)
    assert (response.status_code, response["Location"]) == (302, expected)


def test_superadmin_at_usage_is_sent_to_their_page(superadmin: Client) -> None:
    response = superadmin.get("/usage/?days=7")
    assert (response.status_code, response["Location"]) == (302, "/superadmin/ai-costs?days=7")


def test_home_leads_to_the_right_page(superadmin: Client, owner_of: Callable[..., Client], acme: Organization) -> None:
    assert superadmin.get("/")["Location"] == "/superadmin/ai-costs"
    assert owner_of(acme).get("/")["Location"] == "/usage/"


def test_trailing_slash_is_optional(superadmin: Client, owner_of: Callable[..., Client], acme: Organization) -> None:
    owner = owner_of(acme)
    assert [superadmin.get(address).status_code for address in (SUPERADMIN, f"{SUPERADMIN}/")] == [200, 200]
    assert [owner.get(address).status_code for address in ("/usage", "/usage/")] == [200, 200]


def test_ways_into_the_admin_are_the_superadmins(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization
) -> None:
    group = superadmin.get("/superadmin/").context["sidebar_navigation"][0]
    assert [str(item["title"]) for item in group["items"]][:3] == ["AI costs", "Calls", "Organisations"]
    assert group["items"][0]["link"] == SUPERADMIN
    assert read(superadmin.get(SUPERADMIN)).links["Admin"] == "/superadmin/"
    assert "Admin" not in read(owner_of(acme).get(OWN)).links


def test_page_is_not_kept_by_caches(superadmin: Client) -> None:
    assert "no-store" in superadmin.get(SUPERADMIN)["Cache-Control"]


# ── Logging in ───────────────────────────────────────────────────────────────────────────────────────────────────


def set_password(name: str) -> None:
    person = User.objects.get(username=name)
    person.set_password("open sesame")
    person.save()


def test_owner_logs_in_and_out(client: Client, owner_of: Callable[..., Client], acme: Organization) -> None:
    owner_of(acme)
    set_password("olga")
    refused = client.post("/login/", {"username": "olga", "password": "wrong"})
    assert (refused.status_code, refused.context["form"].is_valid()) == (200, False)
    entered = client.post("/login/", {"username": "olga", "password": "open sesame", "next": "/usage/?days=7"})
    assert (entered.status_code, entered["Location"]) == (302, "/usage/?days=7")
    assert read(client.get(OWN)).headings == ["AI costs"]
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get(OWN)["Location"] == "/login/?next=/usage/"


def test_log_in_does_not_lead_to_another_host(client: Client) -> None:
    user("olga")
    set_password("olga")
    entered = client.post(
        "/login/", {"username": "olga", "password": "open sesame", "next": "https://elsewhere.example/usage/"}
    )
    assert entered["Location"] == "/"


# ── Periods ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("days", [7, 30, 90])
def test_period_holds_its_first_day_and_not_the_day_before(superadmin: Client, acme: Organization, days: int) -> None:
    first = NOON - timedelta(days=days - 1)
    enter(row(acme, created_at=first, cost_usd=Decimal("3")), row(acme, created_at=first - timedelta(days=1)))
    page = read(superadmin.get(f"{SUPERADMIN}?days={days}"))
    assert page.cards["Calls"] == ["1", "= 0% compared with the previous period"]
    assert page.cards["Cost, USD"] == ["$3.00", "▲ +500% compared with the previous period"]
    assert len(page.tables[DAYS][1:]) == days
    assert page.current_links == [f"?days={days}"]


@pytest.mark.parametrize(
    ("query", "since", "last"),
    [
        ("period=this-month", date(2026, 5, 1), date(2026, 5, 20)),
        ("period=last-month", date(2026, 4, 1), date(2026, 4, 30)),
        ("from=2026-05-03&to=2026-05-05", date(2026, 5, 3), date(2026, 5, 5)),
        ("from=2026-05-18", date(2026, 5, 18), date(2026, 5, 20)),
        ("days=2&to=2026-05-05", date(2026, 5, 4), date(2026, 5, 5)),
        ("", date(2026, 4, 21), date(2026, 5, 20)),
    ],
)
def test_period_of_the_address(superadmin: Client, query: str, since: date, last: date) -> None:
    context = superadmin.get(f"{SUPERADMIN}?{query}").context
    assert (context["since"], context["last"], context["parameters"].hints) == (since, last, [])


def test_long_period_is_shown_by_week_and_by_month(superadmin: Client, acme: Organization) -> None:
    enter(row(acme), row(acme, created_at=NOON - timedelta(days=300)))

    def shown(query: str) -> tuple[str, int, str]:
        page = read(superadmin.get(f"{SUPERADMIN}?{query}"))
        rows = page.tables[DAYS]
        return rows[0][0], len(rows) - 1, page.cards["Calls"][0]

    assert shown("days=400") == ("Week from", 58, "2")
    assert shown("days=800") == ("Month from", 27, "2")


def test_period_that_has_not_begun_is_empty(superadmin: Client, acme: Organization) -> None:
    enter(row(acme))
    page = read(superadmin.get(f"{SUPERADMIN}?from=2030-01-01"))
    assert (page.cards["Calls"], page.titles[0]) == (["0"], "No calls in this period")


def test_today_is_that_of_the_organisation(member_of: Callable[..., Client]) -> None:
    """At noon in London it is the next day on Kiritimati, where the period ends a day later."""
    kiritimati = organization("Kiritimati")
    Organization.objects.update(timezone="Pacific/Kiritimati")
    kiritimati.refresh_from_db()
    client = member_of(kiritimati, role="owner")
    enter(row(kiritimati))
    page = read(client.get(f"{OWN}?days=7"))
    assert [line[0] for line in page.tables[DAYS][1:]] == [f"May {day}, 2026" for day in range(15, 22)]
    assert page.tables[LATEST][1][0] == "May 21, 02:00:00"


def test_day_that_is_ahead_of_the_readers_counts(superadmin: Client) -> None:
    kiritimati = organization("Kiritimati")
    kiritimati.timezone = "Pacific/Kiritimati"
    enter(row(kiritimati))
    page = read(superadmin.get(f"{SUPERADMIN}?days=7"))
    assert page.cards["Calls"][0] == "1"
    assert page.tables[DAYS][-1][:2] == ["May 21, 2026", "1"]


WRONG = ["abc", "0", "-7", "9" * 30, "30 OR 1=1", "7\x00", "<script>"]


@pytest.mark.parametrize("days", WRONG)
def test_period_that_is_none_is_30_days_with_a_hint(superadmin: Client, days: str) -> None:
    response = superadmin.get(SUPERADMIN, {"days": days})
    assert response.status_code == 200
    assert read(response).current_links == ["?days=30"]
    assert len(response.context["parameters"].hints) == 1
    assert "in the address was left out" in response.content.decode()
    assert "<script>" not in response.context["parameters"].hints[0] or "&lt;script&gt;" in response.content.decode()


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-13-01",
        "from=1900-01-01",
        "from=2026-05-05&to=2026-05-01",
        "days=7&from=2026-05-01",
        "period=this-month&days=7",
        "period=never",
        "by=nothing",
        "currency=eur",
        "org=abc",
        "org=1.0",
        "user=1.0",
        "org=%D9%A1",
        "user=-1",
        "org=99999999999999999999",
        "status=odd",
        "rows=few",
        "request_type=" + "x" * 300,
    ],
)
def test_what_cannot_be_understood_is_left_out_with_a_hint(superadmin: Client, acme: Organization, query: str) -> None:
    enter(row(acme))
    response = superadmin.get(f"{SUPERADMIN}?{query}")
    assert response.status_code == 200
    assert len(response.context["parameters"].hints) >= 1
    assert "in the address was left out" in response.content.decode()


def test_what_is_not_the_pages_is_ignored(superadmin: Client) -> None:
    assert superadmin.get(f"{SUPERADMIN}?utm_source=mail").context["parameters"].hints == []


def test_period_not_asked_for_is_30_days_without_a_hint(superadmin: Client) -> None:
    response = superadmin.get(SUPERADMIN)
    assert read(response).current_links == ["?days=30"]
    assert response.context["parameters"].hints == []


# ── Filters ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("two_tenants")
def test_each_row_narrows_the_page_to_itself(superadmin: Client, acme: Organization) -> None:
    everything = read(superadmin.get(f"{SUPERADMIN}?days=7"))
    link = everything.links["Acme"]
    assert link == f"?days=7&org={acme.pk}"
    narrowed = read(superadmin.get(SUPERADMIN + link))
    assert narrowed.cards["Calls"][0] == "2"
    assert (ORGS in narrowed.tables, USERS in narrowed.tables) == (False, True)
    assert "globex_secret" not in narrowed.links
    assert narrowed.links["Organisation: Acme ×remove this filter"] == "?days=7"


def test_filters_are_together(superadmin: Client, acme: Organization, globex: Organization) -> None:
    anna = user("anna")
    enter(
        row(acme, user_id=anna.pk, agent_id="a", ai_model="m", request_type="t"),
        row(acme, user_id=anna.pk, agent_id="", ai_model="m", request_type="t"),
        row(acme, agent_id="a", ai_model="n", request_type=""),
        row(globex, agent_id="a", ai_model="m", request_type="t"),
    )

    def count(**query: Any) -> str:
        return read(superadmin.get(SUPERADMIN, query)).cards["Calls"][0]

    assert count() == "4"
    assert count(org=acme.pk) == "3"
    assert count(org=acme.pk, agent_id="a") == "2"
    assert count(agent_id="") == "1"
    assert count(request_type="", org=acme.pk) == "1"
    assert count(user=anna.pk) == "2"
    assert count(user=0) == "2"
    assert count(ai_model="m", ai_provider="openai", user=anna.pk, agent_id="a", request_type="t") == "1"


def test_form_that_leaves_all_open_leads_to_a_tidy_address(superadmin: Client) -> None:
    response = superadmin.get(f"{SUPERADMIN}?days=7&org=*&agent_id=&ai_model=*&from=&to=")
    assert (response.status_code, response["Location"]) == (302, f"{SUPERADMIN}?days=7&agent_id=")
    assert superadmin.get(f"{SUPERADMIN}?org=*")["Location"] == SUPERADMIN


@pytest.mark.usefixtures("two_tenants")
def test_filter_that_is_set_can_be_changed_to_its_neighbours(superadmin: Client) -> None:
    choices = superadmin.get(f"{SUPERADMIN}?request_type=weekly_digest").context["choices"]
    (types,) = [choice for choice in choices if choice.name == "request_type"]
    assert (types.chosen, [value for value, _ in types.options]) == (
        "weekly_digest",
        ["custom_analysis", "globex_secret", "weekly_digest"],
    )


@pytest.mark.usefixtures("two_tenants")
def test_addresses_of_another_tenant_show_nothing_of_it(
    owner_of: Callable[..., Client], acme: Organization, globex: Organization
) -> None:
    stranger = user("globex_spy")
    enter(row(globex, user_id=stranger.pk, content_id="globex_post", workflow_id="globex_flow"))
    client = owner_of(acme)
    queries = (
        f"org={globex.pk}",
        f"user={stranger.pk}",
        "request_type=globex_secret",
        "content_id=globex_post",
        "workflow_id=globex_flow",
        f"org={globex.pk}&by=user&rows=all&workflows=all&format=csv",
    )
    for query in queries:
        response = client.get(f"{OWN}?{query}")
        text = response.content.decode()
        assert response.status_code == 200
        # The page repeats nothing but its own address.
        assert ("Globex" in text, "globex_spy" in text, "7,777" in text, "7777" in text) == (False,) * 4
        if "format=csv" not in query:
            assert response.context["total"]["requests_count"] == 0


# ── Breakdowns ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_breakdown_sums_up_what_it_does_not_show(superadmin: Client, acme: Organization) -> None:
    enter(*(row(acme, request_type=f"type_{n:02}", cost_usd=Decimal(100 - n)) for n in range(12)))
    page = read(superadmin.get(SUPERADMIN))
    assert len(page.tables[TYPES]) == 1 + 8 + 1
    assert page.tables[TYPES][-1] == ["all others 4", "$362.00", "", "4", "480", "₽160.00"]
    every = read(superadmin.get(SUPERADMIN + page.links["Show all rows"].removesuffix("#where")))
    assert len(every.tables[TYPES]) == 1 + 12


def test_breakdown_compares_with_the_period_before(superadmin: Client, acme: Organization) -> None:
    enter(
        row(acme, request_type="grown", cost_usd=Decimal(3)),
        row(acme, request_type="grown", cost_usd=Decimal(2), created_at=NOON - timedelta(days=7)),
        row(acme, request_type="new", cost_usd=Decimal(1)),
        row(acme, request_type="gone", cost_usd=Decimal(1), created_at=NOON - timedelta(days=7)),
    )
    rows = read(superadmin.get(f"{SUPERADMIN}?days=7")).tables[TYPES]
    assert [(line[0], line[2]) for line in rows[1:]] == [("grown 75.0%", "+50%"), ("new 25.0%", "new")]


def test_content_is_shown_by_its_title(superadmin: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(row(acme, content_id="17", cost_usd=Decimal(2)), row(acme, content_id="18"), row(acme))
    monkeypatch.setattr(hooks, "content_sources", [lambda scope, ids: {"17": "Spring in the city"} if ids else {}])
    page = read(superadmin.get(SUPERADMIN))
    assert [line[0] for line in page.tables[CONTENT][1:]] == ["Spring in the city", "18"]
    narrowed = read(superadmin.get(SUPERADMIN + page.links["Spring in the city"]))
    assert narrowed.cards["Cost, USD"][0] == "$2.00"


def test_workflows_of_many_calls_are_added_up_only_on_request(
    superadmin: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage_billing.pages.costs.WORKFLOWS_UP_TO_CALLS", 1)
    enter(row(acme, content_id="17"), row(acme, content_id="17"))
    page = read(superadmin.get(SUPERADMIN))
    assert CONTENT not in page.tables
    complete = read(superadmin.get(SUPERADMIN + page.links["Workflows and content"].removesuffix("#breakdown")))
    assert [line[0] for line in complete.tables[CONTENT][1:]] == ["17"]


# ── Amounts ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_amount_without_any_known_cost_is_unknown_and_not_zero(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=None, cost_rub=None, price_source="unpriced:model"))
    page = read(superadmin.get(SUPERADMIN))
    assert page.cards["Cost, USD"] == ["—unknown", "+ 1 unpriced call"]
    assert page.cards["Cost, RUB"] == ["—unknown", "+ 1 unpriced call"]
    assert page.cards["Tokens"][0] == "120"
    assert page.tables[TYPES][1] == ["custom_analysis", "—unknown+ 1 unpriced", "new", "1", "120", "—unknown"]
    assert page.tables[DAYS][-1][3:] == ["—unknown", "—unknown", "1", "—unknown"]
    assert page.tables[LATEST][1][4:6] == ["—unknown", "—unknown"]
    assert page.bars[-1] == "May 20, 2026: unknown"


def test_amount_that_is_known_in_part_says_what_it_leaves_out(superadmin: Client, acme: Organization) -> None:
    unknown = [row(acme, cost_usd=None, cost_rub=None) for _ in range(3)]
    enter(row(acme, cost_usd=Decimal("2"), cost_rub=None), *unknown, row(acme))
    page = read(superadmin.get(SUPERADMIN))
    assert page.cards["Cost, USD"] == ["$2.50", "new", "+ 3 unpriced calls"]
    assert page.cards["Cost, RUB"] == ["₽40.00", "new", "+ 4 unpriced calls"]
    assert "Failed and unpriced calls" in page.titles


def test_free_is_zero_and_not_unknown(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=Decimal(0), cost_rub=Decimal(0), status="failed", error_code="rate_limit_exceeded"))
    page = read(superadmin.get(SUPERADMIN))
    assert page.cards["Calls"] == ["1", "new", "1 of them failed"]
    assert (page.cards["Cost, USD"], page.cards["Cost, RUB"]) == (["$0"], ["₽0"])
    assert page.tables[LATEST][1][-1] == "failed rate_limit_exceeded"


def test_small_cost_can_be_seen_and_is_exact_on_hover(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=Decimal("0.000123456"), cost_rub=Decimal("0.00987648")))
    response = superadmin.get(SUPERADMIN)
    assert read(response).cards["Cost, USD"][0] == "$0.000123"
    assert '<dd class="total"><span class="costs-amount" title="$0.000123456">' in response.content.decode()


def test_page_in_russian(superadmin: Client, acme: Organization, settings: Any) -> None:
    settings.LANGUAGE_CODE = "ru"
    unknown = [row(acme, cost_usd=None, cost_rub=None) for _ in range(2)]
    enter(row(acme, cost_usd=Decimal("12345.67"), cost_rub=Decimal("987654.3"), request_type=""), *unknown)
    response = superadmin.get(SUPERADMIN)
    page = read(response)
    assert '<html lang="ru"' in response.content.decode()
    assert page.headings == ["AI Расходы"]
    assert page.cards["Вызовы"][0] == "3"
    assert page.cards["Стоимость, USD"] == [
        "12\u00a0345,67\u00a0$",
        page.cards["Вызовы"][1],
        "+ 2 вызова без цены",
    ]
    assert page.cards["Стоимость, RUB"] == [
        "987\u00a0654,30\u00a0₽",
        page.cards["Вызовы"][1],
        "+ 2 вызова без цены",
    ]
    assert "без типа" in response.content.decode()


def test_language_can_be_changed(superadmin: Client) -> None:
    assert read(superadmin.get(SUPERADMIN)).headings == ["AI costs"]
    response = superadmin.post(reverse("set_language"), {"language": "ru", "next": f"{SUPERADMIN}?days=7"})
    assert response["Location"] == f"{SUPERADMIN}?days=7"
    assert read(superadmin.get(SUPERADMIN)).headings == ["AI Расходы"]


def test_chart_has_the_numbers_of_its_table(superadmin: Client, acme: Organization) -> None:
    enter(
        row(acme, cost_usd=Decimal("0.000001")),
        row(acme, created_at=NOON - timedelta(days=2)),
        row(acme, created_at=NOON - timedelta(days=2), ai_model="another", cost_usd=Decimal(2)),
    )
    page = read(superadmin.get(f"{SUPERADMIN}?days=7"))
    assert page.bars == [
        *(f"May {day}, 2026: $0" for day in range(14, 18)),
        "May 18, 2026: $2.50\nanother: $2.00\ngpt-5-mini: $0.50",
        "May 19, 2026: $0",
        "May 20, 2026: $0.000001\ngpt-5-mini: $0.000001",
    ]
    assert page.tables[DAYS][0][6:] == ["another, USD", "gpt-5-mini, USD"]
    assert [line[3] for line in page.tables[DAYS][1:]] == ["$0", "$0", "$0", "$0", "$2.50", "$0", "$0.000001"]
    assert page.tables[DAYS][5][6:] == ["$2.00", "$0.50"]


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("request_type", ["custom_analysis"]),
        ("agent_id", ["legal_guard"]),
        ("org", ["Acme", "Globex"]),
        ("user", ["system"]),
    ],
)
def test_chart_can_be_stacked_by_each_dimension_in_rub(
    superadmin: Client, acme: Organization, globex: Organization, by: str, names: list[str]
) -> None:
    enter(row(acme, cost_rub=Decimal(50)), row(globex))
    page = read(superadmin.get(f"{SUPERADMIN}?days=7&by={by}&currency=rub"))
    assert page.tables[DAYS][0][6:] == [f"{name}, RUB" for name in names]
    assert page.bars[-1].startswith("May 20, 2026: ₽90.00\n")


def test_chart_draws_many_layers_as_seven(superadmin: Client, acme: Organization) -> None:
    enter(*(row(acme, ai_model=f"model_{n}", cost_usd=Decimal(20 - n)) for n in range(10)))
    heads = read(superadmin.get(f"{SUPERADMIN}?days=7")).tables[DAYS][0][6:]
    assert heads == [*(f"model_{n}, USD" for n in range(6)), "all others, USD"]


# ── Insights ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_failures_have_a_reason_and_advice(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization
) -> None:
    unknown = {"cost_usd": None, "cost_rub": None, "price_source": "unpriced:unknown-model"}
    enter(
        *(row(acme, ai_model=f"model_{n}", **unknown) for n in range(6)),
        row(acme, cost_usd=Decimal(0), cost_rub=Decimal(0), status="failed", error_code="429 rate_limit_exceeded"),
        row(acme, cost_rub=None),
    )
    response = superadmin.get(SUPERADMIN)
    rows = read(response).tables[FAILURES]
    assert [line[:3] for line in rows[1:]] == [
        ["6", "No price is known for this model.", "model_0, model_1, model_2, model_3 and 2 more"],
        ["1", "The call failed; the provider charges nothing for it. 429 rate_limit_exceeded", "gpt-5-mini"],
    ]
    assert rows[1][3].startswith("Run update_prices")
    assert "1 call has no amount in RUB" in response.content.decode()
    assert read(owner_of(acme).get(OWN)).tables[FAILURES][1][3] == "Ask a superadmin to add a price override."


def test_model_comparison(superadmin: Client, acme: Organization) -> None:
    enter(
        row(acme, ai_model="gpt-4.1", prompt_tokens=1_000_000, completion_tokens=0, cost_usd=Decimal(2)),
        row(acme, ai_model="text-embedding-3-small", cost_usd=Decimal(1)),
    )
    caption = "The cost of the same tokens by model, cheapest first"
    page = read(superadmin.get(f"{SUPERADMIN}?compare_model=openai/gpt-4.1-nano"))
    assert page.tables[caption][1:] == [["gpt-4.1-nano openai", "$0.10", "−95%"], ["gpt-4.1 openai", "$2.00", "0%"]]
    wrong = superadmin.get(f"{SUPERADMIN}?compare_model=nobody/nothing")
    assert [line[0] for line in read(wrong).tables[caption][1:]] == ["gpt-4.1 openai"]


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_csv_has_the_tables_of_the_page(superadmin: Client, acme: Organization, globex: Organization) -> None:
    enter(
        row(acme, request_type="=cmd()", cost_usd=Decimal("0.123456789")),
        row(globex),
        row(acme, created_at=NOON - timedelta(days=1)),
    )
    address = f"{SUPERADMIN}?days=7&org={acme.pk}"
    link = read(superadmin.get(address)).links["CSV"]
    response = superadmin.get(SUPERADMIN + link)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="ai-costs-2026-05-14-2026-05-20.csv"'
    lines = list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert ["Organisation", "Acme"] in lines
    assert ["This period", "2", "240", "0.623456789", "80", "0", "0", "0"] in lines
    assert ["2026-05-20", "1", "120", "0.123456789", "40", "0", "0", "0.123456789"] in lines
    assert [line[:2] for line in lines if any("cmd" in cell for cell in line[:1])] == [["'=cmd()", "1"]]
    assert not any("Globex" in cell for line in lines for cell in line)


@pytest.mark.parametrize(("language", "cells"), [("en", "120,0.1234,"), ("ru", "120;0,1234;")])
def test_csv_is_for_a_spreadsheet_in_the_readers_language(
    superadmin: Client, acme: Organization, language: str, cells: str
) -> None:
    """Excel, Regional settings: a Russian one splits a file at semicolons and reads decimal commas."""
    enter(row(acme, cost_usd=Decimal("0.1234")))
    text = superadmin.get(f"{SUPERADMIN}?days=7&format=csv", headers={"Accept-Language": language}).content.decode()
    assert cells in text


def test_csv_counts_unpriced_calls_of_each_currency(superadmin: Client, acme: Organization) -> None:
    enter(
        row(acme), row(acme, cost_rub=None), row(acme, cost_usd=None, cost_rub=None, price_source="unpriced:no-usage")
    )
    response = superadmin.get(f"{SUPERADMIN}?days=7&format=csv")
    lines = list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))
    (heads,) = (line for line in lines if line[:1] == ["Total"])
    (total,) = (line for line in lines if line[:1] == ["This period"])
    assert heads[-2:] == ["Unpriced, USD", "Unpriced, RUB"]
    assert total[-2:] == ["1", "2"]


# ── The last calls ───────────────────────────────────────────────────────────────────────────────────────────────


def test_last_calls_are_50_newest_first(superadmin: Client, acme: Organization) -> None:
    anna, gone = user("anna"), user("gone")
    gone_id = gone.pk
    enter(
        *(row(acme, created_at=NOON - timedelta(days=20, minutes=n)) for n in range(60)),
        row(acme, user_id=anna.pk, created_at=datetime(2026, 5, 20, 9, 0, 1, tzinfo=UTC), agent_id="", request_type=""),
        row(acme, user_id=gone_id, created_at=datetime(2026, 5, 20, 8, 0, tzinfo=UTC), status="aborted"),
    )
    gone.delete()
    lines = read(superadmin.get(SUPERADMIN)).tables[LATEST]
    assert len(lines) == 1 + 50
    what = ["gpt-5-mini openai", "120", "$0.50", "₽40.00", "Acme"]
    assert lines[1] == ["May 20, 12:00:01", "no type no agent", *what, "anna", "succeeded"]
    assert lines[2] == ["May 20, 11:00:00", "custom_analysis legal_guard", *what, "gone", "cut short"]
    assert lines[3][-2] == "system"


def test_organisation_is_named_only_where_there_are_several(
    member_of: Callable[..., Client], owner_of: Callable[..., Client], acme: Organization, globex: Organization
) -> None:
    enter(row(acme), row(globex))
    of_one = read(owner_of(acme).get(OWN)).tables[LATEST]
    of_two = read(member_of(acme, globex, role="owner").get(OWN)).tables[LATEST]
    assert ("Organisation" in of_one[0], "Organisation" in of_two[0]) == (False, True)
    assert sorted(line[6] for line in of_two[1:]) == ["Acme", "Globex"]


def test_text_from_callers_is_never_markup(superadmin: Client) -> None:
    attack = "</script><script>alert(1)</script>\"'&"
    hostile = organization("Hostile")
    Organization.objects.update(name=attack)
    person = user("plain")
    User.objects.filter(pk=person.pk).update(username=attack)
    texts = ("agent_id", "request_type", "ai_provider", "ai_model", "error_code")
    enter(row(hostile, user_id=person.pk, status="failed", **dict.fromkeys(texts, attack)))
    response = superadmin.get(SUPERADMIN)
    assert read(response).tables[LATEST][1][1] == f"{attack} {attack}"
    assert read(superadmin.get(SUPERADMIN, {"agent_id": attack})).tables[LATEST][1][1] == f"{attack} {attack}"
    assert "<script>alert" not in superadmin.get(SUPERADMIN, {"agent_id": attack}).content.decode()
    assert read(response).tables[LATEST][1][6:] == [attack, attack, f"failed {attack}"]
    assert "<script>alert" not in response.content.decode()


# ── Other parts of the page ──────────────────────────────────────────────────────────────────────────────────────


def test_page_without_calls_says_what_to_do_first(owner_of: Callable[..., Client], acme: Organization) -> None:
    client = owner_of(acme)
    assert read(client.get(f"{OWN}?agent_id=nobody")).titles == ["No calls match"]
    response = client.get(OWN)
    page = read(response)
    assert (page.titles, page.tables) == (["No calls in this period"], {})
    text = response.content.decode()
    assert "<code>from ai_clients import OpenAI, AsyncOpenAI, Anthropic, AsyncAnthropic</code>" in text
    assert "<code>python manage.py demo</code>" in text


def test_page_says_where_calls_go_without_secrets_in_addresses(
    owner_of: Callable[..., Client], acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [
        lambda: {"OpenAI": "simulator"},
        lambda: {"Anthropic": "https://someone:password@proxy.example:8443/v1?key=secret"},
    ]
    monkeypatch.setattr(hooks, "destination_sources", sources)
    response = owner_of(acme).get(OWN)
    assert response.context["destinations"] == {"OpenAI": "simulator", "Anthropic": "proxy.example:8443"}
    text = response.content.decode()
    assert "the simulator on this machine (no key set)" in text
    assert ("password" in text, "key=secret" in text) == (False, False)


def test_recorder_health_is_the_superadmins(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_minutes_ago = (NOON - timedelta(minutes=3)).timestamp()
    backlog = Backlog(events=1200, oldest_at=three_minutes_ago, rejected=2, lost=4)
    monkeypatch.setattr("usage_billing.recording.health", lambda: Health(backlog=backlog, lost=5, error="disk full"))
    cards = read(superadmin.get(SUPERADMIN)).cards
    assert cards["Waiting for the ledger"] == ["1,200, the oldest for 3\u00a0minutes"]
    assert cards["Rejected by the ledger"][0] == "2"
    assert (cards["Lost"], cards["Error"]) == (["5"], ["disk full"])
    assert cards["Newest exchange rate"] == ["none", "New calls have no amount in RUB. Run fetch_exchange_rates."]
    assert "Lost" not in read(owner_of(acme).get(OWN)).cards


@pytest.mark.parametrize(
    ("days_old", "said"),
    [
        (3, []),
        (6, ["It is late. Check whether fetch_exchange_rates still runs."]),
        (11, ["New calls have no amount in RUB."]),
    ],
)
def test_late_rates_are_reported(superadmin: Client, days_old: int, said: list[str]) -> None:
    ExchangeRate.objects.create(date=NOON.date() - timedelta(days=days_old), usd_rub=Decimal(80))
    response = superadmin.get(SUPERADMIN)
    assert [text[: len(said[0])] for text in read(response).cards["Newest exchange rate"][1:]] == said
    assert response.context["health"].is_well is (not said)


def test_models_without_a_price_are_named(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, ai_model="gpt-99", cost_usd=None, cost_rub=None, price_source="unpriced:unknown-model"))
    assert read(superadmin.get(SUPERADMIN)).cards["Price list"][1].startswith("It does not have gpt-99:")


def test_unreadable_outbox_is_reported(superadmin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_billing.recording.health", lambda: Health(backlog=None, lost=0, error="no such disk"))
    response = superadmin.get(SUPERADMIN)
    assert read(response).cards["Waiting for the ledger"] == ["unknown: the outbox cannot be read"]
    assert "The recorder needs attention." in response.content.decode()


# ── Cost of the page itself ──────────────────────────────────────────────────────────────────────────────────────


def fill(orgs: list[Organization], people: list[User], calls: int) -> None:
    enter(
        *(
            row(
                orgs[n % len(orgs)],
                user_id=people[n % len(people)].pk,
                request_type=f"type_{n % 17}",
                agent_id=f"agent_{n % 7}",
                ai_model=f"model_{n % 11}",
                status="succeeded" if n % 5 else "failed",
                created_at=NOON - timedelta(hours=n),
            )
            for n in range(calls)
        )
    )


@pytest.mark.parametrize("calls", [1, 400])
def test_number_of_queries_is_fixed(
    calls: int,
    superadmin: Client,
    member_of: Callable[..., Client],
    acme: Organization,
    globex: Organization,
    django_assert_num_queries: Any,
) -> None:
    member = member_of(acme, globex, role="owner")
    orgs = [acme, globex, *(organization(f"Org{n}") for n in range(10))]
    fill(orgs, [User.objects.get(username="misha"), *(user(f"user{n}") for n in range(20))], calls)
    # Session, user; the period and the previous one; types, models, agents and organisations, each in both periods; by
    # day, the same by layer; last calls, most expensive calls (two), failures; workflows, content; names of
    # organisations and users; forecast; archived months; newest rate.
    with django_assert_num_queries(25 + scope_queries.of_a_superadmin()):
        superadmin.get(f"{SUPERADMIN}?days=90")
    # Without the rate, with users.
    with django_assert_num_queries(26 + scope_queries.of_a_member()):
        member.get(f"{OWN}?days=90")
    # Filters: the other options, a query for each.
    with django_assert_num_queries(28 + scope_queries.of_a_superadmin()):
        superadmin.get(f"{SUPERADMIN}?days=90&agent_id=agent_0&ai_model=model_0&request_type=type_0")


# ── Content security policy ─────────────────────────────────────────────────────────────────────────────────────


def test_policy_of_our_pages_is_strict(client: Client, superadmin: Client) -> None:
    strict = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    for response in (Client().get("/login/"), superadmin.get(SUPERADMIN), superadmin.get(f"{SUPERADMIN}?format=csv")):
        assert set(response["Content-Security-Policy"].split("; ")) == set(strict.split("; "))
    text = superadmin.get(SUPERADMIN).content.decode()
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?! src=)", text) == []
    assert "unsafe-eval" in superadmin.get("/superadmin/")["Content-Security-Policy"]
    assert "unsafe-eval" not in superadmin.get("/api/docs")["Content-Security-Policy"]


# ── One call ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_of_the_last_calls_opens_its_record(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization
) -> None:
    enter(row(acme, response_metadata={"cost_parts": {"input": "0.2"}}, content_id="17"))
    call = UsageRecord.objects.get()
    owner = owner_of(acme)
    assert read(superadmin.get(SUPERADMIN)).links["May 20, 15:00:00"].endswith(f"/usagerecord/{call.pk}/change/")
    link = read(owner.get(OWN)).links["May 20, 15:00:00"]
    assert link == f"/usage/calls/{call.pk}"
    facts = read(owner.get(link)).cards
    assert (facts["Cost, USD"], facts["Input"], facts["Request id"]) == (["$0.5"], ["100"], [call.request_id])
    assert facts["for input, USD"] == ["0.2"]
    assert superadmin.get(link)["Location"].endswith(f"/usagerecord/{call.pk}/change/")


def test_record_of_another_tenant_is_a_404_like_a_missing_one(
    owner_of: Callable[..., Client], member_of: Callable[..., Client], acme: Organization, globex: Organization
) -> None:
    enter(row(globex), row(acme))
    foreign, colleagues = (
        UsageRecord.objects.order_by("org_id").filter(org=globex).get(),
        UsageRecord.objects.get(org=acme),
    )
    owner, member = owner_of(acme), member_of(acme)
    assert owner.get(f"/usage/calls/{colleagues.pk}").status_code == 200
    missing = owner.get("/usage/calls/999999")
    assert missing.status_code == 404
    for client, id_ in ((owner, foreign.pk), (member, colleagues.pk), (owner, 10**30)):
        response = client.get(f"/usage/calls/{id_}")
        assert (response.status_code, read(response).headings) == (404, read(missing).headings)
    assert Client().get(f"/usage/calls/{foreign.pk}")["Location"] == f"/login/?next=/usage/calls/{foreign.pk}"


def test_a_sheet_beyond_the_exports_of_a_person_is_a_page_that_says_so() -> None:
    person = factories.owner(factories.organization())
    client = Client(headers={"accept-language": "en"})
    client.force_login(person)
    held = [export_slots.take(person) for _ in range(export_slots.EXPORTS_PER_USER)]
    refused = client.get("/usage/?format=csv")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert "Wait until one is done." in refused.content.decode()
    assert client.get("/usage/").status_code == 200
    held[0].close()
    # And the slot of a sheet is given back with its answer.
    assert [client.get("/usage/?format=csv").status_code for _ in range(3)] == [200] * 3
