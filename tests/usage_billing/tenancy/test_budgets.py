"""Who sees and writes budgets, requests and alerts, by PostgreSQL's row-level security, with or without our code."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError
from django.utils import timezone

from tests.support import budgets, factories
from tests.usage_billing.tenancy.conftest import Rows, World
from usage_billing.alerts import editing as alert_editing
from usage_billing.budgets import editing, requests
from usage_billing.budgets.access import NotAllowedError, visible, visible_requests
from usage_billing.budgets.state import states
from usage_billing.models import (
    AlertChannel,
    AlertDelivery,
    AlertFiring,
    Budget,
    BudgetChange,
    BudgetRequest,
    UsageRecord,
)
from usage_billing.reports import user_names
from usage_billing.tenancy.scope import EVERYTHING, scoped, within

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

ALL = {"everybody's", "the owner's", "the member's", "a superadmin's"}
ALERTS = (
    "usage_alert_channel", "usage_alert_rule", "usage_alert_route", "usage_alert_firing", "usage_alert_delivery",
)  # fmt: skip


def names(raw: Callable[..., Rows], statement: str, *values: Any, who: User) -> set[str]:
    return {name for (name,) in raw(statement, *values, who=who.pk)}


# ── Raw SQL as the web's user ────────────────────────────────────────────────────────────────────────────────────


def test_a_member_sees_the_budgets_that_may_count_their_calls(world: World, raw: Callable[..., Rows]) -> None:
    seen = "SELECT name FROM usage_budget"
    assert names(raw, seen, who=world.owner) == ALL
    assert names(raw, seen, who=world.member) == ALL - {"the owner's"}
    of_others = "SELECT name FROM usage_budget WHERE org_id = %s"
    assert names(raw, of_others, world.org.pk, who=world.stranger) == set()
    assert raw(seen) == []


def test_a_member_sees_nothing_of_what_others_spend(world: World, raw: Callable[..., Rows]) -> None:
    for table in ("usage_budget_lock", "usage_budget_lease", "usage_settled_hold", "usage_budget_change", *ALERTS):
        counted = f"SELECT count(*) FROM {table}"
        assert raw(counted, who=world.owner.pk) != [(0,)], table
        assert raw(counted, who=world.member.pk) == [(0,)], table


def test_an_owner_changes_the_budgets_that_owners_have_set(world: World, raw: Callable[..., Rows]) -> None:
    changed = 'UPDATE usage_budget SET "limit" = 7 RETURNING name'
    deleted = "DELETE FROM usage_budget_request RETURNING 'request'"
    assert names(raw, changed, who=world.member) == set()
    assert names(raw, changed, who=world.owner) == ALL - {"a superadmin's"}
    assert names(raw, deleted, who=world.member) == {"request"}
    with within(EVERYTHING):
        assert {*Budget.objects.filter(limit=100).values_list("org_id", flat=True)} == {world.org.pk, world.other.pk}
        assert Budget.objects.filter(org=world.other, limit=7).count() == 0


@pytest.mark.parametrize("taken", ["is_superadmins = true", "org_id = {other}"])
def test_an_owner_neither_gives_a_budget_away_nor_makes_it_a_superadmins(
    world: World, raw: Callable[..., Rows], taken: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw(f"UPDATE usage_budget SET {taken.format(other=world.other.pk)}", who=world.owner.pk)


INSERT_BUDGET = (
    'INSERT INTO usage_budget (org_id, name, "window", starts_on, "limit", unit, mode, thresholds, when_unavailable,'
    " is_active, is_superadmins, created_at, agent_id, request_type, ai_provider, ai_model, tag_key, tag_value,"
    " replacement) VALUES (%s, 'mine', 'month', now(), 1, 'usd', 'stop', '[]', 'open', true, %s, now(),"
    " '', '', '', '', '', '', '')"
)


def test_only_an_owner_sets_a_budget_and_only_for_their_organisation(world: World, raw: Callable[..., Rows]) -> None:
    raw(INSERT_BUDGET, world.org.pk, False, who=world.owner.pk)
    for who, org, is_superadmins in (
        (world.owner.pk, world.org.pk, True),
        (world.owner.pk, world.other.pk, False),
        (world.member.pk, world.org.pk, False),
        (0, world.org.pk, False),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw(INSERT_BUDGET, org, is_superadmins, who=who)


INSERT_REQUEST = (
    'INSERT INTO usage_budget_request (org_id, budget_id, user_id, "limit", reason, state, created_at, answered_by)'
    " VALUES (%s, %s, %s, 500, '', %s, now(), '')"
)


def test_a_member_asks_for_themselves_and_answers_nothing(world: World, raw: Callable[..., Rows]) -> None:
    budget = Budget.objects.get(org=world.org, name="everybody's")
    raw(INSERT_REQUEST, world.org.pk, budget.pk, world.member.pk, "open", who=world.member.pk)
    for org, user, state in (
        (world.org.pk, world.owner.pk, "open"),
        (world.org.pk, world.member.pk, "granted"),
        (world.other.pk, world.member.pk, "open"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw(INSERT_REQUEST, org, budget.pk, user, state, who=world.member.pk)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw("UPDATE usage_budget_request SET state = 'granted'", who=world.member.pk)
    seen = "SELECT DISTINCT user_id FROM usage_budget_request"
    assert raw(seen, who=world.member.pk) == [(world.member.pk,)]
    assert {*raw(seen, who=world.owner.pk)} == {(world.member.pk,), (world.owner.pk,)}


def test_an_answered_request_stays_as_it_is_for_its_member(world: World, raw: Callable[..., Rows]) -> None:
    BudgetRequest.objects.filter(user=world.member).update(state="refused")
    assert raw("UPDATE usage_budget_request SET state = 'open' RETURNING id", who=world.member.pk) == []
    assert raw("DELETE FROM usage_budget_request RETURNING id", who=world.member.pk) == []


@pytest.mark.parametrize("statement", [
    "UPDATE usage_budget_change SET by = 'somebody else'",
    "DELETE FROM usage_budget_change",
    "UPDATE usage_alert_firing SET state = 'resolved'",
    "DELETE FROM usage_alert_delivery",
    "UPDATE usage_alert_delivery SET state = 'sent'",
    "INSERT INTO usage_settled_hold (org_id, lease_id, number, amount) VALUES (1, 1, 2, 1)",
])  # fmt: skip
def test_the_history_and_what_was_told_cannot_be_changed(
    world: World, raw: Callable[..., Rows], statement: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw(statement, who=world.owner.pk)


def test_nobody_writes_alerts_of_another_organisation_or_of_the_installation(
    world: World, raw: Callable[..., Rows]
) -> None:
    insert = (
        "INSERT INTO usage_alert_channel (org_id, name, kind, target, secret, language, is_active, created_at)"
        " VALUES (%s, 'mine', 'email', 'x@example.com', '', '', true, now())"
    )
    raw(insert, world.org.pk, who=world.owner.pk)
    for who, org in ((world.owner.pk, world.other.pk), (world.owner.pk, None), (world.member.pk, world.org.pk)):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw(insert, org, who=who)
    assert names(raw, "SELECT name FROM usage_alert_channel", who=world.owner) == {"mail", "mine"}
    assert raw("UPDATE usage_alert_channel SET name = 'x' RETURNING id", who=world.member.pk) == []


# ── Our own code, as the web's user ──────────────────────────────────────────────────────────────────────────────


def test_each_person_sees_their_budgets_and_the_state_that_the_ledger_has(as_web: World) -> None:
    now = timezone.now()
    seen = {}
    for name in ("admin", "owner", "member", "stranger"):
        with scoped(getattr(as_web, name)) as scope:
            budgets_ = list(visible(scope))
            spent = {each.pk: found.spent for each in budgets_ for found in [states([each], now)[each.pk]]}
            assert {pk: found.spent for pk, found in states(budgets_, now).items()} == spent
            seen[name] = len(budgets_), visible_requests(scope).count()
    assert seen == {"admin": (8, 4), "owner": (4, 2), "member": (3, 1), "stranger": (4, 2)}
    with scoped(AnonymousUser()) as scope:
        assert not visible(scope).exists()
        assert not Budget.objects.exists()


def test_the_state_of_a_shared_budget_counts_all_its_calls_and_leaves_the_members_scope_as_it_is(
    as_web: World,
) -> None:
    with scoped(as_web.member) as scope:
        own_calls = UsageRecord.objects.count()
        budget = visible(scope).get(name="everybody's")
        found = states([budget], factories.NOON)[budget.pk]
        assert UsageRecord.objects.count() == own_calls == 2
    with within(EVERYTHING):
        known = UsageRecord.objects.filter(org=as_web.org, cost_usd__isnull=False)
        assert found.spent == sum((call.cost_usd for call in known), Decimal(0))
    assert found.unpriced == 1


def test_owners_set_change_and_delete_budgets(as_web: World) -> None:
    with scoped(as_web.owner) as scope:
        budget = editing.create(scope=scope, by="anna", org=as_web.org, values={"name": "New", "limit": Decimal(5)})
        changed = editing.change(budget, scope=scope, by="anna", values={"user_id": as_web.member.pk, "limit": 6})
        assert BudgetChange.objects.filter(budget=budget).count() == 2
        editing.delete(changed, scope=scope, by="anna")
        assert BudgetChange.objects.filter(budget_id=changed.pk).count() == 3
    with scoped(as_web.member) as scope, pytest.raises(NotAllowedError):
        editing.create(scope=scope, by="boris", org=as_web.org, values={"name": "Mine", "limit": Decimal(5)})


def test_alerts_go_with_what_raised_them(as_web: World) -> None:
    with scoped(as_web.owner) as scope:
        budget = visible(scope).get(name="everybody's")
    with within(EVERYTHING):
        raised = AlertFiring.objects.create(org=as_web.org, budget=budget, key="2026-11-01/80", bound=80)
        channel = AlertChannel.objects.get(org=as_web.org)
        AlertDelivery.objects.create(org=as_web.org, firing=raised, channel=channel, event="firing")
    with scoped(as_web.owner) as scope:
        editing.delete(budget, scope=scope, by="anna")
        assert not AlertFiring.objects.filter(budget__isnull=False).exists()
        alert_editing.delete(alert_editing.visible_rules(scope).get(), scope=scope)
        alert_editing.delete(alert_editing.visible_channels(scope).get(), scope=scope)
        assert not AlertDelivery.objects.exists()
    with scoped(as_web.stranger):
        assert (AlertFiring.objects.count(), AlertDelivery.objects.count()) == (1, 1)


def test_a_member_asks_and_an_owner_grants(as_web: World) -> None:
    with scoped(as_web.member) as scope:
        budget = visible(scope).get(name="everybody's")
        requests.ask(budget, scope=scope, limit=Decimal(300), reason="more")
    with scoped(as_web.owner) as scope:
        request = visible_requests(scope).get(budget=budget)
        requests.grant(request, scope=scope, by="anna")
        assert visible(scope).get(pk=budget.pk).limit == Decimal(300)
    with scoped(as_web.member) as scope:
        assert visible_requests(scope).get(budget=budget).state == "granted"


def test_a_superadmin_sets_and_changes_what_owners_cannot(as_web: World) -> None:
    with scoped(as_web.admin) as scope:
        budget = editing.create(scope=scope, by="root", org=as_web.org, values={"name": "New", "limit": Decimal(5)})
        editing.change(visible(scope).get(name="New"), scope=scope, by="root", values={"limit": Decimal(6)})
    with scoped(as_web.owner) as scope:
        assert visible(scope).get(name="New").is_superadmins
        with pytest.raises(NotAllowedError):
            editing.change(budget, scope=scope, by="anna", values={"limit": Decimal(7)})
    with scoped(as_web.owner) as scope, pytest.raises(DatabaseError):
        # Even if our code forgot to look.
        editing.create(scope=EVERYTHING, by="anna", org=as_web.org, values={"name": "Newer", "limit": Decimal(5)})
    with scoped(as_web.admin) as scope:
        editing.delete(budget, scope=scope, by="root")


def check_deletion(world: World) -> None:
    key = world.member.pk
    User.objects.get(pk=key).delete()
    with within(EVERYTHING):
        own = Budget.objects.get(user_id=key)
        assert (own.is_active, BudgetRequest.objects.filter(user_id=key).exists()) == (False, False)
    with scoped(world.owner) as scope:
        assert states(visible(scope), timezone.now())[own.pk].limit == budgets.LIMIT
        assert user_names([key]) == {key: "somebody"}


def test_a_superadmin_deletes_a_user_with_budgets_and_requests(as_web: World) -> None:
    with scoped(as_web.admin):
        check_deletion(as_web)


def test_a_job_deletes_a_user_with_budgets_and_requests(as_drain: World) -> None:
    check_deletion(as_drain)
