"""Where the money goes: a period's totals by agent, model, kind of request, user or organisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from usage_billing.models.daily_usage import MEASURES
from usage_billing.reports.parameters import Period
from usage_billing.reports.sql.pipelining import Later, Report
from usage_billing.reports.totals import Totals, compared, known, ranked
from usage_billing.tenancy.scope import Scope

COMPARED = ("requests_count", "total_tokens", "cost_usd", "cost_rub")
"""The measures that are set against the period before."""


@dataclass(frozen=True)
class Breakdown:
    """`items`: the dearest first, each with its key columns, the measures and what `_with_ratios` works out of them.

    `other`: the totals of those beyond the limit, None if there are none. `total`, `before`: of everything.
    """

    items: list[Totals]
    other: Totals | None
    total: Totals
    before: Totals | None


@Report
def breakdown(
    scope: Scope,
    by: Sequence[str],
    period: Period,
    today: date,
    *,
    filters: Mapping[str, Any] | None = None,
    limit: int = 200,
    whole: Later[tuple[Totals, Totals | None]] | None = None,
    measures: Sequence[str] = MEASURES,
    compare: int | None = None,
) -> Later[Breakdown]:
    """The totals by the `by` columns, compared with the same period before: all of them, or the first `compare`.

    Those that are not compared have no ratios. Two queries, whatever there is; with `compare` three. `whole`: what
    `compared` answers to the same question, where it has been asked already; then one less.
    `measures`: of the items and the rest; `COMPARED` and the counts of unknown costs at least.
    """
    previous = period.before(today)
    whole = whole or compared.ask(scope, period, previous, filters=filters)
    ranks = ranked.ask(scope, by, period, previous, filters=filters, limit=limit, measures=measures, compare=compare)

    def read() -> Breakdown:
        (total, total_before), rows = whole(), ranks()
        compared_ones = rows[:compare]
        return Breakdown(
            items=[
                *(with_ratios(row, total, before) for row, before in compared_ones),
                *(row for row, _ in rows[len(compared_ones) :]),
            ],
            other=_rest(total, [row for row, _ in rows], measures) if len(rows) == limit else None,
            total=with_ratios(total, total, total_before),
            before=total_before,
        )

    return read


def with_ratios(row: Totals, total: Totals, before: Totals | None) -> Totals:
    """The row, and what follows from it; a ratio that cannot be worked out is None.

    `share`: of the total's known USD, 0 to 1. `average_cost_usd`, `average_cost_rub`: of the calls whose amount is
    known. `average_time_ms`. `before`: the `COMPARED` measures of the period before, `change`: how much more it is now,
    0.25 for a quarter more.
    """
    calls = row["requests_count"]
    return {
        **row,
        "share": _ratio(row["cost_usd"], total["cost_usd"]),
        **{
            f"average_cost_{currency}": _ratio(row[f"cost_{currency}"], calls - row[f"unpriced_{currency}_count"])
            for currency in ("usd", "rub")
        },
        "average_time_ms": _ratio(row.get("execution_time_ms"), calls),
        "before": before and {name: before[name] for name in COMPARED},
        "change": before and {name: _change(row[name], before[name]) for name in COMPARED},
    }


def _ratio(part: Any, whole: Any) -> Decimal | None:
    return Decimal(part) / Decimal(whole) if part is not None and whole else None


def _change(now: Any, before: Any) -> Decimal | None:
    return None if now is None else _ratio(now - before if before is not None else None, before)


def _rest(total: Totals, listed: Sequence[Totals], measures: Sequence[str]) -> Totals | None:
    """What the total has beyond the rows that are listed."""
    # SQLite's amounts are floats: where nothing is left, less than nothing may be.
    rest = {name: max((total[name] or 0) - sum(row[name] or 0 for row in listed), 0) for name in measures}
    return known(rest) if rest["requests_count"] else None
