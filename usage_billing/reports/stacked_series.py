"""A time series split by agent, model, request type, user or organisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from usage_billing.reports.parameters import Period
from usage_billing.reports.time_series import STEPS, add
from usage_billing.reports.totals import COST_MEASURES, NO_CALLS, Totals, totals, without_unknown_amounts
from usage_billing.tenancy.scope import Scope

Key = tuple[Any, ...]
NOTHING: Totals = {name: NO_CALLS[name] for name in COST_MEASURES}


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
    filters: Mapping[str, Any] | None = None,
) -> list[Series]:
    """Split `whole`, a time series with the same parameters, by `keys`; all others come last. One query.

    The rows have the `COST_MEASURES`, and `date`. At every step the series add up to the whole.
    """
    narrowed = {**(filters or {}), **{name: {key[n] for key in keys} for n, name in enumerate(by)}}
    starts, first = [row["date"] for row in whole], STEPS[step]
    rows: dict[Key, dict[date, Totals]] = {key: {} for key in keys}
    for row in totals(scope, by=["usage_date", *by], filters=narrowed, period=period, measures=COST_MEASURES):
        days = rows.get(tuple(row[name] for name in by))
        if days is not None:
            add(days.setdefault(first(row["usage_date"]), dict(NOTHING)), row)
    # A day that began after the whole was read is left out.
    layers = {key: [days.get(start, NOTHING) for start in starts] for key, days in rows.items()}
    rest = [_difference(*of_step) for of_step in zip(whole, *layers.values(), strict=True)]
    series = [Series(key, _dated(starts, layer)) for key, layer in layers.items()]
    if any(row["requests_count"] > 0 for row in rest):
        series.append(Series(None, _dated(starts, rest)))
    return series


def _difference(whole: Totals, *parts: Totals) -> Totals:
    return {name: (whole[name] or NO_CALLS[name]) - sum(part[name] for part in parts) for name in COST_MEASURES}


def _dated(starts: Sequence[date], rows: Sequence[Totals]) -> list[Totals]:
    return [{"date": start, **without_unknown_amounts(row)} for start, row in zip(starts, rows, strict=True)]
