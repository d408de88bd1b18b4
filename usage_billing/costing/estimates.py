"""What a few calls cost, told at once from their events: as the ledger will enter them, without waiting for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from usage_billing.costing import costs
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.recording.event import Event


@dataclass(frozen=True)
class Estimate:
    """Tokens and amounts of some calls, failed attempts among them. An amount is None if that of any call is unknown.

    unpriced_count: calls without a known cost in USD, or without a rate for RUB.
    """

    requests_count: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost_usd: Decimal | None
    cost_rub: Decimal | None
    unpriced_count: int


def spent(events: Sequence[Event]) -> Estimate:
    """What these calls cost, at the prices and the rate of now. Reads; call it where all prices can be seen."""
    rows = list(costs.rows(events, PriceOverrides.load()))
    return Estimate(
        requests_count=len(rows),
        prompt_tokens=sum(row["prompt_tokens"] for row in rows),
        completion_tokens=sum(row["completion_tokens"] for row in rows),
        total_tokens=sum(row["total_tokens"] for row in rows),
        cost_usd=_sum(row["cost_usd"] for row in rows),
        cost_rub=_sum(row["cost_rub"] for row in rows),
        unpriced_count=sum(row["cost_rub"] is None for row in rows),
    )


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; None as soon as one of them is not known, for the rest would be too little."""
    total = Decimal(0)
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total
