"""Proves that the day's totals are what the ledger's rows add up to, and that each row agrees with itself."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from usage_billing.ledger import rollup
from usage_billing.models import DailyUsage
from usage_billing.models.daily_usage import MAX_COST, MEASURES
from usage_billing.models.database import connection

Sums = Mapping[tuple[Any, ...], Sequence[Any]]
"""Daily rows: `KEY` → `MEASURES`."""


@dataclass(frozen=True)
class Difference:
    """A daily row that is not what the ledger adds up to: its key, and by measure the ledger's sum minus the row's.

    Likewise what its dearest call cost, where the row says less.
    """

    key: dict[str, Any]
    measures: dict[str, Any]

    def __str__(self) -> str:
        where = " ".join(f"{name}={value}" for name, value in self.key.items())
        return f"{where}: " + ", ".join(f"{name} {value:+}" for name, value in self.measures.items())


def days() -> list[date]:
    """The business days that have calls, totals or both."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT usage_date FROM token_usage_daily")
        found = {_day(value) for (value,) in cursor.fetchall()}
        day: Any = date.min
        # From one day to the next by the index: there may be a million calls between them.
        while True:
            cursor.execute("SELECT min(usage_date) FROM token_usage WHERE usage_date > %s", [day])
            (next_day,) = cursor.fetchone()
            if next_day is None:
                return sorted(found)
            day = _day(next_day)
            found.add(day)


def differences(day: date, archived: Sums | None = None) -> list[Difference]:
    """Every daily row of that day that is wrong, missing or superfluous, with regard to what was `archived` of it.

    One statement, so that both sides are of the same moment while calls keep coming in.
    """
    tolerance = rollup.SQLITE_TOLERANCE if connection.vendor == "sqlite" else Decimal(0)
    with connection.cursor() as cursor:
        cursor.execute(rollup.compared_sql("usage_date = %s", connection.vendor), [day, day])
        lacking = {(*row[:2], day, *row[3 : len(rollup.KEY)]): row[len(rollup.KEY) :] for row in cursor.fetchall()}
    elsewhere = archived or {}
    found = []
    for key in sorted(lacking.keys() | elsewhere.keys()):
        *sums, _, too_low = lacking.get(key, (*_NOTHING, 0, 0))
        pairs = zip(MEASURES, sums, elsewhere.get(key, _NOTHING), strict=True)
        measures = {name: value + _number(more, value) for name, value, more in pairs}
        wrong = {name: value for name, value in measures.items() if abs(value) > tolerance}
        if too_low > tolerance:
            wrong[MAX_COST] = too_low
        if wrong or key not in elsewhere:
            found.append(Difference(dict(zip(rollup.KEY, key, strict=True)), wrong))
    return found


def calls_on(days: Collection[date]) -> int:
    """How many calls the totals of these days have."""
    totals = DailyUsage.objects.filter(grain="total", usage_date__in=days)
    return int(totals.aggregate(calls=Sum("requests_count", default=0))["calls"])


_NOTHING = (0,) * len(MEASURES)


def _number(value: Any, like: Any) -> Any:
    """SQLite sums up in floats, which do not add to decimals."""
    return float(value) if isinstance(like, float) else value


def _day(value: Any) -> date:
    """SQLite answers dates of plain SQL as text."""
    return value if isinstance(value, date) else date.fromisoformat(value)


INCONSISTENT = {
    "roubles that are not dollars × rate": "abs(cost_rub - cost_usd * usd_rub_rate) > 0.000001",
    "dollars without roubles although there is a rate": (
        "cost_usd IS NOT NULL AND usd_rub_rate IS NOT NULL AND cost_rub IS NULL"
    ),
    "unknown cost without a reason": "cost_usd IS NULL AND price_source NOT LIKE 'unpriced:%%'",
    "a cost that calls itself unknown": "cost_usd IS NOT NULL AND price_source LIKE 'unpriced:%%'",
}


def inconsistent_records(day: date) -> dict[str, int]:
    """What is wrong with single calls of that day → how many have it; empty when all is well."""
    counts = ", ".join(f"coalesce(sum(CASE WHEN {wrong} THEN 1 ELSE 0 END), 0)" for wrong in INCONSISTENT.values())
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {counts} FROM token_usage WHERE usage_date = %s", [day])  # noqa: S608 - built of our own conditions
        row = cursor.fetchone()
    return {what: int(count) for what, count in zip(INCONSISTENT, row, strict=True) if count}
