"""What a budget will have spent when its window ends, and the day on which it runs out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from usage_billing.budgets.windows import Window
from usage_billing.reports.anomalies import LEARNED_DAYS
from usage_billing.reports.forecast import days_left, expected_by_day, learned_days, usual

LOOKED_AHEAD = timedelta(days=3650)
"""A total that lasts longer does not run out for any purpose."""


@dataclass(frozen=True)
class Forecast:
    """amount: at the end of the window, in the budget's unit; None for a total, and without a whole day of history.

    runs_out_on: the day on which the limit is reached; today if it is reached already, None if it will not be.
    """

    amount: Decimal | None
    runs_out_on: date | None


def forecast(
    amounts: Mapping[date, Decimal], *, spent: Decimal, limit: Decimal, window: Window, today: date
) -> Forecast:
    """The amount spent, plus the average of its weekday in the 28 days before today for each day left.

    amounts: by day, in the budget's unit, since 28 days before today, and in the window. A total has no end: it runs
    out by the average of the 28 days.
    """
    # Days before them are there only if other budgets, with longer windows, were read with this one.
    since = min(today - timedelta(days=LEARNED_DAYS), window.first)
    learned = learned_days((day for day in amounts if day >= since), today)
    if window.end is None:
        return Forecast(None, _end_of_total(amounts, limit - spent, max(today, window.first), today, learned))
    if not learned:
        return Forecast(None, today if spent >= limit else None)
    to_come = expected_by_day(amounts, today, days_left(today, window.end), learned)
    return Forecast(sum(to_come.values(), spent), _day_of_limit(to_come, limit - spent, today))


def _day_of_limit(to_come: Mapping[date, Decimal], left: Decimal, today: date) -> date | None:
    if left <= 0:
        return today
    for day, amount in to_come.items():
        left -= amount
        if left <= 0:
            return day
    return None


def _end_of_total(
    amounts: Mapping[date, Decimal], left: Decimal, first: date, today: date, learned: int
) -> date | None:
    if left <= 0:
        return today
    average = usual(amounts, today, learned) if learned else Decimal(0)
    if not average:
        return None
    left_of_first = max(Decimal(0), average - (amounts.get(today, Decimal(0)) if first == today else Decimal(0)))
    days = max(0, math.ceil((left - left_of_first) / average))
    # A total may begin near the last day that there is.
    return first + timedelta(days=days) if days <= min(LOOKED_AHEAD.days, (date.max - first).days) else None
