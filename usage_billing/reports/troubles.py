"""Calls that failed, and calls of unknown cost, by their reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import Q

from usage_billing.access import Scope
from usage_billing.models import UsageRecord
from usage_billing.reports.asking import Later, Report, send
from usage_billing.reports.calls import calls
from usage_billing.reports.question import Period

LOOKED_AT = 1000
"""So many of the newest such calls are looked at, however many there are."""


@dataclass(frozen=True)
class Trouble:
    """So many calls of one status, at one model, for one reason; `last_at` is the newest one's moment."""

    status: str
    ai_provider: str
    ai_model: str
    price_source: str
    error_code: str
    count: int
    last_at: datetime

    @property
    def reason(self) -> str:
        """Why the cost is unknown, without the price source's `unpriced:`; empty where it is known."""
        return self.price_source.removeprefix("unpriced:") if self.price_source.startswith("unpriced:") else ""


TROUBLED = Q(cost_usd__isnull=True) | Q(status=UsageRecord.Status.FAILED)
"""As the condition of `idx_token_usage_troubled`."""
GROUPS = ("status", "ai_provider", "ai_model", "price_source", "error_code")


@Report
def troubles(
    scope: Scope, period: Period, *, filters: Mapping[str, Any] | None = None, limit: int = 100
) -> Later[list[Trouble]]:
    """The most frequent reasons among the newest `LOOKED_AT` troubled calls of the period. One query."""
    newest = calls(scope, filters=filters, period=period).filter(TROUBLED)
    # Django groups no slice, and would find each of its calls once more by its id.
    try:
        source, values = newest.values_list(*GROUPS, "created_at")[:LOOKED_AT].query.sql_with_params()
    except EmptyResultSet:  # a scope of no organisation
        return list
    groups = ", ".join(GROUPS)
    statement = (
        f"SELECT {groups}, count(*), max(created_at) FROM ({source}) AS newest GROUP BY {groups}"  # noqa: S608 - our own
        f" ORDER BY count(*) DESC, max(created_at) DESC, {groups} LIMIT %s"
    )
    found = send(statement, [*values, limit])
    columns = (*GROUPS, "count")
    return lambda: [Trouble(**dict(zip(columns, row[:-1], strict=True)), last_at=_moment(row[-1])) for row in found()]


def _moment(value: datetime | str) -> datetime:
    """SQLite keeps moments as text, in UTC."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)
