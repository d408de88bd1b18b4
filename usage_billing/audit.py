"""Proves that the day's totals are what the ledger's rows add up to, and that each row agrees with itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection

from usage_billing import rollup
from usage_billing.models.daily_usage import MEASURES

SQLITE_TOLERANCE = Decimal("1e-6")
"""SQLite adds amounts as 8-byte floats: a sum may be off in its fifteenth digit. PostgreSQL is exact."""


@dataclass(frozen=True)
class Difference:
    """A daily row that is not what the ledger adds up to: its key, and by measure the ledger's sum minus the row's."""

    key: dict[str, Any]
    measures: dict[str, Any]

    def __str__(self) -> str:
        where = " ".join(f"{name}={value}" for name, value in self.key.items())
        return f"{where}: " + ", ".join(f"{name} {value:+}" for name, value in self.measures.items())


def differences(grain: str) -> Iterator[Difference]:
    """Every daily row of one grain that is wrong, missing or superfluous.

    One statement, so that both sides are of the same moment while calls keep coming in.
    """
    keys, tolerance = ", ".join(rollup.KEY), SQLITE_TOLERANCE if connection.vendor == "sqlite" else Decimal(0)
    sums = ", ".join(f"sum({name}) AS {name}" for name in MEASURES)
    negated = ", ".join(f"-{name}" for name in MEASURES)
    differs = " OR ".join(f"abs(sum({name})) > {tolerance}" for name in MEASURES)
    statement = f"""
        SELECT {keys}, {sums} FROM (
            {rollup.select_sql(grain, "1 = 1")}
            UNION ALL
            SELECT {keys}, {negated} FROM token_usage_daily WHERE grain = %s
        ) AS both_sides GROUP BY {keys} HAVING {differs} OR count(*) <> 2 ORDER BY {keys}
    """  # noqa: S608 - built of our own names
    with connection.cursor() as cursor:
        cursor.execute(statement, [grain])
        for row in cursor:
            key = dict(zip(rollup.KEY, row, strict=False))
            measures = dict(zip(MEASURES, row[len(rollup.KEY) :], strict=True))
            yield Difference(key, {name: value for name, value in measures.items() if abs(value) > tolerance})


INCONSISTENT = {
    "roubles that are not dollars × rate": "abs(cost_rub - cost_usd * usd_rub_rate) > 0.000001",
    "dollars without roubles although there is a rate": (
        "cost_usd IS NOT NULL AND usd_rub_rate IS NOT NULL AND cost_rub IS NULL"
    ),
    "unknown cost without a reason": "cost_usd IS NULL AND price_source NOT LIKE 'unpriced:%%'",
    "a cost that calls itself unknown": "cost_usd IS NOT NULL AND price_source LIKE 'unpriced:%%'",
}


def inconsistent_records() -> dict[str, int]:
    """What is wrong with single rows of the ledger → how many have it; empty when all is well."""
    counts = ", ".join(f"coalesce(sum(CASE WHEN {wrong} THEN 1 ELSE 0 END), 0)" for wrong in INCONSISTENT.values())
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {counts} FROM token_usage", [])  # noqa: S608 - built of our own conditions
        row = cursor.fetchone()
    return {what: int(count) for what, count in zip(INCONSISTENT, row, strict=True) if count}
