"""Asking for a higher limit, granting and refusing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import translation

from tests.support import budgets, factories
from usage_billing.budgets import requests
from usage_billing.budgets.access import NotAllowedError, visible, visible_requests
from usage_billing.models import Budget, BudgetChange, BudgetRequest, DeletedUser, Organization
from usage_billing.reports import user_names
from usage_billing.tenancy.scope import EVERYTHING, Scope, of_organization, scope_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def org() -> Organization:
    return factories.organization("Acme")


@pytest.fixture
def person(org: Organization) -> Any:
    return factories.member(org, "boris")


def refused(act: Any, kind: type[Exception] = ValidationError) -> Any:
    with translation.override("en"), pytest.raises(kind) as error:
        act()
    return error.value


def test_a_member_asks_and_an_owner_grants_as_much_as_they_think_right(org: Organization, person: Any) -> None:
    budget = budgets.budget(org)
    request = requests.ask(budget, scope=scope_of(person), limit=Decimal(300), reason=" Launch week ")
    assert (request.state, request.reason, request.user_id) == ("open", "Launch week", person.pk)
    answered = requests.grant(request, scope=of_organization(org.pk), by="anna", limit=Decimal(200))
    answered.refresh_from_db()
    assert (answered.state, answered.answered_by, answered.limit) == ("granted", "anna", Decimal(300))
    assert answered.answered_at is not None
    budget.refresh_from_db()
    assert budget.limit == Decimal(200)
    change = BudgetChange.objects.get()
    assert (change.by, change.fields) == ("anna", {"limit": ["100", "200"], "requested_by": ["", "boris"]})


def test_nobody_asks_for_a_part_of_a_token(org: Organization, person: Any) -> None:
    budget = budgets.budget(org, unit="tokens")
    error = refused(lambda: requests.ask(budget, scope=scope_of(person), limit=Decimal("100.5")))
    assert error.message_dict == {"limit": ["Tokens and calls are whole numbers."]}


def test_a_grant_does_not_lower_a_limit_that_was_raised_meanwhile(
    org: Organization, person: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = budgets.request(budgets.budget(org), person)
    read = requests._open

    def raised_after(given: BudgetRequest) -> BudgetRequest:
        found = read(given)
        Budget.objects.update(limit=500)
        return found

    monkeypatch.setattr(requests, "_open", raised_after)
    error = refused(lambda: requests.grant(request, scope=EVERYTHING, by="root", limit=Decimal(200)))
    assert error.message_dict == {"limit": ["Write an amount above the present limit, which is 500."]}


def test_a_request_is_granted_as_wanted(org: Organization, person: Any) -> None:
    request = budgets.request(budgets.budget(org), person)
    requests.grant(request, scope=EVERYTHING, by="root")
    assert Budget.objects.get().limit == Decimal(200)


def test_a_refused_request_changes_nothing_and_leaves_room_for_another(org: Organization, person: Any) -> None:
    budget = budgets.budget(org)
    request = requests.ask(budget, scope=scope_of(person), limit=Decimal(300))
    again = refused(lambda: requests.ask(budget, scope=scope_of(person), limit=Decimal(400)))
    assert [*again.message_dict] == ["budget"]
    requests.refuse(request, scope=of_organization(org.pk), by="anna")
    assert (Budget.objects.get().limit, BudgetChange.objects.count()) == (Decimal(100), 0)
    assert requests.ask(budget, scope=scope_of(person), limit=Decimal(400)).pk != request.pk


@pytest.mark.parametrize("answer", [requests.grant, requests.refuse])
def test_a_request_is_answered_once(org: Organization, person: Any, answer: Any) -> None:
    request = budgets.request(budgets.budget(org), person)
    requests.refuse(request, scope=EVERYTHING, by="root")
    error = refused(lambda: answer(request, scope=EVERYTHING, by="anna"))
    assert [*error.message_dict] == ["state"]
    assert BudgetRequest.objects.get().answered_by == "root"
    assert Budget.objects.get().limit == Decimal(100)


@pytest.mark.parametrize("limit", [Decimal(100), Decimal(0), Decimal(-1)])
def test_the_limit_is_above_the_present_one(org: Organization, person: Any, limit: Decimal) -> None:
    budget = budgets.budget(org)
    assert [*refused(lambda: requests.ask(budget, scope=scope_of(person), limit=limit)).message_dict] == ["limit"]
    request = budgets.request(budget, person)
    granted = refused(lambda: requests.grant(request, scope=EVERYTHING, by="root", limit=limit))
    assert [*granted.message_dict] == ["limit"]
    assert BudgetRequest.objects.get().state == "open"


def test_nobody_asks_for_an_inactive_budget(org: Organization, person: Any) -> None:
    budget = budgets.budget(org, is_active=False)
    assert [*refused(lambda: requests.ask(budget, scope=scope_of(person), limit=Decimal(300))).message_dict] == [
        "budget"
    ]


def test_whoever_may_change_a_budget_does_not_ask(org: Organization) -> None:
    owner, budget = factories.owner(org), budgets.budget(org)
    for scope in (scope_of(owner), scope_of(factories.superadmin())):
        act = lambda scope=scope: requests.ask(budget, scope=scope, limit=Decimal(300))  # noqa: E731
        assert refused(act, NotAllowedError).code == "may_change_it"


def test_owners_ask_superadmins_and_cannot_grant_their_budgets(org: Organization, person: Any) -> None:
    budget = budgets.budget(org, is_superadmins=True)
    owner = scope_of(factories.owner(org))
    request = requests.ask(budget, scope=owner, limit=Decimal(300))
    act = lambda: requests.grant(request, scope=owner, by="anna")  # noqa: E731
    assert refused(act, NotAllowedError).code == "set_by_superadmin"
    requests.grant(request, scope=EVERYTHING, by="root")
    assert Budget.objects.get().limit == Decimal(300)
    # They may refuse what members ask of it.
    requests.refuse(budgets.request(budget, person), scope=owner, by="anna")


def test_members_answer_nothing(org: Organization, person: Any) -> None:
    request = budgets.request(budgets.budget(org), person)
    for answer in (requests.grant, requests.refuse):
        act = lambda answer=answer: answer(request, scope=scope_of(person), by="boris")  # noqa: E731
        assert refused(act, NotAllowedError).code == "not_an_owner"


def test_people_see_their_budgets_and_requests(org: Organization, person: Any) -> None:
    other, stranger = factories.member(org), factories.owner(factories.organization())
    shared, own = budgets.budget(org), budgets.budget(org, user_id=person.pk)
    others = budgets.budget(org, user_id=other.pk)
    asked = budgets.request(shared, person)
    everybody = {
        "member": (scope_of(person), {shared, own}, {asked}),
        "other": (scope_of(other), {shared, others}, set()),
        "owner": (scope_of(factories.owner(org)), {shared, own, others}, {asked}),
        "superadmin": (EVERYTHING, {shared, own, others}, {asked}),
        "stranger": (scope_of(stranger), set(), set()),
        "nobody": (Scope(), set(), set()),
    }
    for who, (scope, seen, requested) in everybody.items():
        assert ({*visible(scope)}, {*visible_requests(scope)}) == (seen, requested), who


def test_a_deleted_user_leaves_readable_budgets_and_answered_requests(org: Organization, person: Any) -> None:
    own, shared = budgets.budget(org, user_id=person.pk), budgets.budget(org)
    budgets.request(own, person, state="granted")
    budgets.request(shared, person)
    key = person.pk
    person.delete()
    own.refresh_from_db()
    assert (own.user_id, own.is_active) == (key, False)
    assert [request.budget_id for request in BudgetRequest.objects.all()] == [own.pk]
    assert DeletedUser.objects.get().name == "boris"
    assert user_names([key]) == {key: "boris"}
    assert [change.fields for change in BudgetChange.objects.all()] == [{"is_active": ["true", "false"]}]
    assert {*visible(of_organization(org.pk))} == {own, shared}
