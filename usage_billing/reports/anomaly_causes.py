"""The causes of an anomaly: the request type, the model and the agent whose cost grew most on that day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from usage_billing.reports.anomalies import LEARNED_DAYS
from usage_billing.reports.parameters import Filters, Period
from usage_billing.reports.totals import COST_MEASURES, Totals, totals
from usage_billing.tenancy.scope import Scope

MOST_OF_IT = Decimal("0.5")
"""A value is named as the cause if it makes up at least this part of the growth."""
DIMENSIONS = {"request_type": ("request_type",), "model": ("ai_provider", "ai_model"), "agent_id": ("agent_id",)}
BY = tuple(column for columns in DIMENSIONS.values() for column in columns)

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Cause:
    """The values that make up most of the growth, each by itself; None where there is no such value."""

    request_type: str | None
    model: tuple[str, str] | None
    agent_id: str | None


def cause(scope: Scope, day: date, *, filters: Filters | None = None) -> Cause:
    """Compare a day with the average of the `LEARNED_DAYS` before it. Two queries."""
    learned = Period(day - timedelta(days=LEARNED_DAYS), day)
    of_day = totals(scope, by=BY, filters=filters, period=Period(day, day + timedelta(days=1)), measures=COST_MEASURES)
    before = totals(scope, by=BY, filters=filters, period=learned, measures=COST_MEASURES)
    largest = {name: _largest(_growth(of_day, before, columns)) for name, columns in DIMENSIONS.items()}
    return Cause(
        None if largest["request_type"] is None else largest["request_type"][0],
        None if largest["model"] is None else (largest["model"][0], largest["model"][1]),
        None if largest["agent_id"] is None else largest["agent_id"][0],
    )


def _growth(of_day: list[Totals], before: list[Totals], columns: tuple[str, ...]) -> dict[Key, Decimal]:
    """By how much more USD than usual each key cost."""
    growth: dict[Key, Decimal] = {}
    for rows, weight in ((of_day, Decimal(1)), (before, Decimal(-1) / LEARNED_DAYS)):
        for row in rows:
            key = tuple(row[name] for name in columns)
            growth[key] = growth.get(key, Decimal(0)) + weight * (row["cost_usd"] or 0)
    return growth


def _largest(growth: Mapping[Key, Decimal]) -> Key | None:
    """The key that makes up most of the growth."""
    grown = {key: usd for key, usd in growth.items() if usd > 0}
    if not grown:
        return None
    key = max(grown, key=lambda each: grown[each])
    return key if grown[key] >= MOST_OF_IT * sum(grown.values()) else None
