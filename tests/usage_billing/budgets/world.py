"""Looks at budgets as the tests need it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

from tests.support import factories
from usage_billing.budgets.guard import Guard
from usage_billing.budgets.spending import spending
from usage_billing.budgets.windows import window_of
from usage_billing.models import Budget


def spent(budget: Budget, day: date | None = None) -> Decimal:
    return spending(budget, window_of(budget, day or factories.today(budget.org))).spent


def reserved(budget: Budget, day: date | None = None) -> Decimal:
    return spending(budget, window_of(budget, day or factories.today(budget.org))).reserved


def settle(guard: Guard, drained: Callable[[], int] = lambda: 0) -> None:
    """Drain, and let the keeper give back what is idle, at once."""
    drained()
    guard.keeper.tend(is_last=True)
