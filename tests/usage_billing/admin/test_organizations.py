"""The page of an organisation: what it spent, its members, and what its time zone means."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.support import factories
from tests.support.rows import enter, row
from usage_billing.models import Membership, Organization

ORGANIZATIONS = "admin:usage_billing_organization"

pytestmark = pytest.mark.django_db


def page(client: Client, org: Organization) -> Any:
    return client.get(reverse(f"{ORGANIZATIONS}_change", args=[org.pk]))


def days_ago(org: Organization, days: int) -> dict[str, Any]:
    """Columns of a call of that billing day, at noon."""
    noon = datetime.now(org.zone).replace(hour=12) - timedelta(days=days)
    return {"created_at": noon, "usage_date": noon.date()}


def fill(org: Organization) -> None:
    enter(
        row(org, **days_ago(org, 0)),
        row(org, **days_ago(org, 29), cost_usd=None, cost_rub=None, price_source="unpriced:unknown-model"),
        row(org, **days_ago(org, 30)),
        row(factories.organization(), **days_ago(org, 0)),
    )


def test_figures_are_of_the_last_30_days_and_lead_to_the_costs(superadmin: Client, acme: Organization) -> None:
    fill(acme)
    response = page(superadmin, acme)
    total = response.context["figures"]
    assert {name: total[name] for name in ("requests_count", "total_tokens", "cost_usd", "cost_rub")} == {
        "requests_count": 2,
        "total_tokens": 240,
        "cost_usd": Decimal("0.5"),
        "cost_rub": Decimal(40),
    }
    assert total["unpriced_usd_count"] == 1
    numbers = re.findall(r'<dt>(.+?)</dt><dd><a href="(.+?)">', response.content.decode())
    assert [name for name, _ in numbers] == ["USD", "RUB", "Calls", "Tokens", "Unpriced"]
    for name, address in numbers:
        shown = superadmin.get(address.replace("&amp;", "&"), follow=True).context
        unpriced = {"requests_count": 1, "total_tokens": 120, "cost_usd": None, "cost_rub": None}
        expected = unpriced if name == "Unpriced" else total
        assert {key: shown["total"][key] for key in unpriced} == {key: expected[key] for key in unpriced}
        assert (shown["page"].name, shown["currency"]) == ("calls", "rub" if name == "RUB" else "usd")
    assert f'href="{reverse("usage_billing:usage")}?org={acme.pk}"' in response.content.decode()


@pytest.mark.parametrize(("role", "calls"), [("owner", 2), ("member", 0)])
def test_staff_see_the_figures_of_their_own_calls(
    client: Client, acme: Organization, role: str, calls: int, settings: Any
) -> None:
    settings.LANGUAGE_CODE = "en"
    fill(acme)
    person = User.objects.create_user("staff", is_staff=True)
    person.user_permissions.set(Permission.objects.all())
    Membership.objects.create(org=acme, user=person, role=role)
    client.force_login(person)
    response = page(client, acme)
    assert response.context["figures"]["requests_count"] == calls
    assert f'href="{reverse("usage_billing:usage")}?org={acme.pk}"' in response.content.decode()


def test_page_asks_as_many_questions_for_more_calls_and_members(superadmin: Client, acme: Organization) -> None:
    counts = []
    for number in (1, 20):
        enter(*(row(acme, **days_ago(acme, day)) for day in range(number)))
        for _ in range(number):
            factories.member(acme)
        with CaptureQueriesContext(connection) as captured:
            text = page(superadmin, acme).content.decode()
        counts.append(len(captured))
        # One more: of the row to add a member in.
        assert text.count(" selected>member<") == Membership.objects.count() + 1
    assert counts[0] == counts[1]


def test_members_are_edited_with_their_roles(superadmin: Client, acme: Organization) -> None:
    member = factories.member(acme, "olga")
    given = Membership.objects.get()
    form = {
        "name": "Acme",
        "slug": "acme",
        "timezone": "Europe/Moscow",
        "language": "ru",
        "memberships-TOTAL_FORMS": 1,
        "memberships-INITIAL_FORMS": 1,
        "memberships-0-id": given.pk,
        "memberships-0-org": acme.pk,
        "memberships-0-user": member.pk,
        "memberships-0-role": "owner",
    }
    address = reverse(f"{ORGANIZATIONS}_change", args=[acme.pk])
    assert superadmin.post(address, form).status_code == 302
    given.refresh_from_db()
    assert given.role == "owner"
    superadmin.post(address, {**form, "memberships-0-DELETE": "on"})
    assert not Membership.objects.exists()


def test_button_adds_a_member_in_words(superadmin: Client, acme: Organization) -> None:
    text = page(superadmin, acme).content.decode()
    assert "Add a member" in text
    assert "Add another Membership" not in text


def test_zones_are_suggested_and_explained(superadmin: Client, acme: Organization) -> None:
    text = page(superadmin, acme).content.decode()
    (zones,) = re.findall(r'<datalist id="id_timezone-suggestions">(.*?)</datalist>', text)
    assert ('value="Asia/Tokyo"' in zones, 'value="EST5EDT"' in zones) == (True, False)
    assert "Decides on which billing day a call counts" in text
    enter(row(acme))
    fixed = page(superadmin, acme).content.decode()
    assert ("It cannot be changed any more" in fixed, "datalist" in fixed) == (True, False)
