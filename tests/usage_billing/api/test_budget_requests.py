"""Requests for higher limits over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import budgets, factories
from tests.usage_billing.api.test_budgets import client, refused, sent
from usage_billing.models import Budget, BudgetChange, Organization

pytestmark = pytest.mark.django_db
REQUESTS = "/api/billing/budget-requests"


@pytest.fixture
def org() -> Organization:
    return factories.organization("Acme")


def ask(person: Any, asked: Budget, **body: Any) -> Any:
    return client(person).post(REQUESTS, {"budget": asked.pk, "limit": "150", **body}, format="json")


def answer(person: Any, id_: int, **body: Any) -> Any:
    return client(person).patch(f"{REQUESTS}/{id_}", body, format="json")


def test_a_member_asks_and_an_owner_grants(org: Organization) -> None:
    member, owner, budget = factories.member(org, "boris"), factories.owner(org, "anna"), budgets.budget(org)
    asked = sent(ask(member, budget, reason="Launch"), 201)
    created_at = asked.pop("created_at")
    assert asked == {
        "id": asked["id"],
        "org": org.slug,
        "budget": budget.pk,
        "budget_name": budget.name,
        "user": member.pk,
        "username": "boris",
        "limit": "150",
        "reason": "Launch",
        "state": "open",
        "answered_by": "",
        "answered_at": None,
    }
    granted = sent(answer(owner, asked["id"], state="granted", limit="120.50"))
    assert (granted["state"], granted["answered_by"], granted["created_at"]) == ("granted", "anna", created_at)
    assert sent(client(member).get(f"{REQUESTS}/{asked['id']}")) == granted
    assert sent(client(member).get(f"/api/billing/budgets/{budget.pk}"))["limit"] == "120.5"
    assert BudgetChange.objects.get().fields == {"limit": ["100", "120.5"], "requested_by": ["", "boris"]}
    assert [*refused(answer(owner, asked["id"], state="refused"), 400)["details"]] == ["state"]


def test_a_request_is_granted_as_wanted_or_refused(org: Organization) -> None:
    owner, budget = factories.owner(org), budgets.budget(org)
    first, second = (budgets.request(budget, factories.member(org), limit=limit) for limit in (150, 170))
    assert sent(answer(owner, first.pk, state="refused"))["state"] == "refused"
    assert Budget.objects.get().limit == 100
    sent(answer(owner, second.pk, state="granted"))
    assert Budget.objects.get().limit == 170


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({"limit": "100"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": None}, "limit"),
        ({"budget": 999_999}, "budget"),
        ({"budget": "1"}, "budget"),
        ({"reason": "x" * 501}, "reason"),
        ({"why": "x"}, "why"),
    ],
)
def test_what_is_wrong_is_told_by_field(org: Organization, body: dict[str, Any], details: str) -> None:
    error = refused(ask(factories.member(org), budgets.budget(org), **body), 400)
    assert [*error["details"]] == [details]


@pytest.mark.parametrize(
    ("body", "details"),
    [({}, "state"), ({"state": "open"}, "state"), ({"state": "granted", "limit": "100"}, "limit")],
)
def test_a_wrong_answer_is_refused(org: Organization, body: dict[str, Any], details: str) -> None:
    request = budgets.request(budgets.budget(org), factories.member(org))
    assert [*refused(answer(factories.owner(org), request.pk, **body), 400)["details"]] == [details]


def test_a_person_has_one_open_request_for_a_budget(org: Organization) -> None:
    member, budget = factories.member(org), budgets.budget(org)
    sent(ask(member, budget), 201)
    assert [*refused(ask(member, budget), 400)["details"]] == ["budget"]
    sent(ask(member, budgets.budget(org)), 201)


def test_who_may_ask_and_answer(org: Organization) -> None:
    owner, member, boss = factories.owner(org), factories.member(org), factories.superadmin()
    owners, superadmins = budgets.budget(org), budgets.budget(org, is_superadmins=True)
    for person, budget in ((owner, owners), (boss, owners), (boss, superadmins)):
        assert refused(ask(person, budget), 403)["code"] == "may_change_it"
    asked = sent(ask(owner, superadmins), 201)["id"]
    assert refused(answer(owner, asked, state="granted"), 403)["code"] == "set_by_superadmin"
    assert refused(answer(owner, asked, state="granted"), 403)["message"].startswith("A superadmin has set this budget")
    of_member = sent(ask(member, owners), 201)["id"]
    for state in ("granted", "refused"):
        assert refused(answer(member, of_member, state=state), 403)["code"] == "not_an_owner"
    sent(answer(boss, asked, state="granted"))


def test_each_person_sees_their_requests(org: Organization) -> None:
    member, other, owner = factories.member(org), factories.member(org), factories.owner(org)
    stranger, boss = factories.owner(factories.organization()), factories.superadmin()
    budget = budgets.budget(org)
    mine, theirs = budgets.request(budget, member), budgets.request(budget, other, state="refused")

    def seen(person: Any, **query: Any) -> set[int]:
        found = sent(client(person).get(REQUESTS, query))
        assert found["count"] == len(found["items"])
        return {item["id"] for item in found["items"]}

    assert (seen(member), seen(other), seen(stranger)) == ({mine.pk}, {theirs.pk}, set())
    assert seen(owner) == seen(boss) == seen(owner, org=org.pk) == seen(owner, budget=budget.pk) == {mine.pk, theirs.pk}
    assert (seen(owner, state="open"), seen(owner, state="granted")) == ({mine.pk}, set())
    for person in (other, stranger):
        for answered in (client(person).get(f"{REQUESTS}/{mine.pk}"), answer(person, mine.pk, state="refused")):
            assert refused(answered, 404)["message"] == "There is no such request."
    refused(client(stranger).get(f"{REQUESTS}/{10**19}"), 404)
    refused(client(None).get(REQUESTS), 401)


def test_nobody_asks_for_a_budget_that_they_do_not_see(org: Organization) -> None:
    others = budgets.budget(org, user_id=factories.member(org).pk)
    missing = refused(ask(factories.member(org), Budget(pk=999_999)), 400)
    assert refused(ask(factories.member(org), others), 400) == missing


def test_a_request_of_a_deleted_user_keeps_the_name(org: Organization) -> None:
    member = factories.member(org, "boris")
    budgets.request(budgets.budget(org), member, state="granted")
    member.delete()
    (item,) = sent(client(factories.owner(org)).get(REQUESTS))["items"]
    assert item["username"] == "boris"
