"""Figures of a row of totals: sums, averages, percentiles and changes, each defined once."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from usage_billing.models.daily_usage import MEASURES
from usage_billing.reports.durations import DURATIONS, p95_time_ms
from usage_billing.reports.sql.totals import P95
from usage_billing.reports.totals import COST_MEASURES, ROW_ORDERINGS

FIGURES = ROW_ORDERINGS
"""Figures that a chart can show and a table can be ordered by: the measures, `average_cost_usd`, `average_cost_rub`
(of the calls with a known cost), `average_time_ms`, and `p95_time_ms`. Stopped calls are in no average."""


def measures_of(*figures: str) -> tuple[str, ...]:
    """The measures that totals must have for these figures, and those that state how much is unknown."""
    needed: list[str] = [*COST_MEASURES]
    for name in figures:
        if name == P95:
            needed += DURATIONS
        elif name == "average_time_ms":
            needed += ("execution_time_ms", "refused_count")
        elif name.startswith("average_cost_"):
            needed.append("refused_count")
        elif name in MEASURES:
            needed.append(name)
    return tuple(dict.fromkeys(needed))


def figure(row: Mapping[str, Any], name: str) -> Any:
    """One of the `FIGURES` of a row with the measures `measures_of(name)`; None where it is unknown or undefined."""
    calls = sent_calls(row)
    if name == P95:
        return p95_time_ms(row)
    if name == "average_time_ms":
        return ratio(row["execution_time_ms"], calls)
    if name.startswith("average_cost_"):
        currency = name.removeprefix("average_cost_")
        return ratio(row[f"cost_{currency}"], calls - row[f"unpriced_{currency}_count"])
    return row[name]


def sent_calls(row: Mapping[str, Any]) -> int:
    """The calls of a row that were sent: without those that a budget stopped, where the row counts them."""
    return int(row["requests_count"] - row.get("refused_count", 0))


def ratio(part: Any, whole: Any) -> Decimal | None:
    return Decimal(part) / Decimal(whole) if part is not None and whole else None


def change(now: Any, before: Any) -> Decimal | None:
    """How much more it is now: 0.25 for a quarter more, 0 if there was nothing and is nothing.

    None if one of both is unknown, and if there was nothing before and is something now (`is_new`).
    """
    if now is None or before is None:
        return None
    return Decimal(0) if now == before else ratio(now - before, before)


def is_new(now: Any, before: Any) -> bool:
    """Whether there was nothing before and is something now: a change without a ratio."""
    return bool(now) and before is not None and not before
