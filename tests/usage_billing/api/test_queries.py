"""The number of statements of each address does not grow with calls, organisations and people."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from tests.support import factories, rows, scope_queries
from tests.support.api_world import BILLING
from usage_billing.models import Membership, Organization

pytestmark = pytest.mark.django_db

# A breakdown: the totals of both periods, the items in both, and what they are called.
STATEMENTS = {
    "summary": 3,
    "history": 1,
    "by-agent": 4,
    "by-model": 4,
    "by-request-type": 4,
    "by-user": 5,
    "by-org": 5,
    # The calls, how many there are, and whether others are archived.
    "detailed": 3,
    "detailed?workflow_id=w": 3,
    "detailed?agent_id=agent%200&agent_id=agent%201": 3,
    "detailed?ordering=created_at": 3,
    "by-provider": 4,
    "by-status": 4,
    "by-workflow": 4,
    "by-content": 4,
    # Before each statement with a tag, whether the rollups keep it apart.
    "by-tag?key=feature": 6,
    "by-agent?tag.feature=search": 8,
    "by-user?then_by=org": 6,
    "history?step=hour&from=2026-11-16&to=2026-11-19": 2,
    "by-agent?content_id=c": 4,
}

WITH_MANY_ITEMS = {"by-agent", "by-model", "by-request-type", "by-user", "by-org", "detailed", "by-user?then_by=org"}


def enter_calls(orgs: int, people: int) -> None:
    """Another call of each of the people in each of the organisations, all owned by the same two."""
    made = [factories.organization() for _ in range(orgs)]
    users = User.objects.bulk_create(User(username=f"person {orgs} {number}") for number in range(people))
    for owner in User.objects.filter(username__startswith="owner"):
        Membership.objects.bulk_create(Membership(org=org, user=owner, role="owner") for org in made)
    rows.enter(
        *(
            rows.row(
                org,
                user_id=user.pk,
                agent_id=f"agent {number}",
                ai_model=f"model {number}",
                request_type=f"type {number}",
                workflow_id="w",
                content_id="c",
                tags={"feature": "search"},
                created_at=factories.NOON,
            )
            for org in made
            for number, user in enumerate(users)
        )
    )


@pytest.mark.parametrize("address", STATEMENTS)
@pytest.mark.parametrize("is_superadmin", [True, False])
def test_the_statements_do_not_grow_with_what_there_is(
    address: str, is_superadmin: bool, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = APIClient()
    client.force_authenticate(factories.superadmin() if is_superadmin else factories.user("owner"))
    scope = scope_queries.of_a_superadmin() if is_superadmin else scope_queries.of_a_member()
    period = "&" if "?" in address else "?"
    period += "" if "from=" in address else "from=2026-11-01&to=2026-11-30"
    for orgs, people in [(2, 1), (15, 20)]:
        enter_calls(orgs, people)
        with django_assert_num_queries(scope + STATEMENTS[address]):
            answer = client.get(f"{BILLING}/{address}{period}").json()["data"]
    if "items" in answer and address in WITH_MANY_ITEMS:
        assert len(answer["items"]) > 15
    assert Organization.objects.count() >= 17


@pytest.mark.parametrize("address", ["detailed?ordering=cost_usd", "detailed?ordering=-total_tokens&limit=7"])
def test_a_list_by_cost_or_tokens_takes_three_statements_more_at_most(
    address: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    """The days that have calls, a few calls of each day, and more calls of some days."""
    client = APIClient()
    client.force_authenticate(factories.user("owner"))
    for orgs, people in [(2, 1), (15, 20)]:
        enter_calls(orgs, people)
        with django_assert_max_num_queries(scope_queries.of_a_member() + 3 + 3):
            assert client.get(f"{BILLING}/{address}").json()["data"]["items"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "xlsx"])
def test_an_export_takes_one_statement_a_read(kind: str, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    client = APIClient()
    client.force_authenticate(factories.user("owner"))
    first = scope_queries.of_a_member() + (kind == "xlsx")  # the workbook counts before it begins
    a_read = 2 + scope_queries.of_a_member()  # whether the person is still let in, and the calls
    for orgs, people in [(2, 1), (15, 20)]:
        enter_calls(orgs, people)
        with django_assert_num_queries(first + a_read):
            b"".join(client.get(f"{BILLING}/export", {"format": kind}))
