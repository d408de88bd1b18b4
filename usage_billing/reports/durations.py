"""Percentiles of durations, estimated from the counts by bucket that rollups keep.

The buckets' bounds are those of OpenTelemetry's metric `gen_ai.client.operation.duration` (“Semantic conventions for
generative AI metrics”): each is twice as wide as the one before, so an estimate is off by less than a factor of two.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from usage_billing.models.durations import DURATION_BOUNDS_MS, DURATION_COUNTS
from usage_billing.reports.sql.sources import UNTIMED

DURATIONS = (*DURATION_COUNTS, UNTIMED)
"""The measures that a percentile is estimated from."""

P95 = 95
"""Per cent."""


def p95_time_ms(row: Mapping[str, Any]) -> Decimal | None:
    """The duration that 95 % of the calls of known duration do not exceed, milliseconds: an estimate.

    Interpolated linearly within its bucket; above the last bound it is the last bound. None without a call of known
    duration, and where some rollup rows count no durations (`UNTIMED`).
    """
    counts = [int(row[name]) for name in DURATION_COUNTS]
    # In hundredths of a call, so that all is whole numbers: fractions take six times as long, and a page has 400.
    rank, below = P95 * sum(counts), 0
    if row[UNTIMED] or rank <= 0:
        return None
    for lower, upper, count in zip((0, *DURATION_BOUNDS_MS), DURATION_BOUNDS_MS, counts, strict=False):
        if count > 0 and below + 100 * count >= rank:
            return Decimal(round(lower + Decimal((upper - lower) * (rank - below)) / (100 * count)))
        below += 100 * count
    return Decimal(DURATION_BOUNDS_MS[-1])
