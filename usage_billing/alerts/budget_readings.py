"""Shares of budgets that are spent, and forecasts beyond them.

The window before the present one is looked at too: an import, a late record or a repricing may cross its bounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from usage_billing.alerts.readings import Reading, Readings, above, at_least
from usage_billing.budgets import forecasts
from usage_billing.budgets.days import Counted, counted_by_day
from usage_billing.budgets.windows import Window, window_of
from usage_billing.models import AlertRule, Budget
from usage_billing.reports import Period
from usage_billing.reports.anomalies import LEARNED_DAYS

FORECAST = "forecast"
"""The key of a forecast, after its window's."""
WHOLE = Decimal(100)
"""Per cent."""


@dataclass(frozen=True)
class Watch:
    """What is watched of a budget. shares, forecast: in per cent of the limit. since: earlier windows are left out,
    because nobody watched them."""

    budget: Budget
    shares: Sequence[Decimal]
    forecast: Decimal | None
    since: datetime


def of_itself(budget: Budget) -> Watch:
    """The shares and the forecast that a budget tells without a rule."""
    return Watch(budget, [Decimal(share) for share in budget.thresholds], WHOLE, budget.created_at)


def of_rule(rule: AlertRule) -> Watch:
    """The share, or the forecast, that a rule watches."""
    budget = rule.budget
    assert budget is not None  # noqa: S101 - a constraint of the table
    since = max(rule.created_at, budget.created_at)
    if rule.kind == AlertRule.Kind.BUDGET_SHARE:
        return Watch(budget, [rule.bound], None, since)
    return Watch(budget, [], rule.bound or WHOLE, since)


def read(watches: Sequence[Watch], now: datetime) -> list[Readings]:
    """The readings of each. Keys: `2026-11-01/80`, `2026-11-01/forecast`. A few queries for all of them."""
    budgets = {watch.budget.pk: watch.budget for watch in watches}
    if not budgets:
        return []
    todays = {pk: now.astimezone(budget.org.zone).date() for pk, budget in budgets.items()}
    windows = {pk: window_of(budget, todays[pk]) for pk, budget in budgets.items()}
    before = {pk: _before(budget, windows[pk]) for pk, budget in budgets.items()}
    first = [window.first for window in before.values() if window is not None]
    counted = counted_by_day(
        budgets.values(), windows, min([*first, min(todays.values()) - timedelta(days=LEARNED_DAYS)])
    )
    return [
        _readings(watch, counted[pk], windows[pk], before[pk], todays[pk])
        for watch in watches
        for pk in [watch.budget.pk]
    ]


def _before(budget: Budget, window: Window) -> Window | None:
    return None if window.end is None else window_of(budget, window.first - timedelta(days=1))


def _readings(watch: Watch, counted: Counted, window: Window, before: Window | None, today: date) -> Readings:
    found = _shares(watch, counted, window, is_open=True)
    watched_since = watch.since.astimezone(watch.budget.org.zone).date()
    if before is not None and before.end is not None and before.end > watched_since:
        found |= _shares(watch, counted, before, is_open=False)
    if watch.forecast is not None:
        found |= _forecast(watch, watch.forecast, counted, window, today)
    return Readings(found, frozenset([str(window.first)]))


def _shares(watch: Watch, counted: Counted, window: Window, *, is_open: bool) -> dict[str, Reading]:
    spent, _unpriced = counted.within(Period(window.first, window.end))
    return {
        f"{window.first}/{share.normalize():f}": at_least(spent, watch.budget.limit * share / WHOLE, is_open=is_open)
        for share in watch.shares
    }


def _forecast(watch: Watch, share: Decimal, counted: Counted, window: Window, today: date) -> Mapping[str, Reading]:
    """Empty if nothing can be expected: the window has no end, or there is no history. What is spent already is told by
    a share; it is no forecast."""
    limit = watch.budget.limit * share / WHOLE
    spent, _unpriced = counted.within(Period(window.first, window.end))
    expected = forecasts.forecast(counted.amounts, spent=spent, limit=limit, window=window, today=today).amount
    if expected is None:
        return {}
    return {f"{window.first}/{FORECAST}": replace(above(expected, limit), is_news=spent < limit)}
