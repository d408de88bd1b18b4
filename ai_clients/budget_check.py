"""Asks the budgets of a call before it is sent, and tells them what became of it. Nothing here raises.

A call whose budgets cannot be asked is sent.
"""

from __future__ import annotations

import logging
import threading

import anyio.to_thread

from usage_billing.recording import Attribution, admission
from usage_billing.recording.admission import MUST_WAIT, Admitted, Guard, MustWait, Planned, Refusal

logger = logging.getLogger(__name__)

NO_HOLDS: Admitted = ()
SENT = "The budgets of an AI call could not be asked; it is sent."


def concerns(attribution: Attribution) -> bool:
    """Whether a budget may count a call of this attribution: then it is worth to work out what the call may take."""
    try:
        return admission.guard is not None and admission.guard.concerns(attribution)
    except Exception:
        logger.exception(SENT)
        return False


def ask(call: Planned) -> Admitted | Refusal:
    """What the call reserves, or why it may not be sent. It may wait for the database."""
    try:
        return _decided(_guard().admit(call, may_wait=True))
    except Exception:
        logger.exception(SENT)
        return NO_HOLDS


async def ask_async(call: Planned) -> Admitted | Refusal:
    """The same. Where that takes a look into the database, another thread waits for it."""
    try:
        guard = _guard()
        decision = guard.admit(call, may_wait=False)
        return _decided(await _waited(guard, call) if decision is MUST_WAIT else decision)
    except Exception:
        logger.exception(SENT)
        return NO_HOLDS


async def _waited(guard: Guard, call: Planned) -> Admitted | Refusal | MustWait:
    asking = _Asking(guard, call)
    try:
        await anyio.to_thread.run_sync(asking.run)
    except BaseException:
        # Cancelled: nobody will send the call. anyio waits for the thread then, asyncio itself does not.
        asking.give_up()
        raise
    return asking.decision


class _Asking:
    """A call that a thread asks for. Whoever comes last, the decision or the end of the wait, frees what it holds."""

    def __init__(self, guard: Guard, call: Planned) -> None:
        self._guard, self._call = guard, call
        self._lock = threading.Lock()
        self._is_given_up = False
        self.decision: Admitted | Refusal | MustWait = MUST_WAIT

    def run(self) -> None:
        decision = self._guard.admit(self._call, may_wait=True)
        with self._lock:
            self.decision, is_late = decision, self._is_given_up
        if is_late:
            released(_decided(decision))

    def give_up(self) -> None:
        with self._lock:
            self._is_given_up, decision = True, self.decision
        released(_decided(decision))


def recorded(holds: Admitted) -> None:
    """The outbox has the event that settles them."""
    _guard().recorded(holds)


def released(holds: Admitted | Refusal) -> None:
    """The call was not sent, or leaves no record."""
    if holds and not isinstance(holds, Refusal):
        _guard().released(holds)


def _decided(decision: Admitted | Refusal | MustWait) -> Admitted | Refusal:
    return NO_HOLDS if isinstance(decision, MustWait) else decision


def _guard() -> Guard:
    guard = admission.guard
    if guard is None:
        raise RuntimeError("No budget concerns the calls of this process.")
    return guard
