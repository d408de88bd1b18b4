"""Days that cost far more than the days around them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from usage_billing.reports.totals import Totals

LEAST_DAYS = 7
"""Fewer days do not say what is usual."""
TIMES_USUAL = 2
DEVIATIONS = 3
SCALE = Decimal("1.4826")
"""Turns a median deviation into a standard one (Rousseeuw and Croux 1993)."""


@dataclass(frozen=True)
class Anomaly:
    """A day, its known USD, the median day's, and how many times that it is."""

    day: date
    cost_usd: Decimal
    usual_usd: Decimal
    times: Decimal


def anomalies(days: Sequence[Totals], most: int = 3) -> list[Anomaly]:
    """Of a history by day, those that cost twice the median day and are three deviations above, the dearest first.

    The deviation is the median one, which a single dear day does not move. Days without a cost do not count.
    """
    costs = [row["cost_usd"] for row in days if row["cost_usd"]]
    if len(costs) < LEAST_DAYS:
        return []
    usual = statistics.median(costs)
    deviation = SCALE * statistics.median([abs(cost - usual) for cost in costs])
    bound = max(TIMES_USUAL * usual, usual + DEVIATIONS * deviation)
    found = [
        Anomaly(row["date"], row["cost_usd"], usual, row["cost_usd"] / usual)
        for row in days
        if row["cost_usd"] and row["cost_usd"] > bound
    ]
    return sorted(found, key=lambda each: each.cost_usd, reverse=True)[:most]
