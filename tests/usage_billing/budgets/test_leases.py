"""Leases while a budget changes, while a process is late, and while holds come for leases that are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support import factories, spending
from tests.support.spending import CENT, MODEL
from tests.usage_billing.budgets.world import reserved, spent
from usage_billing.budgets import chores, leases, published
from usage_billing.budgets.guard import Guard
from usage_billing.budgets.spending import LINGER
from usage_billing.ledger import writer
from usage_billing.models import BudgetLease, Organization, SettledHold, UsageRecord
from usage_billing.recording import Attribution
from usage_billing.recording.admission import Planned, Refusal
from usage_billing.recording.event import Hold, encode
from usage_billing.recording.outbox import Outbox


def planned(org: Organization, **fields: Any) -> Planned:
    given: dict[str, Any] = {"model": MODEL, "text_bytes": 0, "is_open": False, "most_output": CENT} | fields
    return Planned(Attribution(org_id=org.pk), time.time(), "chat", factories.CHAT, **given)


def holds_of(guard: Guard, org: Organization) -> list[Hold]:
    admitted = guard.admit(planned(org), may_wait=True)
    assert isinstance(admitted, list), admitted
    return admitted


@pytest.mark.parametrize(("unit", "limit"), [("usd", "0.015"), ("calls", "1")])
def test_lease_in_tokens_is_none_in_another_unit(guard: Guard, org: Organization, unit: str, limit: str) -> None:
    """20,000 tokens that a process has leased are not 20,000 dollars, nor does anybody reserve as many."""
    budget = spending.budget(org, "10000000", unit="tokens")
    for _ in range(4):
        holds_of(guard, org)
    budget.unit, budget.limit = unit, Decimal(limit)
    budget.save()
    published.publish()
    assert reserved(budget) == 0
    assert len(holds_of(guard, org)) == 1
    assert isinstance(guard.admit(planned(org), may_wait=True), Refusal)


def test_process_that_does_not_know_the_new_unit_yet_takes_no_lease(guard: Guard, org: Organization) -> None:
    budget = spending.budget(org, "10000000", unit="tokens")
    (known,) = published.from_database()
    budget.unit, budget.limit = "usd", Decimal("1000")
    budget.save()
    published.write([known])
    assert guard.admit(planned(org), may_wait=True) == []
    assert not BudgetLease.objects.exists()


def test_holds_of_an_organisation_that_is_gone_stop_no_record(org: Organization) -> None:
    """The outbox of a machine that was away, or a database that was set up anew: the call still is a call."""
    events = [
        msgspec.structs.replace(factories.event(org=org.pk), holds=[Hold(org_id, lease_id, number, Decimal(1))])
        for org_id, lease_id, number in [(10**6, 1, 1), (10**30, 10**30, 10**30), (org.pk, 1, 10**30), (org.pk, -1, 1)]
    ]
    assert writer.add(events) == len(events) == UsageRecord.objects.count()
    assert not SettledHold.objects.exists()


def test_hold_of_no_amount_that_a_column_holds_stops_no_record(guard: Guard, org: Organization) -> None:
    spending.budget(org, "2", unit="calls")
    (hold,) = holds_of(guard, org)
    amounts = [Decimal(1), Decimal("sNaN"), Decimal("1e30"), Decimal("NaN"), Decimal("Infinity"), Decimal(-1)]
    events = [
        msgspec.structs.replace(
            factories.event(org=org.pk), holds=[msgspec.structs.replace(hold, number=number, amount=amount)]
        )
        for number, amount in enumerate(amounts, 1)
    ]
    assert writer.add(events) == len(events)
    assert [*SettledHold.objects.values_list("number", "amount")] == [(1, 1)]


def test_lease_that_is_renewed_while_another_process_looks_is_not_deleted(
    guard: Guard, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was away for an hour: all processes come back at once, each late with its leases."""
    budget = spending.budget(org, "2", unit="calls")
    (hold,) = holds_of(guard, org)
    late = BudgetLease.objects.filter(pk=hold.lease_id)
    late.update(expires_at=datetime.now(UTC) - LINGER)
    delete = leases._delete

    def meanwhile(org_id: int, lease_ids: Sequence[int], **condition: Any) -> None:
        late.update(expires_at=datetime.now(UTC) + timedelta(seconds=60))
        delete(org_id, lease_ids, **condition)

    monkeypatch.setattr(leases, "_delete", meanwhile)
    other = Guard()
    holds_of(other, org)
    assert late.exists()
    assert isinstance(other.admit(planned(org), may_wait=True), Refusal)
    other.keeper.end()
    assert [spent(budget), reserved(budget)] == [0, 2]


def test_lease_that_expires_between_two_looks_is_reserved(
    guard: Guard, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there still, so its process may renew it: either it is deleted, or it is reserved."""
    budget = spending.budget(org, "1", unit="calls")
    (hold,) = holds_of(guard, org)
    delete = leases._delete_expired

    def expires_after(*args: Any) -> None:
        delete(*args)
        BudgetLease.objects.filter(pk=hold.lease_id).update(expires_at=datetime.now(UTC) - LINGER)

    monkeypatch.setattr(leases, "_delete_expired", expires_after)
    other = Guard()
    assert isinstance(other.admit(planned(org), may_wait=True), Refusal)
    other.keeper.end()
    assert leases.renew(org.pk, [hold.lease_id], {}) == {hold.lease_id: 1}
    assert reserved(budget) == 1


# ── Processes that died ──────────────────────────────────────────────────────────────────────────────────────────────


def expire(at: datetime | None = None) -> None:
    BudgetLease.objects.update(expires_at=at or datetime.now(UTC))


@pytest.fixture
def other(guard: Guard) -> Iterator[Guard]:
    """The guard of another process."""
    made = Guard()
    yield made
    made.keeper.end()


def test_calls_of_the_dead_are_reserved_until_the_ledger_has_them(
    guard: Guard, other: Guard, org: Organization, outbox: Outbox, drained: Callable[[], int], tmp_path: Path
) -> None:
    budget = spending.budget(org, "1", unit="calls")
    outbox.append(encode(msgspec.structs.replace(factories.event(org=org.pk), holds=holds_of(other, org))))
    expire()
    chores.release_leases(outbox)  # a drain that has not come so far
    chores.release_leases(Outbox(tmp_path / "other"))  # the drain of another machine, with nothing to do
    assert [spent(budget), reserved(budget)] == [0, 1]
    assert isinstance(guard.admit(planned(org), may_wait=True), Refusal)
    drained()
    assert [spent(budget), reserved(budget)] == [1, 0]
    chores.release_leases(outbox)
    assert not BudgetLease.objects.exists()


def test_calls_that_died_with_their_process_are_free_again(
    guard: Guard, other: Guard, org: Organization, outbox: Outbox
) -> None:
    budget = spending.budget(org, "1", unit="calls")
    holds_of(other, org)
    outbox.append(encode(factories.event(org=org.pk)))
    chores.release_leases(outbox)  # it may be alive
    assert reserved(budget) == 1
    expire(datetime.now(UTC) - timedelta(seconds=10))
    chores.release_leases(outbox)  # the event that waits is younger
    assert reserved(budget) == 0
    assert len(holds_of(guard, org)) == 1


def test_leases_of_a_machine_that_is_lost_go_after_an_hour(guard: Guard, other: Guard, org: Organization) -> None:
    budget = spending.budget(org, "1", unit="calls")
    holds_of(other, org)
    expire(datetime.now(UTC) - LINGER)
    assert reserved(budget) == 0
    leases.sweep()
    assert not BudgetLease.objects.exists()
