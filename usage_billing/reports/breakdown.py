"""A period's totals by one dimension or two, such as agent, model, user or a tag, compared with the previous period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import zip_longest

from usage_billing.models.daily_usage import MEASURES
from usage_billing.reports.figures import change, figure, ratio, sent_calls
from usage_billing.reports.parameters import Filters, Period
from usage_billing.reports.totals import (
    MOST_EXPENSIVE_FIRST,
    PREVIOUS_MEASURES,
    Totals,
    difference,
    previous_totals,
    totals,
)
from usage_billing.tenancy.scope import Scope

COMPARED = ("requests_count", "total_tokens", "cost_usd", "cost_rub")
"""The measures that are compared with the previous period."""


@dataclass(frozen=True)
class Breakdown:
    """`items`: in the order asked for, each with its key columns, the measures and the ratios of `with_ratios`.

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
    filters: Filters | None = None,
    limit: int = 200,
    whole: tuple[Totals, Totals | None] | None = None,
    measures: Sequence[str] = MEASURES,
    compare: int | None = None,
    ordering: str = MOST_EXPENSIVE_FIRST,
    previous: Period | None = None,
) -> Breakdown:
    """The totals by the `by` columns: `limit` rows, of which the first `compare` (default: all) have a `before`.

    `by`: the columns of one dimension or of two, tags included; the rows add up to the total, because calls without a
    value have a row too. `ordering`: one of `FIGURES`, with a minus largest first.

    Four queries; with a tag, eight. `whole` saves half: total and `before` of a `comparison` with the
    same parameters. `previous`: another period to compare with. Whole days are
    compared, also where today has only begun: `comparison` of the total compares the same part of the day. `measures`
    of the items and of `other`: at least `requests_count`, and an amount with its count of unpriced calls; `DURATIONS`
    for percentiles. The `PREVIOUS_MEASURES` among them are those of `before`.
    """
    previous = previous or period.before(today)
    total, total_before = whole or _whole(scope, period, previous, filters or {}, measures)
    rows = totals(scope, by=by, filters=filters, period=period, limit=limit, measures=measures, ordering=ordering)
    compared = [name for name in PREVIOUS_MEASURES if name in measures]
    before = previous_totals(scope, by, rows[:compare], previous, filters or {}, compared) if previous else []
    return Breakdown(
        items=[with_ratios(row, total, earlier) for row, earlier in zip_longest(rows, before)],
        other=difference(total, rows, [name for name in measures if name in total]) if len(rows) == limit else None,
        total=with_ratios(total, total, total_before),
        before=total_before,
    )


def _whole(
    scope: Scope, period: Period, previous: Period | None, filters: Filters, measures: Sequence[str]
) -> tuple[Totals, Totals | None]:
    """The totals of the period, and of the previous one. Two queries."""
    (total,) = totals(scope, filters=filters, period=period, measures=tuple(dict.fromkeys((*MEASURES, *measures))))
    return total, previous_totals(scope, (), [total], previous, filters)[0] if previous else None


def with_ratios(row: Totals, total: Totals, before: Totals | None) -> Totals:
    """The row with its ratios; a ratio that cannot be computed is None.

    `share`: of the total's known amount, in USD where the row has it, 0 to 1. `average_cost_usd`, `average_cost_rub`:
    of the calls with a known amount. `average_time_ms`. `before`: the `COMPARED` measures of the previous period;
    `change`: how much more it is now, 0.25 for a quarter more, 0 for nothing after nothing.
    """
    amounts = [name for name in ("cost_usd", "cost_rub") if name in row]
    compared = [name for name in COMPARED if name in row]
    return {
        **row,
        "share": ratio(row[amounts[0]], total[amounts[0]]),
        **{f"average_{name}": figure(row, f"average_{name}") for name in amounts},
        "average_time_ms": ratio(row.get("execution_time_ms"), sent_calls(row)),
        "before": before and {name: before[name] for name in compared},
        "change": before and {name: change(row[name], before[name]) for name in compared},
    }
