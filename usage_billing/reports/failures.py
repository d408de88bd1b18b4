"""Calls that failed, and calls of unknown cost, by their reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from usage_billing.reports.parameters import Period
from usage_billing.reports.sql.conditions import Sql
from usage_billing.reports.sql.first_calls import NEWEST_FIRST, first_calls
from usage_billing.reports.sql.pipelining import Later, Report, send_for
from usage_billing.tenancy.scope import Scope

LOOKED_AT = 1000
"""So many of the newest such calls are looked at, however many there are."""


@dataclass(frozen=True)
class FailureGroup:
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


TROUBLED = Sql("(cost_usd IS NULL OR status = 'failed')")
"""As the condition of `idx_token_usage_failed_unpriced`."""
GROUPS = ("status", "ai_provider", "ai_model", "price_source", "error_code")


@Report
def failures(
    scope: Scope,
    period: Period,
    *,
    filters: Mapping[str, Any] | None = None,
    recent: Period | None = None,
    limit: int = 100,
) -> Later[list[FailureGroup]]:
    """The most frequent reasons among the newest `LOOKED_AT` troubled calls of the period. One query.

    `recent`: the part of the period that they are known to lie in (`newest_days`).
    """
    columns = (*GROUPS, "created_at", "id")
    newest = first_calls(columns, scope, filters or {}, period, [TROUBLED], NEWEST_FIRST, LOOKED_AT, recent)
    groups = ", ".join(GROUPS)
    statement = (
        f"SELECT {groups}, count(*), max(created_at) FROM ({newest.text}) AS newest GROUP BY {groups}"  # noqa: S608 - our own
        f" ORDER BY count(*) DESC, max(created_at) DESC, {groups} LIMIT %s"
    )
    found = send_for((*GROUPS, "count", "last_at"), statement, [*newest.values, limit])
    return lambda: [FailureGroup(**row) for row in found()]
