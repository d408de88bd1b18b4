"""How a period's cost went from day to day, apart by agent, model, kind of request, user or organisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from usage_billing.reports.parameters import Period
from usage_billing.reports.sql.pipelining import Later, Report
from usage_billing.reports.time_series import STEPS, add
from usage_billing.reports.totals import NO_CALLS, OF_COSTS, Totals, known, totals
from usage_billing.tenancy.scope import Scope

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Series:
    """One layer of the stack: `key`, the values of the columns, None for all others together; `rows`, one a step."""

    key: Key | None
    rows: list[Totals]


@Report
def stacked(
    scope: Scope,
    by: Sequence[str],
    keys: Sequence[Key],
    whole: Sequence[Totals],
    period: Period,
    *,
    step: str = "day",
    filters: Mapping[str, Any] | None = None,
) -> Later[list[Series]]:
    """`whole`, a `history` of the same question, apart by `keys`; what is left of it comes last. One query.

    The rows have the measures of `OF_COSTS`, and `date`. At every step the series add up to the whole.
    """
    narrowed = {**(filters or {}), **{name: {key[n] for key in keys} for n, name in enumerate(by)}}
    found = totals.ask(scope, by=["usage_date", *by], filters=narrowed, period=period, measures=OF_COSTS)

    def read() -> list[Series]:
        starts, first = [row["date"] for row in whole], STEPS[step]
        rows: dict[Key, dict[date, Totals]] = {key: {} for key in keys}
        for row in found():
            days = rows.get(tuple(row[name] for name in by))
            if days is not None:
                add(days.setdefault(first(row["usage_date"]), dict(NOTHING)), row)
        # A day may have begun since the whole was read: it is not in it.
        layers = {key: [days.get(start, NOTHING) for start in starts] for key, days in rows.items()}
        rest = [_difference(*of_step) for of_step in zip(whole, *layers.values(), strict=True)]
        series = [Series(key, _listed(starts, layer)) for key, layer in layers.items()]
        if any(row["requests_count"] > 0 for row in rest):
            series.append(Series(None, _listed(starts, rest)))
        return series

    return read


NOTHING: Totals = {name: NO_CALLS[name] for name in OF_COSTS}


def _difference(whole: Totals, *parts: Totals) -> Totals:
    rest = {name: whole[name] or NO_CALLS[name] for name in OF_COSTS}
    for part in parts:
        if part is not NOTHING:
            for name in OF_COSTS:
                rest[name] -= part[name]
    return rest


def _listed(starts: Sequence[date], rows: Sequence[Totals]) -> list[Totals]:
    return [known({"date": start, **row}) for start, row in zip(starts, rows, strict=True)]
