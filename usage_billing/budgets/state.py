"""The state of budgets: what is spent, reserved and left, when it resets, and what is expected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from usage_billing.budgets import forecasts
from usage_billing.budgets.days import Counted, counted_by_day
from usage_billing.budgets.spending import reserved_of
from usage_billing.budgets.windows import Window, window_of
from usage_billing.models import Budget
from usage_billing.models.fields import MONEY_PLACES
from usage_billing.reports import Period
from usage_billing.reports.anomalies import LEARNED_DAYS
from usage_billing.tenancy.scope import Scope, within

READS = 3
"""A call that is settled between the reads of what is reserved and what is spent would be in both, or in neither. They
are repeated so many times; beyond that, under load, the last figures are shown."""


@dataclass(frozen=True)
class BudgetState:
    """Amounts in the budget's unit, of its present window.

    unpriced: calls whose cost is unknown, which `spent` leaves out. resets_at: in the organisation's zone; None for a
    total. forecast: at the end of the window. runs_out_on: the day on which `spent` reaches the limit.
    """

    window: Window
    limit: Decimal
    spent: Decimal
    reserved: Decimal
    unpriced: int
    resets_at: datetime | None
    forecast: Decimal | None
    runs_out_on: date | None

    @property
    def remaining(self) -> Decimal:
        """What may still be reserved; negative if more was spent than the limit."""
        return self.limit - self.spent - self.reserved

    @property
    def share(self) -> Decimal:
        """What is spent, as a part of the limit: 1 is all of it."""
        return self.spent / self.limit

    @property
    def is_used_up(self) -> bool:
        return self.spent >= self.limit


def state(budget: Budget, at: datetime) -> BudgetState:
    """The state of one budget at a moment of its present window."""
    return states([budget], at)[budget.pk]


def states(budgets: Iterable[Budget], at: datetime) -> dict[int, BudgetState]:
    """The state of each budget, by its id. A few queries for all budgets that narrow by the same columns.

    Whoever asks must be allowed to see the budgets' figures (`access.shows_figures`): this reads all calls of their
    organisations. Budgets of `access.visible` have their organisations with them; others take a query each for it.
    """
    found = list(budgets)
    if not found:
        return {}
    todays = {budget.pk: at.astimezone(budget.org.zone).date() for budget in found}
    windows = {budget.pk: window_of(budget, todays[budget.pk]) for budget in found}
    learned_since = min(todays.values()) - timedelta(days=LEARNED_DAYS)
    with within(Scope(owned_org_ids=frozenset(budget.org_id for budget in found))):
        reserved = reserved_of(found, windows, at)
        for _ in range(READS):
            counted = counted_by_day(found, windows, learned_since)
            before, reserved = reserved, reserved_of(found, windows, at)
            if reserved == before:
                break
    return {
        budget.pk: _state(budget, windows[budget.pk], counted[budget.pk], reserved[budget.pk], todays[budget.pk])
        for budget in found
    }


def _state(budget: Budget, window: Window, counted: Counted, reserved: Decimal, today: date) -> BudgetState:
    spent, unpriced = counted.within(Period(window.first, window.end))
    expected = forecasts.forecast(counted.amounts, spent=spent, limit=budget.limit, window=window, today=today)
    return BudgetState(
        window=window,
        limit=budget.limit,
        spent=spent,
        reserved=reserved,
        unpriced=unpriced,
        resets_at=window.resets_at(budget.org.zone),
        forecast=_rounded(expected.amount, budget),
        runs_out_on=expected.runs_out_on,
    )


def _rounded(amount: Decimal | None, budget: Budget) -> Decimal | None:
    """An average to the places of its unit."""
    if amount is None:
        return None
    return round(amount, MONEY_PLACES if budget.unit in (Budget.Unit.USD, Budget.Unit.RUB) else 0)
