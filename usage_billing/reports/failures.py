"""Failed and unpriced calls by their reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.db.models import Q

from usage_billing.reports.calls import calls
from usage_billing.reports.parameters import Filters, Period
from usage_billing.tenancy.scope import Scope

NEWEST = 1000
"""How many of the newest failed and unpriced calls are grouped."""

FAILED_OR_UNPRICED = Q(cost_usd__isnull=True) | Q(status="failed")
"""The condition of `idx_token_usage_failed_unpriced`."""


@dataclass(frozen=True)
class FailureGroup:
    """How many calls have one status, one model and one reason."""

    status: str
    ai_provider: str
    ai_model: str
    price_source: str
    error_code: str
    count: int

    @property
    def reason(self) -> str:
        """Why the cost is unknown, without the price source's `unpriced:`; empty where it is known."""
        return self.price_source.removeprefix("unpriced:") if self.price_source.startswith("unpriced:") else ""


def failures(scope: Scope, period: Period, *, filters: Filters | None = None, limit: int = 100) -> list[FailureGroup]:
    """The most frequent reasons among the `NEWEST` failed and unpriced calls of the period. One query."""
    newest = calls(scope, filters=filters, period=period).filter(FAILED_OR_UNPRICED)
    columns = ("status", "ai_provider", "ai_model", "price_source", "error_code")
    groups = Counter(newest.values_list(*columns)[:NEWEST])
    most_frequent = sorted(groups.items(), key=lambda group: (-group[1], group[0]))[:limit]
    return [FailureGroup(**dict(zip(columns, key, strict=True)), count=count) for key, count in most_frequent]
