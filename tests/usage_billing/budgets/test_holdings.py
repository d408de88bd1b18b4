"""What a process does with the leases that it has."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.db import OperationalError

from tests.support import factories, spending
from tests.support.spending import MODEL
from tests.usage_billing.budgets.world import reserved, settle
from usage_billing.budgets import call_bounds, call_stakes, holdings, leases
from usage_billing.budgets.call_bounds import CallBounds
from usage_billing.budgets.guard import Guard
from usage_billing.ledger import writer
from usage_billing.models import BudgetLease, Organization, SettledHold
from usage_billing.recording import Attribution
from usage_billing.recording.admission import Planned, Refusal

PER_CENT = 5_682
"""Output tokens of `MODEL` of which the estimate is a cent, with the surcharge of regions."""


def planned(org: Organization, most_output: int = PER_CENT, agent_id: str = "", **fields: Any) -> Planned:
    given: dict[str, Any] = {"model": MODEL, "text_bytes": 0, "is_open": False} | fields
    attribution = Attribution(org_id=org.pk, agent_id=agent_id)
    return Planned(attribution, time.time(), "chat", factories.CHAT, most_output=most_output, **given)


def ask(guard: Guard, call: Planned) -> Any:
    return guard.admit(call, may_wait=True)


def test_rest_of_a_budget_is_for_one_call_alone(guard: Guard, org: Organization) -> None:
    """A smaller call that takes a part of it leaves nothing that a larger one may take."""
    budget = spending.budget(org, "0.01")
    (large,) = ask(guard, planned(org, 100 * PER_CENT))
    assert large.amount == budget.limit
    guard.released([large])
    assert isinstance(ask(guard, planned(org, PER_CENT // 2)), list)
    assert isinstance(ask(guard, planned(org, 100 * PER_CENT)), Refusal)


@pytest.mark.parametrize("unit", ["usd", "rub"])
def test_leases_whose_calls_the_ledger_has_are_closed(
    guard: Guard, org: Organization, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    """SQLite keeps 15 digits of an amount: what it has settled is never exactly what was granted."""
    monkeypatch.setattr(CallBounds, "most", lambda *_: Decimal("1234.567891234567"))
    budget = spending.budget(org, "1000000", unit=unit)
    for _ in range(20):
        (hold,) = ask(guard, planned(org))
        guard.recorded([hold])
        writer.add([msgspec.structs.replace(factories.event(org=org.pk), holds=[hold])])
    settle(guard)
    settle(guard)
    assert guard.holdings.leases() == []
    assert not BudgetLease.objects.exists()
    assert not SettledHold.objects.exists()
    assert reserved(budget) == 0


# ── The database is away ─────────────────────────────────────────────────────────────────────────────────────────


def lease_some(guard: Guard, org: Organization) -> None:
    for holds in [ask(guard, planned(org)) for _ in range(6)]:
        guard.released(holds)


def away(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_options: Any) -> Any:
        raise OperationalError("away")

    for module, name in ((leases, "take"), (leases, "renew"), (call_bounds, "load")):
        monkeypatch.setattr(module, name, fail)


def test_calls_of_an_agent_that_is_not_known_spend_no_lease_for_nothing_while_the_database_is_away(
    guard: Guard, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells what such a call may cost: a lease of a few cents is no permission for ten thousand of them."""
    spending.budget(org, "10", when_unavailable="closed")
    lease_some(guard, org)
    away(monkeypatch)
    assert isinstance(ask(guard, planned(org)), list)
    assert isinstance(ask(guard, planned(org, agent_id="another")), Refusal)


def test_estimate_that_was_looked_up_long_ago_is_good_enough_while_the_database_is_away(
    guard: Guard, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    spending.budget(org, "10", when_unavailable="closed")
    lease_some(guard, org)
    (known,) = ask(guard, planned(org))
    monkeypatch.setattr(call_stakes, "FRESH_S", -1.0)
    guard.stakes._routes.clear()
    known_bounds = guard.stakes._bounds._known
    guard.stakes._bounds._known = {key: each._replace(until=0.0) for key, each in known_bounds.items()}
    away(monkeypatch)
    (late,) = ask(guard, planned(org))
    assert late.amount == known.amount


def test_lease_is_for_so_many_calls_even_if_they_hold_little(guard: Guard, org: Organization) -> None:
    """Calls that cost more than they hold are noticed by the next look into the ledger: it must come."""
    spending.budget(org, "2")
    for holds in [ask(guard, planned(org)) for _ in range(12)]:
        guard.released(holds)
    sent = 0
    while isinstance(holds := ask(guard, planned(org, most_output=1)), list):
        guard.recorded(holds)
        event = factories.event(org=org.pk, model=MODEL, usage=factories.chat_usage(0, spending.CENT * 10))
        writer.add([msgspec.structs.replace(event, holds=holds)])
        sent += 1
        assert sent <= 20 + 3 * holdings.MOST_CALLS
    assert sent >= 20


def test_refusals_of_former_windows_are_forgotten(guard: Guard, org: Organization) -> None:
    spending.budget(org, "1", unit="calls", window="day")
    for day in range(3):
        moment = time.time() - 86_400 * day
        writer.add([factories.event(org=org.pk, at=datetime.fromtimestamp(moment, UTC))])
        assert isinstance(ask(guard, planned(org)._replace(started_at=moment)), Refusal)
    time.sleep(holdings.REFUSED_S)
    settle(guard)
    assert not guard.holdings._pools


def test_lease_of_which_the_database_has_less_is_used_no_further(guard: Guard, org: Organization) -> None:
    """The connection broke while a part was given back: it was, but nobody told."""
    budget = spending.budget(org, "100", unit="calls")
    for holds in [ask(guard, planned(org)) for _ in range(12)]:
        guard.released(holds)
    guard.keeper.ask(lambda: (), lambda: ())  # behind a lease for calls to come, which the thread may be fetching
    free = sum(lease.free for lease in guard.holdings.leases())
    for lease in guard.holdings.leases():
        lease.until = time.monotonic()
    BudgetLease.objects.update(granted=0)
    assert free > 0
    guard.keeper.tend()
    assert sum(lease.free for lease in guard.holdings.leases()) <= reserved(budget)
