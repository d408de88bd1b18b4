"""The log of the digests, and the preview."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from ai_clients.assistants.digest.week import last_full_week
from ai_clients.assistants.models import DigestDelivery
from tests.support import admin_client, factories, people, scope_queries
from tests.support.factories import event
from tests.support.recorded import Recorded
from tests.support.rows import enter, row
from usage_billing.ledger import writer
from usage_billing.models import Organization

pytestmark = pytest.mark.django_db

PREVIEW = "admin:ai_assistants_digestdelivery_preview"
WORDS = {"headline": "Расходы выросли.", "observations": ["Из-за проверок."]}


@pytest.fixture(autouse=True)
def in_english(settings: Settings) -> None:
    settings.LANGUAGE_CODE = "en"


def organization(name: str) -> Organization:
    """With a call in its last full week."""
    org = factories.organization(name)
    org.language = "ru"
    org.save()
    tuesday = last_full_week(org, timezone.now()).monday + timedelta(days=1)
    at = datetime(tuesday.year, tuesday.month, tuesday.day, 12, tzinfo=org.zone)
    writer.add([event(org=org, at=at, attribution={"request_type": f"type_of_{name}"})])
    return org


def email(client: Any, org: Organization) -> Any:
    return client.get(reverse("admin:ai_assistants_digest_email", args=[org.pk]))


def test_preview_shows_what_would_go_out_and_sends_and_spends_nothing(
    simulated: dict[str, str], recorded: Recorded
) -> None:
    first, second = organization("Альфа"), organization("Бета")
    people.subscriber(factories.owner(second), second, "olga@example.com")
    client = admin_client.superadmin()
    assert "Альфа: " in client.get(reverse(PREVIEW)).content.decode()
    page = client.get(reverse(PREVIEW), {"org": second.pk}).content.decode()
    assert "olga@example.com" in page
    assert reverse("admin:ai_assistants_digest_email", args=[second.pk]) in page
    framed = email(client, second)
    html = framed.content.decode()
    assert ("type_of_Бета" in html, "type_of_Альфа" in html) == (True, False)
    assert "data:image/png;base64," in html
    assert framed["X-Frame-Options"] == "SAMEORIGIN"
    assert (recorded.all(), mail.outbox, DigestDelivery.objects.count(), first.pk) == ([], [], 0, first.pk)


def test_preview_shows_the_plain_text_as_text(simulated: dict[str, str], recorded: Recorded) -> None:
    """A model's name comes from the provider, an agent's id from the caller: neither is markup in the preview."""
    org = organization("Альфа")
    hostile = "</pre><img src=x onerror=alert(1)>"
    at = datetime.combine(last_full_week(org, timezone.now()).monday, datetime.min.time(), tzinfo=org.zone)
    writer.add([event(org=org, at=at + timedelta(hours=12), model=hostile, attribution={"agent_id": hostile})])
    page = admin_client.superadmin().get(reverse(PREVIEW), {"org": org.pk})
    assert page.context["rendered"].text.count(hostile) == 2
    assert hostile not in page.content.decode()
    assert page.content.decode().count("&lt;/pre&gt;&lt;img src=x onerror=alert(1)&gt;") == 2


def test_summary_is_written_by_a_button_and_goes_out_with_the_email(
    simulated: dict[str, str], recorded: Recorded
) -> None:
    org = organization("Альфа")
    simulated["X-Simulator-Text"] = people.answer(**WORDS)
    client = admin_client.superadmin()
    address = reverse("admin:ai_assistants_digest_summary", args=[org.pk])
    assert address in client.get(reverse(PREVIEW)).content.decode()
    assert client.get(address).status_code == 405
    assert client.post(address)["Location"] == f"{reverse(PREVIEW)}?org={org.pk}"
    assert "Расходы выросли." in email(client, org).content.decode()
    assert address not in client.get(reverse(PREVIEW)).content.decode()
    given = recorded.one().attribution
    assert (given.org_id, given.request_type) == (org.pk, "weekly_digest")
    delivery = DigestDelivery.objects.get()
    assert (delivery.summary, delivery.claimed_at, delivery.sent_at) == (WORDS, None, None)


def test_a_summary_that_fails_is_said(simulated: dict[str, str], recorded: Recorded) -> None:
    org = organization("Альфа")
    simulated["X-Simulator-Text"] = people.answer(headline="Потратили 5 рублей.", observations=[])
    address = reverse("admin:ai_assistants_digest_summary", args=[org.pk])
    page = admin_client.superadmin().post(address, follow=True).content.decode()
    assert "The summary has numbers of its own in it" in page
    assert not DigestDelivery.objects.exists()
    assert len(recorded.all()) == 1


def test_staff_see_the_digests_of_organisations_that_they_own(simulated: dict[str, str], recorded: Recorded) -> None:
    own, other = organization("Альфа"), organization("Бета")
    for org in (own, other):
        DigestDelivery.objects.create(org=org, week="2026-11-09", sent_at=timezone.now(), summary=WORDS)
    client = admin_client.staff(own, "view_digestdelivery", "change_digestdelivery")
    listed = client.get(reverse("admin:ai_assistants_digestdelivery_changelist"))
    assert [row.org for row in listed.context["cl"].result_list] == [own]
    assert "Бета" not in client.get(reverse(PREVIEW)).content.decode()
    assert client.get(reverse(PREVIEW), {"org": other.pk}).status_code == 404
    assert email(client, own).status_code == 200
    assert email(client, other).status_code == 404
    assert client.post(reverse("admin:ai_assistants_digest_summary", args=[other.pk])).status_code == 404
    assert recorded.all() == []


def test_looking_is_not_enough_to_spend_and_nothing_not_enough_to_look(recorded: Recorded) -> None:
    org = organization("Альфа")
    address = reverse("admin:ai_assistants_digest_summary", args=[org.pk])
    looking, nobody = admin_client.staff(org, "view_digestdelivery"), admin_client.staff(org)
    assert address not in looking.get(reverse(PREVIEW)).content.decode()
    assert looking.post(address).status_code == 403
    assert [nobody.get(reverse(PREVIEW)).status_code, email(nobody, org).status_code] == [403, 403]
    assert recorded.all() == []


def test_log_can_only_be_looked_at() -> None:
    org = factories.organization()
    owners = [factories.owner(org, name) for name in ("anna", "olga")]
    row = DigestDelivery.objects.create(
        org=org, week="2026-11-09", sent_at=timezone.now(), summary=WORDS, delivered_to=[owner.pk for owner in owners]
    )
    client = admin_client.superadmin()
    pages = [reverse(f"admin:ai_assistants_digestdelivery_{page}", args=[row.pk]) for page in ("change", "delete")]
    assert [client.post(page, {"error": "x"}).status_code for page in pages] == [403, 403]
    page = client.get(pages[0])
    assert page.context["adminform"].form.fields == {}
    html = page.content.decode()
    assert "<p>Расходы выросли.</p><ul><li>Из-за проверок.</li></ul>" in html
    assert "anna, olga" in html
    assert f"{reverse('admin:ai_assistants_digest_email', args=[org.pk])}?week=2026-11-09" in html


def test_page_of_a_digest_says_what_its_week_cost_and_leads_to_the_calls() -> None:
    org, client = factories.organization(), admin_client.superadmin()
    at = datetime(2026, 5, 20, 12, tzinfo=org.zone)
    enter(row(org, created_at=at, cost_usd=Decimal("1.25")), row(org, created_at=at + timedelta(days=7)))
    delivery = DigestDelivery.objects.create(org=org, week="2026-05-18", sent_at=timezone.now())
    page = client.get(reverse("admin:ai_assistants_digestdelivery_change", args=[delivery.pk]))
    assert page.context["total"]["requests_count"] == 1
    html = page.content.decode()
    assert "$1.25" in html
    assert f"org={org.pk}&amp;from=2026-05-18&amp;to=2026-05-24" in html
    email = client.get(page.context["email_address"]).content.decode()
    assert "18–24" in email


@pytest.mark.parametrize("week", ["2026-05-19", "2999-01-07", "1999-01-04", "x", ""])
def test_email_of_a_week_that_is_none_is_not_there(week: str) -> None:
    address = reverse("admin:ai_assistants_digest_email", args=[factories.organization().pk])
    assert admin_client.superadmin().get(address, {"week": week}).status_code == 404


def test_list_names_the_recipients_in_as_many_queries_for_any_number(django_assert_max_num_queries: Any) -> None:
    for number in range(12):
        org = factories.organization()
        owner = factories.owner(org, f"owner-{number}")
        DigestDelivery.objects.create(org=org, week="2026-05-18", sent_at=timezone.now(), delivered_to=[owner.pk])
    client = admin_client.superadmin()
    with django_assert_max_num_queries(12 + scope_queries.of_a_superadmin()):
        page = client.get(reverse("admin:ai_assistants_digestdelivery_changelist")).content.decode()
    assert [f"owner-{number}" in page for number in range(12)] == [True] * 12


def test_without_an_organisation_the_preview_says_so() -> None:
    page = admin_client.superadmin().get(reverse(PREVIEW))
    assert "There is no digest that you may see." in page.content.decode()
