"""How the totals went from day to day, week to week or month to month."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from usage_billing.models.daily_usage import MEASURES
from usage_billing.reports.parameters import Period
from usage_billing.reports.sql.pipelining import Later, Report
from usage_billing.reports.totals import NO_CALLS, Totals, known, totals
from usage_billing.tenancy.scope import Scope

STEPS: dict[str, Callable[[date], date]] = {
    "day": lambda day: day,
    "week": lambda day: day - timedelta(days=day.weekday()),
    "month": lambda day: day.replace(day=1),
}
"""Step → the first day of the one that a day lies in; a week begins on Monday."""


@Report
def history(
    scope: Scope,
    period: Period,
    today: date,
    *,
    step: str = "day",
    filters: Mapping[str, Any] | None = None,
    measures: Sequence[str] = MEASURES,
) -> Later[list[Totals]]:
    """One row a day, week or month, the oldest first, without gaps; `date` is its first day.

    The first and the last week or month hold what of them lies in the period. One query.
    """
    found = totals.ask(scope, by=["usage_date"], filters=filters, period=period, measures=measures)
    first = STEPS[step]

    def read() -> list[Totals]:
        days = found()
        rows = {start: {name: NO_CALLS[name] for name in measures} for start in _starts(first, days, period, today)}
        for day in days:
            add(rows[first(day["usage_date"])], day)
        return [{"date": start, **known(row)} for start, row in sorted(rows.items())]

    return read


def newest_days(rows: Sequence[Totals], period: Period, count: Callable[[Totals], int], calls: int) -> Period | None:
    """The newest part of the period that has so many calls, or all that there are; None if there are none.

    `rows`: the history of the period, of which `count` says how many such calls they have at least.
    """
    until = period.until
    found, since = 0, None
    for number, row in reversed([*enumerate(rows)]):
        if not count(row):
            continue
        if not found and number + 1 < len(rows):
            until = rows[number + 1]["date"]
        found += count(row)
        since = row["date"]
        if found >= calls:
            break
    return Period(max(since, period.since or since), until) if since else None


def add(row: Totals, other: Totals) -> None:
    """Another row's measures to those of `row`."""
    for name in row:
        row[name] += other[name] or 0


def _starts(first: Callable[[date], date], days: list[Totals], period: Period, today: date) -> Iterator[date]:
    """The first day of each step. A zone east of the reader's may be a day ahead: its day follows."""
    known = [row["usage_date"] for row in days]
    day = min([*known, today]) if period.since is None else period.since
    last = max([*known, period.last(today)])
    while day <= last:
        yield first(day)
        day += timedelta(days=1)
