"""Checks that a day's rollups equal the sums of its records, and that the columns of each record agree."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from usage_billing.ledger import rollup
from usage_billing.ledger.rollup import Rollup
from usage_billing.models import DailyTagUsage, DailyUsage, UsageRecord, user_keys
from usage_billing.models.daily_usage import MAX_COST, ROLLUP_MEASURES
from usage_billing.models.database import connection
from usage_billing.tenancy import distribution

Sums = Mapping[tuple[Any, ...], Sequence[Any]]
"""Rollup rows: `Rollup.key` → `ROLLUP_MEASURES`."""


@dataclass(frozen=True)
class Difference:
    """A wrong rollup row: its key, and for each wrong measure the records' sum minus the row's.

    For `max_cost_usd`: by how much the row is below the highest cost of its calls.
    """

    key: dict[str, Any]
    measures: dict[str, Any]

    def __str__(self) -> str:
        where = " ".join(f"{name}={value}" for name, value in self.key.items())
        return f"{where}: " + ", ".join(f"{name} {value:+}" for name, value in self.measures.items())


def days(first: date = date.min, last: date = date.max) -> list[date]:
    """Return the billing days from `first` to `last` that have calls, rollups or both."""
    calls, *rollups = (
        model.objects.filter(usage_date__range=(first, last)).values_list("usage_date", flat=True)
        for model in (UsageRecord, DailyUsage, DailyTagUsage)
    )
    return sorted(calls.union(*rollups))


def differences(day: date, archived: Mapping[Rollup, Sums] | None = None) -> list[Difference]:
    """Return every rollup row of the day that is wrong, missing or superfluous. `archived`: sums of its archived calls.

    One statement a table reads both sides at the same moment, while calls keep coming in.
    """
    with distribution.comparing():
        return [found for of in rollup.ROLLUPS for found in _differences(of, day, (archived or {}).get(of, {}))]


def _differences(of: Rollup, day: date, from_archive: Sums) -> list[Difference]:
    tolerance = rollup.SQLITE_TOLERANCE if connection.vendor == "sqlite" else Decimal(0)
    with connection.cursor() as cursor:
        cursor.execute(rollup.compared_sql(of, "usage_date = %s", connection.vendor), [day, day])
        differing = {_key(of, row, day): row[len(of.key) :] for row in cursor.fetchall()}
    found = []
    for key in sorted(differing.keys() | from_archive.keys()):
        *sums, _, too_low = differing.get(key, (*_NOTHING, 0, 0))
        pairs = zip(ROLLUP_MEASURES, sums, from_archive.get(key, _NOTHING), strict=True)
        measures = {name: value + _number(more, value) for name, value, more in pairs}
        wrong = {name: value for name, value in measures.items() if abs(value) > tolerance}
        if too_low > tolerance:
            wrong[MAX_COST] = too_low
        if wrong or key not in from_archive:
            found.append(Difference(dict(zip(of.key, key, strict=True)), wrong))
    return found


def _key(of: Rollup, row: Sequence[Any], day: date) -> tuple[Any, ...]:
    """Return the row's key. SQLite has neither dates nor UUIDs."""
    key = dict(zip(of.key, row, strict=False))
    return tuple((key | {"usage_date": day, "user_id": user_keys.from_row(key["user_id"])}).values())


def calls_on(days: Collection[date]) -> int:
    """Return the number of calls of these days, by the rollups."""
    totals = DailyUsage.objects.filter(grain="total", org_id=rollup.ALL["org_id"], usage_date__in=days)
    return int(totals.aggregate(calls=Sum("requests_count", default=0))["calls"])


_NOTHING = (0,) * len(ROLLUP_MEASURES)


def _number(value: Any, like: Any) -> Any:
    """Convert to float where SQLite has summed in floats."""
    return float(value) if isinstance(like, float) else value


INCONSISTENT = {
    "RUB not equal to USD × rate": "abs(cost_rub - cost_usd * usd_rub_rate) > 0.000001",
    "USD without RUB although there is a rate": (
        "cost_usd IS NOT NULL AND usd_rub_rate IS NOT NULL AND cost_rub IS NULL"
    ),
    "unknown cost without a reason": "cost_usd IS NULL AND price_source NOT LIKE 'unpriced:%%'",
    "known cost marked as unknown": "cost_usd IS NOT NULL AND price_source LIKE 'unpriced:%%'",
}


def inconsistent_records(day: date) -> dict[str, int]:
    """Return problem → number of calls of that day that have it; empty if there is none."""
    counts = ", ".join(f"coalesce(sum(CASE WHEN {wrong} THEN 1 ELSE 0 END), 0)" for wrong in INCONSISTENT.values())
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {counts} FROM token_usage WHERE usage_date = %s", [day])  # noqa: S608 - our own conditions
        row = cursor.fetchone()
    return {what: int(count) for what, count in zip(INCONSISTENT, row, strict=True) if count}
