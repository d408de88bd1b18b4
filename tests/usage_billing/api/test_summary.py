"""The summary: exact numbers, of what the caller may see and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from tests.support import factories, scope_queries
from tests.support.factories import event
from usage_billing.ledger import writer
from usage_billing.models import Membership

URL = "/api/billing/usage/tokens/summary"

pytestmark = pytest.mark.django_db


def summary(person: User) -> Any:
    """Return the summary for a person who has logged in for a token."""
    client = APIClient()
    granted = client.post("/api/token", {"username": person.username, "password": "secret"}, format="json").json()
    answer = client.get(URL, headers={"authorization": f"Bearer {granted['data']['access']}"})
    assert answer.status_code == 200
    return answer.json()["data"]


def test_summary_gives_each_period_exactly() -> None:
    org = factories.organization()
    owner = factories.owner(org)
    now = timezone.now()
    today = timezone.localdate(now, org.zone)
    factories.rate(today, "80.5")
    writer.add(
        [
            event(org=org, at=now),
            event(org=org, at=now, model="gpt-99"),
            event(org=org, at=now - timedelta(days=400)),
        ]
    )
    known = {
        "total_tokens": 2200,
        "cost_usd": "0.00056",
        "cost_rub": "0.04508",
        "requests_count": 2,
        "unpriced_count": 1,
        "unpriced_rub_count": 1,
    }
    assert summary(owner) == {
        "today": known,
        "this_month": known,
        # The old call has no exchange rate: it adds USD, and has no cost in RUB.
        "all_time": known | {"total_tokens": 3300, "cost_usd": "0.00112", "requests_count": 3, "unpriced_rub_count": 2},
    }


def test_neither_of_two_tenants_sees_a_number_of_the_other() -> None:
    ours, theirs = factories.organization(), factories.organization()
    alice, charlie = factories.owner(ours, "alice"), factories.owner(theirs, "charlie")
    bob, dave = factories.member(ours, "bob"), factories.member(theirs, "dave")
    writer.add(
        [
            *(event(org=ours, user=alice, usage=factories.chat_usage(1000, 0)) for _ in range(2)),
            event(org=ours, user=bob, usage=factories.chat_usage(100, 0)),
            event(org=theirs, user=charlie, usage=factories.chat_usage(10, 0)),
            event(org=theirs, user=dave, usage=factories.chat_usage(1, 0)),
        ]
    )
    tokens = {
        person.username: summary(person)["all_time"]["total_tokens"]
        for person in (factories.superadmin("root"), alice, bob, charlie, dave, factories.user("eve"))
    }
    assert tokens == {"root": 2111, "alice": 2100, "bob": 100, "charlie": 11, "dave": 1, "eve": 0}


def test_a_member_who_left_sees_nothing_with_a_token_issued_before() -> None:
    org = factories.organization()
    alice = factories.owner(org, "alice")
    writer.add([event(org=org, user=alice)])
    client = APIClient()
    granted = client.post("/api/token", {"username": "alice", "password": "secret"}, format="json").json()["data"]
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {granted['access']}")
    assert client.get(URL).json()["data"]["all_time"]["requests_count"] == 1
    Membership.objects.all().delete()
    assert client.get(URL).json()["data"]["all_time"]["requests_count"] == 0


def test_summary_needs_the_same_queries_for_any_amount_of_data(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    org = factories.organization()
    client = APIClient()
    client.force_authenticate(factories.owner(org))
    for more in (0, 100):
        writer.add([event(org=org, attribution={"agent_id": f"agent {number}"}) for number in range(more)])
        with django_assert_num_queries(scope_queries.of_a_member() + 3):
            assert client.get(URL).json()["data"]["all_time"]["requests_count"] == more
