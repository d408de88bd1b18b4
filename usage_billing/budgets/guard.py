"""Decides before a call whether it may be sent: registered as `recording.admission.guard`.

Most calls are decided from what this process knows: which budgets count them and what they may take (`call_stakes`),
and its leases (`holdings`). Only what it does not know yet takes a look into the database (`keeper`).
"""

from __future__ import annotations

import atexit
import functools
import os

from usage_billing.budgets.call_stakes import CallStakes
from usage_billing.budgets.holdings import Holdings, UsedUp
from usage_billing.budgets.keeper import Away, Keeper, Outcome
from usage_billing.budgets.refusal_messages import unavailable, used_up
from usage_billing.models import Budget
from usage_billing.recording import admission
from usage_billing.recording.admission import MUST_WAIT, Admitted, MustWait, Planned, Refusal
from usage_billing.recording.context import Attribution


class Guard:
    """See `recording.admission.Guard`."""

    def __init__(self) -> None:
        self.holdings = Holdings()
        self.keeper = Keeper(self.holdings)
        self.stakes = CallStakes(self.keeper)

    def concerns(self, attribution: Attribution) -> bool:
        """Whether a stop budget may count calls of this attribution."""
        return self.stakes.concern(attribution)

    def admit(self, call: Planned, *, may_wait: bool) -> Admitted | Refusal | MustWait:
        """Reserve what the call may cost, or refuse it."""
        stakes = self.stakes.known(call)
        outcome: Outcome | None = None
        if stakes is not None:
            if not stakes:
                return ()
            outcome = self.holdings.reserve(stakes)
            if isinstance(outcome, list):
                for stake in stakes:
                    if self.holdings.needs_more(stake):
                        self.keeper.top_up(stake)
                return outcome
        if outcome is None:
            if not may_wait:
                return MUST_WAIT
            outcome = self.keeper.ask(
                functools.partial(self.stakes.looked_up, call), functools.partial(self.stakes.known, call)
            )
        if isinstance(outcome, UsedUp):
            return used_up(outcome)
        if isinstance(outcome, list):
            return outcome
        return self._without_database(call, outcome)

    def recorded(self, holds: Admitted) -> None:
        self.holdings.recorded(holds)

    def released(self, holds: Admitted) -> None:
        self.holdings.released(holds)

    def _without_database(self, call: Planned, away: Away | None) -> Admitted | Refusal:
        """Decide by the settings of the budgets that could not be asked; without an answer in time, of all of them."""
        if away is None:
            away = Away(self.stakes.unbounded(call), [])
        holds, unasked = away.holds, away.stakes
        closed = next((each for each in unasked if each.budget.when_unavailable == Budget.WhenUnavailable.CLOSED), None)
        if closed is None:
            return holds
        self.holdings.released(holds)
        return unavailable(closed.budget)


def register() -> None:
    """Let calls of this process ask. A forked child has leases of its own, and a process that ends gives back."""
    os.register_at_fork(after_in_child=_start_anew)
    atexit.register(_end)
    _start_anew()


def _start_anew() -> None:
    admission.guard = Guard()


def _end() -> None:
    if isinstance(admission.guard, Guard):
        admission.guard.keeper.end()
