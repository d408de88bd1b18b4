"""Sums of every measure: from the day's totals, of the coarsest grain that has what is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from usage_billing.models import DailyUsage
from usage_billing.models.daily_usage import MEASURES
from usage_billing.reports.parameters import ALL_TIME, Period
from usage_billing.reports.sql.pipelining import Later, Report
from usage_billing.reports.sql.sums import Part, added_up
from usage_billing.tenancy.scope import Scope

Totals = dict[str, Any]
"""Measure → sum.

Amounts are Decimal USD and RUB over the calls whose amount is known, None if there are calls and none is known;
`unpriced_usd_count` and `unpriced_rub_count` say how many are not known. Without calls everything is zero.
"""

OF_COSTS = ("requests_count", "unpriced_usd_count", "unpriced_rub_count", "cost_usd", "cost_rub")
"""The measures that tell a cost, and whether it is known."""
BEFORE = (*OF_COSTS, "total_tokens")
"""The measures of a period before."""
_BEFORE = "before_of_"


@Report
def totals(
    scope: Scope,
    *,
    by: Iterable[str] = (),
    filters: Mapping[str, Any] | None = None,
    period: Period = ALL_TIME,
    limit: int | None = None,
    measures: Sequence[str] = MEASURES,
) -> Later[list[Totals]]:
    """One row for each combination of the `by` columns, the dearest first; `limit` keeps that many of them.

    `by` and `filters` name columns of `FILTERS`, `by` also `usage_date`; a filter's value may be a set of them. No user
    is 0. Without `by` there is one row. `measures` may be fewer than all; `OF_COSTS` at least.
    """
    by = tuple(by)
    rows = added_up(scope, by, filters or {}, [Part(period, measures)], limit)
    return lambda: [_answered(row) for row in rows()]


def charged(org_ids: Iterable[int]) -> set[int]:
    """Those of the organisations that have calls at all, archived ones too."""
    rows = DailyUsage.objects.filter(grain="org", org_id__in=[*org_ids])
    return set(rows.values_list("org_id", flat=True).distinct())


@Report
def ranked(
    scope: Scope,
    by: Sequence[str],
    period: Period,
    before: Period | None,
    *,
    filters: Mapping[str, Any] | None = None,
    limit: int | None = None,
    measures: Sequence[str] = MEASURES,
    compare: int | None = None,
) -> Later[list[tuple[Totals, Totals | None]]]:
    """What `totals` gives for a period; each row with its totals of the period before, if there is one. One query.

    Those have the measures of `BEFORE`, and are all zero for a row that had no calls then. With `compare` only the
    first so many rows have them: in a second query, which reads no more of the period before than these rows.
    """
    if before is None or compare is not None:
        found = totals.ask(scope, by=by, filters=filters, period=period, limit=limit, measures=measures)

        def read() -> list[tuple[Totals, Totals | None]]:
            earlier = [] if before is None else _earlier(scope, by, found()[:compare], before, filters or {})
            return [*zip_longest(found(), earlier)]

        return read
    rows = added_up(scope, by, filters or {}, [Part(period, measures), Part(before, BEFORE, _BEFORE)], limit)
    return lambda: [
        ({name: row[name] for name in by} | _part(row, "", measures), _part(row, _BEFORE, BEFORE)) for row in rows()
    ]


def _earlier(
    scope: Scope, by: Sequence[str], rows: Sequence[Totals], before: Period, filters: Mapping[str, Any]
) -> list[Totals]:
    """Of each of these rows, what it was in the period before."""
    if not rows:
        return []
    narrowed = {**filters, **{name: {row[name] for row in rows} for name in by}}
    found = totals(scope, by=by, filters=narrowed, period=before, measures=BEFORE)
    earlier = {tuple(row[name] for name in by): {name: row[name] for name in BEFORE} for row in found}
    nothing = {name: NO_CALLS[name] for name in BEFORE}
    return [earlier.get(tuple(row[name] for name in by), nothing) for row in rows]


@Report
def compared(
    scope: Scope, period: Period, before: Period | None, *, filters: Mapping[str, Any] | None = None
) -> Later[tuple[Totals, Totals | None]]:
    """The totals of a period, and those of `BEFORE` of the one before it, in one query."""
    found = ranked.ask(scope, (), period, before, filters=filters)
    return lambda: found()[0]


def summary(
    scope: Scope, today: date, filters: Mapping[str, Any] | None = None, period: Period = ALL_TIME
) -> dict[str, Totals]:
    """Totals of `today`, of `this_month` and of `all_time`, as far as they lie in the period, in one query.

    An organisation east of the reader may be a day ahead already; its calls count as today's.
    """
    beginnings = {"today": today, "this_month": today.replace(day=1), "all_time": None}
    parts = [Part(_from(period, since), MEASURES, f"{name}_of_") for name, since in beginnings.items()]
    (row,) = added_up(scope, (), filters or {}, parts)()
    return {name: _part(row, f"{name}_of_", MEASURES) for name in beginnings}


def _from(period: Period, since: date | None) -> Period:
    """What of the period is not before that day."""
    days = [day for day in (period.since, since) if day is not None]
    return Period(max(days, default=None), period.until)


def _part(row: Mapping[str, Any], prefix: str, measures: Sequence[str]) -> Totals:
    """The measures of one period."""
    return _answered({name: row[prefix + name] for name in measures})


def _answered(row: dict[str, Any]) -> Totals:
    """The sums of nothing are zero."""
    if row["cost_usd"] is None or row["cost_rub"] is None:
        row = {name: NO_CALLS.get(name) if value is None else value for name, value in row.items()}
    return _told(row)


NO_CALLS: Totals = {name: Decimal(0) if name.startswith("cost_") else 0 for name in MEASURES}


def known(row: Mapping[str, Any]) -> Totals:
    """The row with None for an amount of which nothing is known: the sum of no known amounts is not zero."""
    return _told(dict(row))


def _told(row: dict[str, Any]) -> Totals:
    """Likewise, in the row itself: a page has thousands."""
    if row["requests_count"]:
        if row["unpriced_usd_count"] == row["requests_count"]:
            row["cost_usd"] = None
        if row["unpriced_rub_count"] == row["requests_count"]:
            row["cost_rub"] = None
    return row
