"""Tokens and cost by agent, request type and model, from which savings by cache, batch and other models are derived."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from usage_billing.reports.parameters import Filters, Period
from usage_billing.reports.totals import COST_MEASURES, NO_CALLS, Totals, totals
from usage_billing.tenancy.scope import Scope

BY = ("agent_id", "request_type", "ai_provider", "ai_model")
TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens")
MEASURES = (*COST_MEASURES, "refused_count", *TOKENS)


def token_totals(
    scope: Scope, period: Period, *, filters: Filters | None = None, by: Sequence[str] = BY, limit: int | None = None
) -> list[Totals]:
    """The `MEASURES` by the columns of `by`, most expensive first. One query."""
    return totals(scope, by=by, filters=filters, period=period, measures=MEASURES, limit=limit)


def grouped(rows: Iterable[Totals], columns: Sequence[str]) -> dict[tuple[Any, ...], list[Totals]]:
    """The rows by the values of these columns, in their order."""
    found: dict[tuple[Any, ...], list[Totals]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in columns), []).append(row)
    return found


def added_up(rows: Iterable[Totals], columns: Sequence[str]) -> list[Totals]:
    """One row for each combination of the columns, with the sums of the `MEASURES`, most expensive first."""
    found = [{**dict(zip(columns, key, strict=True)), **_sum(group)} for key, group in grouped(rows, columns).items()]
    return sorted(found, key=lambda row: (row["cost_usd"] is None, -(row["cost_usd"] or 0)))


def _sum(rows: Sequence[Totals]) -> Totals:
    """Amounts are None if none of them is known."""
    sums: Totals = {name: sum((row[name] or 0 for row in rows), start=NO_CALLS[name]) for name in MEASURES}
    unknown = [name for name in ("cost_usd", "cost_rub") if all(row[name] is None for row in rows)]
    return {**sums, **dict.fromkeys(unknown)}
