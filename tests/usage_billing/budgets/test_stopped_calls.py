"""Members do not learn from their own stopped calls what others spend: by API, export or admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from tests.support import factories
from tests.support.rows import enter, row
from tests.usage_billing.api.test_budgets import client
from usage_billing.models import Organization, UsageRecord

pytestmark = pytest.mark.django_db
REPORTS = "/api/billing/usage/tokens"
TOLD = {"id": 1, "name": "All", "unit": "usd", "window": "month", "limit": "80.00", "wanted": "0.50"}


@pytest.fixture
def org() -> Organization:
    return factories.organization("Acme")


def stopped(org: Organization, person: Any) -> UsageRecord:
    told = {"budget": TOLD | {"spent": "77.77", "reserved": "3.33"}}
    enter(row(org, user_id=person.pk, status="refused", error_code="429 budget_exceeded", response_metadata=told))
    return UsageRecord.objects.get()


def read(person: Any, call: UsageRecord) -> list[str]:
    """The call wherever the person can read its metadata."""
    addresses = ("detailed", f"detailed/{call.pk}", *(f"export?format={kind}" for kind in ("csv", "jsonl")))
    answers: list[Any] = [client(person).get(f"{REPORTS}/{address}") for address in addresses]
    person.is_staff = True
    person.save()
    person.user_permissions.add(Permission.objects.get(codename="view_usagerecord"))
    web = Client()
    web.force_login(person)
    answers.append(web.get(f"/superadmin/usage_billing/usagerecord/{call.pk}/change/"))
    assert [answer.status_code for answer in answers] == [200] * 5
    return [(answer.getvalue() if answer.streaming else answer.content).decode() for answer in answers]


def test_a_member_reads_no_figures_of_the_budget(org: Organization) -> None:
    member = factories.member(org)
    for text in read(member, stopped(org, member)):
        assert "80.00" in text
        assert "77.77" not in text
        assert "3.33" not in text


@pytest.mark.parametrize("who", ["owner", "superadmin"])
def test_whoever_sees_all_calls_reads_them(org: Organization, who: str) -> None:
    call = stopped(org, factories.member(org))
    for text in read(factories.owner(org) if who == "owner" else factories.superadmin(), call):
        assert "77.77" in text
        assert "3.33" in text
