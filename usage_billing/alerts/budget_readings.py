"""Shares of budgets that are spent, and forecasts beyond them.

The window before the present one is looked at too: an import, a late record or a repricing may cross its bounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal

from usage_billing.alerts.readings import Reading, Readings, above, at_least
from usage_billing.budgets.spending import in_unit, totals_of
from usage_billing.budgets.windows import Window, window_of
from usage_billing.models import AlertRule, Budget
from usage_billing.reports import Period

FORECAST = "forecast"
"""The key of a forecast, after its window's."""
WHOLE = Decimal(100)
"""Per cent."""


def of_budget(budget: Budget, now: datetime) -> Readings:
    """The shares and the forecast that a budget tells by itself. Keys: `2026-11-01/80`, `2026-11-01/forecast`."""
    shares = [Decimal(share) for share in budget.thresholds]
    return _readings(budget, now, budget.created_at, shares, WHOLE)


def of_rule(rule: AlertRule, now: datetime) -> Readings:
    """The share of a budget, or the forecast, that a rule watches. Its bound is in per cent of the limit."""
    assert rule.budget is not None  # noqa: S101 - a constraint of the table
    since = max(rule.created_at, rule.budget.created_at)
    if rule.kind == AlertRule.Kind.BUDGET_SHARE:
        return _readings(rule.budget, now, since, [rule.bound], None)
    return _readings(rule.budget, now, since, [], rule.bound or WHOLE)


def _readings(
    budget: Budget, now: datetime, since: datetime, shares: Iterable[Decimal], forecast: Decimal | None
) -> Readings:
    """since: windows that were over by then are not looked at: nobody watched them."""
    zone = budget.org.zone
    today, watched_since = now.astimezone(zone).date(), since.astimezone(zone).date()
    window = window_of(budget, today)
    found: dict[str, Reading] = {}
    for each in (window, _before(budget, window)):
        if each is not None and (each.end is None or each.end > watched_since):
            found |= _shares(budget, each, shares, is_open=each == window)
    if forecast is not None and (reading := _forecast(budget, window, today, forecast)):
        found[f"{window.first}/{FORECAST}"] = reading
    return Readings(found, frozenset([str(window.first)]))


def _before(budget: Budget, window: Window) -> Window | None:
    return None if window.end is None else window_of(budget, window.first - timedelta(days=1))


def _shares(budget: Budget, window: Window, shares: Iterable[Decimal], *, is_open: bool) -> dict[str, Reading]:
    if not shares:
        return {}
    spent = in_unit(budget, totals_of(budget, Period(window.first, window.end)))
    return {
        f"{window.first}/{share.normalize():f}": at_least(spent, budget.limit * share / WHOLE, is_open=is_open)
        for share in shares
    }


def _forecast(budget: Budget, window: Window, today: date, share: Decimal) -> Reading | None:
    """None if nothing can be expected: the window has no end, or there is no history."""
    expected = forecast_of(budget, window, today)
    return None if expected is None else above(expected, budget.limit * share / WHOLE)


def forecast_of(budget: Budget, window: Window, today: date) -> Decimal | None:
    """What the window is expected to come to by its end, in the budget's unit."""
    return None
