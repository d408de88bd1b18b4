"""Days that cost far more than the days around them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from usage_billing.reports.totals import Totals

LEAST_DAYS = 7
"""With fewer days there is no usual cost."""
TIMES_USUAL = 2
DEVIATIONS = 3
SCALE = Decimal("1.4826")
"""Turns a median deviation into a standard one (Rousseeuw and Croux 1993)."""


@dataclass(frozen=True)
class Anomaly:
    """A day, its known USD, the median day's USD, and the ratio of the two."""

    day: date
    cost_usd: Decimal
    usual_usd: Decimal
    times: Decimal


def anomalies(days: Sequence[Totals], most: int = 3) -> list[Anomaly]:
    """The days of a time series by day that cost at least twice the median and lie three deviations above it.

    The most expensive first. The deviation is the median absolute deviation, which a single expensive day does not
    move. Days without a cost do not count.
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
