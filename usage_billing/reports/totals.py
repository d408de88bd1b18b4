"""Sums of every measure over a period, with or without a breakdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from usage_billing.models import DailyUsage
from usage_billing.models.daily_usage import DIMENSIONS, MEASURES
from usage_billing.reports.durations import DURATIONS, p95_time_ms
from usage_billing.reports.parameters import ALL_TIME, Filters, Period
from usage_billing.reports.sql.totals import AVERAGES, P95, sums, sums_between
from usage_billing.tenancy.scope import Scope

Totals = dict[str, Any]
"""Measure → sum.

Amounts are Decimal USD and RUB over the calls with a known amount, None if there are calls and no amount is known;
`unpriced_usd_count` and `unpriced_rub_count` count the calls left out. Without calls everything is zero.
"""

COST_MEASURES = ("requests_count", "unpriced_usd_count", "unpriced_rub_count", "cost_usd", "cost_rub")
"""The measures that state a cost, and how many calls it leaves out."""
PREVIOUS_MEASURES = (*COST_MEASURES, "total_tokens")
"""The measures of the previous period."""
FEW_ROWS = 20
"""Up to so many rows are looked up by key, more are read with all others: of 104 users 25 ms against 6 ms."""

NO_CALLS: Totals = {name: Decimal(0) if name.startswith("cost_") else 0 for name in (*MEASURES, *DURATIONS)}

ROW_ORDERINGS = (*MEASURES, *AVERAGES, P95)
"""Figures to order rows by; with a minus before it, largest first. Rows without the figure come last."""
MOST_EXPENSIVE_FIRST = "-cost_usd"


def totals(
    scope: Scope,
    *,
    by: Iterable[str] = (),
    filters: Filters | None = None,
    period: Period = ALL_TIME,
    limit: int | None = None,
    measures: Sequence[str] = MEASURES,
    ordering: str = MOST_EXPENSIVE_FIRST,
) -> list[Totals]:
    """One row for each combination of the `by` columns, in the order of `ordering`; without `by` one row. One query.

    `by`: columns of `FILTERS`, `tag.<key>`, `usage_date` and `hour` (of single calls: archived calls are left out). No
    user is 0, no tag is the empty text. `measures` includes `requests_count`, and with an amount its count of unpriced
    calls; with `DURATIONS` the rows have `p95_time_ms`. With a tag it takes two queries.
    """
    columns, sql_measures = tuple(by), _with_what_is_ordered(measures, ordering)
    return [completed(row) for row in sums(scope, columns, filters or {}, period, sql_measures, limit, ordering)]


def totals_by_day(
    scope: Scope, period: Period, *, filters: Filters | None = None, measures: Sequence[str] = COST_MEASURES
) -> dict[date, Totals]:
    """The totals of each billing day of the period that has calls. One query."""
    rows = totals(scope, by=["usage_date"], filters=filters, period=period, measures=measures)
    return {row["usage_date"]: row for row in rows}


def totals_between(
    scope: Scope,
    since: datetime,
    until: datetime,
    *,
    by: Iterable[str] = (),
    filters: Filters | None = None,
    measures: Sequence[str] = MEASURES,
) -> list[Totals]:
    """The totals of the calls from one moment to another, such as an hour's: one row for each combination of `by`.

    Single calls are added up, found by their time; archived ones are left out. One query.
    """
    return [completed(row) for row in sums_between(scope, tuple(by), filters or {}, since, until, measures)]


def previous_totals(
    scope: Scope,
    by: Sequence[str],
    rows: Sequence[Totals],
    previous: Period,
    filters: Filters,
    measures: Sequence[str] = PREVIOUS_MEASURES,
) -> list[Totals]:
    """The `measures` of each of these rows in the previous period; zero for a row without calls then."""
    if not rows:
        return []
    # There may be any number of workflows, and of values of tags. An index finds the days of 200 users among 1,083:
    # 15 ms of CPU against 35.
    is_by_user_of_all = scope.everything and (*by,) == ("user_id",) and not filters
    if len(rows) <= FEW_ROWS or not {*by} <= {*DIMENSIONS} or is_by_user_of_all:
        filters = {**filters, **{name: {row[name] for row in rows} for name in by}}
    found = totals(scope, by=by, filters=filters, period=previous, measures=measures, ordering=f"-{measures[0]}")
    by_key = {tuple(row[name] for name in by): {name: row[name] for name in measures} for row in found}
    nothing = {name: NO_CALLS[name] for name in measures}
    return [by_key.get(tuple(row[name] for name in by), nothing) for row in rows]


def summary(scope: Scope, today: date, filters: Filters | None = None, period: Period = ALL_TIME) -> dict[str, Totals]:
    """Totals of `today`, `this_month` and `all_time`, each cut to the period. Three queries.

    In an organisation east of the reader it may be tomorrow already; its calls count as today's.
    """
    starts = {"today": today, "this_month": today.replace(day=1), "all_time": None}
    return {
        name: totals(scope, filters=filters, period=_starting_at(start, period))[0] for name, start in starts.items()
    }


def orgs_with_calls(org_ids: Iterable[int]) -> set[int]:
    """The organisations, of these, that have calls, archived ones included."""
    rows = DailyUsage.objects.filter(grain="org", org_id__in=[*org_ids])
    return set(rows.values_list("org_id", flat=True).distinct())


def total_of(rows: Iterable[Totals], measures: Sequence[str]) -> Totals:
    """The sum of rows."""
    found = {name: NO_CALLS[name] for name in measures}
    for row in rows:
        add(found, row)
    return completed(found)


def add(row: Totals, other: Totals) -> None:
    """Add another row's measures to those of `row`."""
    for name in row:
        row[name] += other[name] or 0


def difference(whole: Totals, rows: Sequence[Totals], measures: Sequence[str]) -> Totals | None:
    """Return the rest of the whole without these rows; None if there are no calls."""
    # SQLite's amounts are floats: where nothing is left, the difference may be slightly below zero.
    rest = {
        name: max((whole[name] or 0) - sum((row[name] or 0 for row in rows), Decimal(0)), Decimal(0))
        if name.startswith("cost_")
        else max(whole[name] - sum(row[name] for row in rows), 0)
        for name in measures
    }
    return completed(rest) if rest["requests_count"] else None


def _starting_at(start: date | None, period: Period) -> Period:
    """The part of the period that begins on that day or later."""
    return Period(max((day for day in (period.since, start) if day is not None), default=None), period.until)


def _with_what_is_ordered(measures: Sequence[str], ordering: str) -> tuple[str, ...]:
    """The measures, and those that the ordering needs."""
    name = ordering.removeprefix("-")
    needed = DURATIONS if name == P95 else (AVERAGES[name][0], "refused_count") if name in AVERAGES else (name,)
    return tuple(dict.fromkeys((*measures, *needed)))


def completed(row: Totals) -> Totals:
    """Put into the row zero for the sum of no rows, None for an amount of which nothing is known (the sum of no known
    amounts is not zero), and the percentile of its durations. Returns the row."""
    if None in row.values():
        row |= {name: NO_CALLS.get(name) for name, value in row.items() if value is None}
    calls = row["requests_count"]
    for unpriced, cost in _UNPRICED:
        if calls and row.get(unpriced) == calls:
            row[cost] = None
    if DURATIONS[0] in row:
        row[P95] = p95_time_ms(row)
    return row


_UNPRICED = (("unpriced_usd_count", "cost_usd"), ("unpriced_rub_count", "cost_rub"))
