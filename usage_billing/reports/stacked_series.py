"""A time series split by one group or two: by agent, model, request type, user, organisation, tag, …"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from usage_billing.reports.parameters import Filters, Period
from usage_billing.reports.sql.totals import sums
from usage_billing.reports.time_series import HOUR, beginning
from usage_billing.reports.totals import COST_MEASURES, NO_CALLS, Totals, add, completed
from usage_billing.tenancy.scope import Scope

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Series:
    """One layer of the stack: `key`, the values of the columns, or None for all others; `rows`, one a step."""

    key: Key | None
    rows: list[Totals]


def stacked_series(
    scope: Scope,
    by: Sequence[str],
    keys: Sequence[Key],
    whole: Sequence[Totals],
    period: Period,
    *,
    step: str = "day",
    filters: Filters | None = None,
    measures: Sequence[str] = COST_MEASURES,
) -> list[Series]:
    """Split `whole`, a time series with the same parameters, by `keys`; all others come last. One query; a tag: two.

    The rows have the `measures`, at least `COST_MEASURES`, and `date`. At every step the series add up to the whole.
    `figure` turns them into averages and percentiles.
    """
    narrowing = {**(filters or {}), **{name: {key[n] for key in keys} for n, name in enumerate(by)}}
    starts, begins = [row["date"] for row in whole], beginning(step, scope)
    column = "hour" if step == HOUR else "usage_date"
    nothing = {name: NO_CALLS[name] for name in measures}
    rows: dict[Key, dict[Any, Totals]] = {key: {} for key in keys}
    for row in sums(scope, [column, *by], narrowing, period, measures) if keys else ():
        steps = rows.get(tuple(row[name] for name in by))
        if steps is not None:
            add(steps.setdefault(begins(row[column]), dict(nothing)), row)
    # A day that began after the whole was read is left out.
    layers = {key: [steps.get(start, nothing) for start in starts] for key, steps in rows.items()}
    rest = [_difference(measures, *of_step) for of_step in zip(whole, *layers.values(), strict=True)]
    series = [Series(key, _dated(starts, layer)) for key, layer in layers.items()]
    if any(row["requests_count"] > 0 for row in rest):
        series.append(Series(None, _dated(starts, rest)))
    return series


def _difference(measures: Sequence[str], whole: Totals, *parts: Totals) -> Totals:
    return {name: (whole[name] or NO_CALLS[name]) - sum(part[name] for part in parts) for name in measures}


def _dated(starts: Sequence[Any], rows: Sequence[Totals]) -> list[Totals]:
    return [completed({"date": start, **row}) for start, row in zip(starts, rows, strict=True)]
