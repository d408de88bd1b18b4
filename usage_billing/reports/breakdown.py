"""A period's totals by agent, model, request type, user or organisation, compared with the previous period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from usage_billing.models.daily_usage import MEASURES
from usage_billing.reports.parameters import Period
from usage_billing.reports.totals import Totals, period_over_period, previous_totals, totals, without_unknown_amounts
from usage_billing.tenancy.scope import Scope

COMPARED = ("requests_count", "total_tokens", "cost_usd", "cost_rub")
"""The measures that are compared with the previous period."""


@dataclass(frozen=True)
class Breakdown:
    """`items`: the most expensive first, each with its key columns, the measures and the ratios of `with_ratios`.

    `other`: the totals of the rows beyond the limit, None if there are none. `total`, `before`: of everything.
    """

    items: list[Totals]
    other: Totals | None
    total: Totals
    before: Totals | None


def breakdown(
    scope: Scope,
    by: Sequence[str],
    period: Period,
    today: date,
    *,
    filters: Mapping[str, Any] | None = None,
    limit: int = 200,
    whole: tuple[Totals, Totals | None] | None = None,
    measures: Sequence[str] = MEASURES,
    compare: int | None = None,
) -> Breakdown:
    """The totals by the `by` columns: `limit` rows, of which the first `compare` (default: all) have a `before`.

    Four queries. `whole` saves two: the `period_over_period` of the same parameters, if the caller has it.
    `measures` of the items and of `other`: at least `COMPARED` and the counts of unpriced calls.
    """
    previous = period.before(today)
    total, total_before = whole or period_over_period(scope, period, previous, filters=filters)
    rows = totals(scope, by=by, filters=filters, period=period, limit=limit, measures=measures)
    before = previous_totals(scope, by, rows[:compare], previous, filters or {}) if previous else []
    return Breakdown(
        items=[with_ratios(row, total, earlier) for row, earlier in zip_longest(rows, before)],
        other=_other(total, rows, measures) if len(rows) == limit else None,
        total=with_ratios(total, total, total_before),
        before=total_before,
    )


def with_ratios(row: Totals, total: Totals, before: Totals | None) -> Totals:
    """The row with its ratios; a ratio that cannot be computed is None.

    `share`: of the total's known USD, 0 to 1. `average_cost_usd`, `average_cost_rub`: of the calls with a known amount.
    `average_time_ms`. `before`: the `COMPARED` measures of the previous period, `change`: how much more it is now,
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
    return None if now is None or before is None else _ratio(now - before, before)


def _other(total: Totals, rows: Sequence[Totals], measures: Sequence[str]) -> Totals | None:
    """The total minus the rows."""
    # SQLite's amounts are floats: where nothing is left, the difference may be slightly below zero.
    rest = {name: max((total[name] or 0) - sum(row[name] or 0 for row in rows), 0) for name in measures}
    return without_unknown_amounts(rest) if rest["requests_count"] else None
