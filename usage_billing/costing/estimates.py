"""Estimates the cost of a few calls from their events, before the ledger has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from usage_billing.costing import costs
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.recording.event import Event


@dataclass(frozen=True)
class Estimate:
    """Tokens and amounts (USD, RUB) of some calls, failed ones included. An amount is None if one call's is unknown.

    unpriced_count: calls whose USD are unknown. unpriced_rub_count: these, and those whose day has no exchange rate.
    """

    requests_count: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost_usd: Decimal | None
    cost_rub: Decimal | None
    unpriced_count: int
    unpriced_rub_count: int


def estimate(events: Sequence[Event]) -> Estimate:
    """Estimate these calls at today's prices and rates. The database role must see all price overrides."""
    rows = list(costs.rows(events, PriceOverrides.load()))
    return Estimate(
        requests_count=len(rows),
        prompt_tokens=sum(row["prompt_tokens"] for row in rows),
        completion_tokens=sum(row["completion_tokens"] for row in rows),
        total_tokens=sum(row["total_tokens"] for row in rows),
        cost_usd=_sum(row["cost_usd"] for row in rows),
        cost_rub=_sum(row["cost_rub"] for row in rows),
        unpriced_count=sum(row["cost_usd"] is None for row in rows),
        unpriced_rub_count=sum(row["cost_rub"] is None for row in rows),
    )


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Return the sum; None if one amount is unknown, for the rest would be too little."""
    total = Decimal(0)
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total
