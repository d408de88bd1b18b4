"""The SQL of `durations.p95_time_ms`, so that the database orders rows by it and returns only the first ones."""

from __future__ import annotations

from usage_billing.models.durations import DURATION_BOUNDS_MS, DURATION_COUNTS
from usage_billing.reports.sql.sources import UNTIMED


def p95_of_counts() -> str:
    """The expression over the columns of `DURATIONS`; NULL where the percentile is unknown."""
    calls = " + ".join(DURATION_COUNTS)
    cases, below, lower = [], "0", 0
    for name, upper in zip(DURATION_COUNTS, DURATION_BOUNDS_MS, strict=False):
        value = f"round({lower} + {upper - lower} * (0.95 * ({calls}) - ({below})) / {name})"
        cases.append(f"WHEN {name} > 0 AND 100 * ({below} + {name}) >= 95 * ({calls}) THEN {value}")
        below, lower = f"{below} + {name}", upper
    return f"CASE WHEN {UNTIMED} <> 0 OR {calls} <= 0 THEN NULL {' '.join(cases)} ELSE {lower} END"
