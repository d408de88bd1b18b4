"""The thread that asks the database: errors that nobody expects, callers that stop waiting."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError

from tests.support import factories, spending
from tests.support.spending import CENT, MODEL
from tests.usage_billing.budgets.world import reserved, settle
from usage_billing.budgets import keeper as keepers
from usage_billing.budgets import leases
from usage_billing.budgets.guard import Guard
from usage_billing.models import Organization
from usage_billing.recording import Attribution
from usage_billing.recording.admission import Planned, Refusal


def planned(org: Organization, **fields: Any) -> Planned:
    given: dict[str, Any] = {"model": MODEL, "text_bytes": 100, "is_open": False, "most_output": CENT} | fields
    return Planned(Attribution(org_id=org.pk), time.time(), "chat", factories.CHAT, **given)


def in_flight(guard: Guard) -> int:
    return sum(lease.in_flight for lease in guard.holdings.leases())


def test_thread_outlives_an_error_of_another_kind(
    guard: Guard, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    spending.budget(org, "2", unit="calls")

    def fail(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("no database error")

    with monkeypatch.context() as failing:
        failing.setattr(keepers, "TEND_S", 0.0)
        failing.setattr(guard.keeper, "tend", fail)
        guard.admit(planned(org), may_wait=True)
        time.sleep(0.2)
    monkeypatch.setattr(keepers, "WAIT_S", 2.0)
    guard.admit(planned(org), may_wait=True)
    assert isinstance(guard.admit(planned(org), may_wait=True), Refusal)


def test_error_at_the_second_budget_frees_what_the_first_one_gave(
    guard: Guard, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = spending.budget(org, "2", unit="calls")
    second = spending.budget(org, "2", unit="calls")
    take = leases.take

    def fail(org_id: int, budget_id: int, *args: Any, **options: Any) -> Any:
        if budget_id == second.pk:
            raise RuntimeError("no database error")
        return take(org_id, budget_id, *args, **options)

    monkeypatch.setattr(leases, "take", fail)
    with pytest.raises(RuntimeError):
        guard.admit(planned(org), may_wait=True)
    assert in_flight(guard) == 0
    settle(guard)
    assert reserved(first) == 0


@pytest.mark.parametrize("is_late", [True, False])
def test_interrupted_caller_leaves_no_hold(
    guard: Guard, org: Organization, monkeypatch: pytest.MonkeyPatch, is_late: bool
) -> None:
    """A signal's handler may raise while a call waits: Ctrl+C in a notebook, a time limit of Celery."""
    spending.budget(org, "2", unit="calls")
    made: list[Any] = []
    take, begun, raised = leases.take, threading.Event(), threading.Event()

    def slow(*args: Any, **options: Any) -> Any:
        begun.set()
        assert not is_late or raised.wait(20)
        return take(*args, **options)

    class Interrupted(keepers._Ask):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            wait = self.done.wait
            made.append(wait)

            def interrupted(timeout: float | None = None) -> bool:
                assert begun.wait(20)
                assert is_late or wait(20)
                raise KeyboardInterrupt

            monkeypatch.setattr(self.done, "wait", interrupted)

    monkeypatch.setattr(leases, "take", slow)
    monkeypatch.setattr(keepers, "_Ask", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        guard.admit(planned(org), may_wait=True)
    raised.set()
    assert made[0](20)
    with guard.holdings.lock:
        assert guard.holdings
        assert in_flight(guard) == 0


def test_conflict_with_another_transaction_is_no_outage(
    guard: Guard, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deadlock, or a host project whose transactions are serializable: PostgreSQL asks to try again."""
    psycopg = pytest.importorskip("psycopg")
    spending.budget(org, "1", unit="calls")
    take, fails = leases.take, [psycopg.errors.SerializationFailure(), psycopg.errors.DeadlockDetected()]

    def conflict(*args: Any, **options: Any) -> Any:
        if fails:
            raise OperationalError("try again") from fails.pop()
        return take(*args, **options)

    monkeypatch.setattr(leases, "take", conflict)
    admitted = guard.admit(planned(org), may_wait=True)
    assert isinstance(admitted, list)
    assert len(admitted) == 1
    assert not guard.keeper.is_away


def test_database_that_hangs_holds_up_one_call_and_leaves_no_backlog(
    guard: Guard, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls that nobody waits for any more are not asked for afterwards: those that wait then would be late too."""
    spending.budget(org, "10", unit="calls")
    take, answers, takes, waits = leases.take, threading.Event(), [], []

    def hang(*args: Any, **options: Any) -> Any:
        takes.append(1)
        assert answers.wait(20)
        return take(*args, **options)

    class Counted(keepers._Ask):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            waits.append(1)

    monkeypatch.setattr(leases, "take", hang)
    monkeypatch.setattr(keepers, "_Ask", Counted)
    monkeypatch.setattr(keepers, "WAIT_S", 0.5)
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(lambda _: guard.admit(planned(org), may_wait=True), range(4))] == [[]] * 4
    began = len(waits)
    assert guard.admit(planned(org), may_wait=True) == []
    assert len(waits) == began
    answers.set()
    monkeypatch.setattr(keepers, "WAIT_S", 20.0)
    until = time.monotonic() + 20
    while guard.admit(planned(org), may_wait=True) == [] and time.monotonic() < until:
        time.sleep(0.05)
    assert in_flight(guard) == 1
    assert len(takes) <= 2
