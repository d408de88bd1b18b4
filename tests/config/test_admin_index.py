"""The first page of the service's admin shows what was spent, and what waits."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.index_figures import index_figures
from tests.support import factories
from tests.support.rows import enter, row
from usage_billing import recording
from usage_billing.models import Membership, Organization
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def in_english(settings: Any) -> None:
    settings.LANGUAGE_CODE = "en"
    settings.TIME_ZONE = "UTC"


@pytest.fixture
def acme() -> Organization:
    return factories.organization("Acme", timezone="UTC")


def calls(org: Organization) -> None:
    """Two calls of today, one of the first of the month, one of the month before."""
    now = timezone.now()
    first = now.replace(day=1, hour=0, minute=0)
    for at, columns in (
        (now, {}),
        (now, {"cost_usd": None, "cost_rub": None, "price_source": "unpriced:unknown-model"}),
        (first, {}),
        (first - timedelta(hours=1), {}),
    ):
        enter(row(org, created_at=at, usage_date=at.date(), **columns))


def index(client: Client) -> str:
    return client.get(reverse("admin:index")).content.decode()


def test_figures_are_of_this_month_and_today(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.config.test_admin_index.timezone.now", lambda: factories.NOON)
    calls(acme)
    factories.rate(usd_rub="81.25")
    figures = index_figures(EVERYTHING, factories.NOON)
    assert (figures.month["requests_count"], figures.month["cost_usd"]) == (3, Decimal(1))
    assert (figures.month["unpriced_usd_count"], figures.day["requests_count"]) == (1, 2)
    assert (figures.rate and figures.rate.usd_rub, figures.waiting) == (Decimal("81.25"), 0)


@pytest.mark.parametrize("role", ["superadmin", "owner"])
def test_each_number_leads_to_the_calls_that_it_counts(
    client: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: factories.NOON)
    calls(acme)
    tomorrow = factories.NOON.date() + timedelta(days=1)  # where an organisation lies east of the reader
    enter(row(acme, created_at=factories.NOON, usage_date=tomorrow, cost_rub=None))
    person = factories.user(is_staff=True, is_superuser=role == "superadmin")
    Membership.objects.create(org=acme, user=person, role="owner")
    client.force_login(person)
    numbers = re.findall(r'<dd><a href="([^"]*)"[^>]*>(.+?)</a>', index(client))
    shown = [client.get(address.replace("&amp;", "&"), follow=True).context for address, _ in numbers]
    totals = [(context["total"]["requests_count"], context["total"]["cost_usd"]) for context in shown]
    assert totals == [(4, Decimal("1.5")), (4, Decimal("1.5")), (3, Decimal(1)), (1, None)]
    assert [re.sub("<.*?>", "", number) for _, number in numbers] == ["$1.50", "₽80.00", "3", "1"]
    assert [context["currency"] for context in shown] == ["usd", "rub", "usd", "usd"]
    assert {context["page"].name for context in shown} == {"calls"}


def test_superadmin_sees_everything_and_where_it_leads(client: Client, acme: Organization) -> None:
    enter(row(acme, created_at=timezone.now(), usage_date=timezone.now().date()))
    client.force_login(factories.superadmin())
    text = index(client)
    assert "This month, USD" in text
    assert 'title="$0.5">$0.50<' in text
    assert f'href="{reverse("usage_billing:usage-calls")}?period=this-month' in text
    assert "Waiting in the outbox" in text
    assert reverse("admin:usage_billing_priceoverride_changelist") in text


def test_waiting_events_are_counted(client: Client) -> None:
    recording.record(factories.event())
    client.force_login(factories.superadmin())
    assert index_figures(EVERYTHING, timezone.now()).waiting == 1


@pytest.mark.parametrize(("role", "amount"), [("owner", "$0.50"), ("member", "$0")])
def test_staff_see_their_own_organisations(client: Client, acme: Organization, role: str, amount: str) -> None:
    now = timezone.now()
    enter(*(row(org, created_at=now, usage_date=now.date()) for org in (acme, factories.organization())))
    person = factories.user(is_staff=True)
    person.user_permissions.set(Permission.objects.all())
    Membership.objects.create(org=acme, user=person, role=role)
    client.force_login(person)
    text = index(client)
    assert f">{amount}<" in text
    assert f'href="{reverse("usage_billing:usage-calls")}?period=this-month' in text
    assert "Waiting in the outbox" not in text


@pytest.mark.parametrize("may_see_rates", [True, False])
def test_rate_is_a_link_for_people_who_may_open_it(client: Client, acme: Organization, may_see_rates: bool) -> None:
    factories.rate(usd_rub="81.25")
    person = factories.user(is_staff=True)
    Membership.objects.create(org=acme, user=person, role="owner")
    if may_see_rates:
        person.user_permissions.add(Permission.objects.get(codename="view_exchangerate"))
    client.force_login(person)
    text, link = index(client), reverse("admin:usage_billing_exchangerate_changelist")
    assert "₽81.25" in text
    assert (f'href="{link}"' in text, client.get(link).status_code) == (may_see_rates, 200 if may_see_rates else 403)


def test_staff_without_an_organisation_see_no_figures(client: Client, acme: Organization) -> None:
    client.force_login(factories.user(is_staff=True))
    text = index(client)
    assert ("This month, USD" in text, "index-figures" in text) == (False, False)


def test_page_asks_as_many_questions_for_more_calls(client: Client, acme: Organization) -> None:
    from django.db import connection

    client.force_login(factories.superadmin())
    counts = []
    for _ in range(2):
        calls(acme)
        with CaptureQueriesContext(connection) as captured:
            index(client)
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_section_is_named_in_russian(client: Client) -> None:
    client.force_login(factories.superadmin())
    assert "AI Расходы" in client.get(reverse("admin:index"), headers={"accept-language": "ru"}).content.decode()
