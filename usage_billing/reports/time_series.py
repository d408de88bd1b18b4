"""Totals by day, week or month."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from usage_billing.models.daily_usage import MEASURES
from usage_billing.reports.parameters import Period
from usage_billing.reports.totals import NO_CALLS, Totals, totals, without_unknown_amounts
from usage_billing.tenancy.scope import Scope

STEPS: dict[str, Callable[[date], date]] = {
    "day": lambda day: day,
    "week": lambda day: day - timedelta(days=day.weekday()),
    "month": lambda day: day.replace(day=1),
}
"""Step → function from a day to the first day of its step; a week begins on Monday."""


def time_series(
    scope: Scope,
    period: Period,
    today: date,
    *,
    step: str = "day",
    filters: Mapping[str, Any] | None = None,
    measures: Sequence[str] = MEASURES,
) -> list[Totals]:
    """One row a day, week or month, the oldest first, without gaps; `date` is its first day. One query.

    The first and the last week or month count only their days in the period.
    """
    days = totals(scope, by=["usage_date"], filters=filters, period=period, measures=measures)
    first = STEPS[step]
    rows = {start: {name: NO_CALLS[name] for name in measures} for start in _starts(first, days, period, today)}
    for day in days:
        add(rows[first(day["usage_date"])], day)
    return [{"date": start, **without_unknown_amounts(row)} for start, row in sorted(rows.items())]


def add(row: Totals, other: Totals) -> None:
    """Add another row's measures to those of `row`."""
    for name in row:
        row[name] += other[name] or 0


def _starts(first: Callable[[date], date], days: list[Totals], period: Period, today: date) -> Iterator[date]:
    """The first day of each step. A day after today is included if an organisation in the east has calls on it."""
    known = [row["usage_date"] for row in days]
    day = min([*known, today]) if period.since is None else period.since
    last = max([*known, period.last_day(today)])
    while day <= last:
        yield first(day)
        day += timedelta(days=1)
