"""Failed and unpriced calls by their reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, Count, ExpressionWrapper, Q, Value

from usage_billing.reports.calls import calls, matching
from usage_billing.reports.parameters import Filters, Period
from usage_billing.reports.sql.counts import counted
from usage_billing.tenancy.scope import Scope

NEWEST = 1000
"""How many of the newest failed and unpriced calls `failures` groups."""

FAILED_OR_UNPRICED = Q(cost_usd__isnull=True) | Q(status="failed")
"""The condition of `idx_token_usage_failed_unpriced`."""

FOUND_BY_INDEX = ("org_id", "user_id")
"""Filters whose failed and unpriced calls have an index."""

COLUMNS = ("status", "ai_provider", "ai_model", "price_source", "error_code")


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


@dataclass(frozen=True)
class Failures:
    """The groups, largest first. is_cut: there may be older calls that they do not count."""

    groups: list[FailureGroup]
    is_cut: bool


def failures(scope: Scope, period: Period, *, filters: Filters | None = None) -> Failures:
    """Those that match among the `NEWEST` failed and unpriced calls of the period, which are of any agent, model and so
    on, but of the organisations and users that match. One query, quick for any number of calls.

    No index finds the failed calls of one agent, so a search for a thousand of them would read all failed calls: for a
    type that makes 2 % of a million calls, the page took 140 ms with it, and takes 60.
    """
    given = filters or {}
    indexed = found_by_index(given)
    others = {name: value for name, value in given.items() if name not in indexed}
    matches = ExpressionWrapper(matching(others), BooleanField()) if others else Value(value=True)
    newest = calls(scope, filters=indexed, period=period).filter(FAILED_OR_UNPRICED).annotate(matches=matches)
    counts = counted(newest.values_list(*COLUMNS, "matches")[:NEWEST], len(COLUMNS) + 1)
    found = {tuple(columns): count for (*columns, is_match), count in counts.items() if is_match}
    return Failures(_groups(found), is_cut=sum(counts.values()) == NEWEST)


def found_by_index(filters: Filters) -> dict[str, Any]:
    """Those of the filters whose failed and unpriced calls an index finds."""
    return {name: value for name, value in filters.items() if name in FOUND_BY_INDEX}


def all_failures(scope: Scope, period: Period, *, filters: Filters | None = None) -> Failures:
    """All failed and unpriced calls of the period. One query, whose time grows with their number."""
    rows = calls(scope, filters=filters, period=period).filter(FAILED_OR_UNPRICED).order_by()
    counts = {tuple(row[name] for name in COLUMNS): row["n"] for row in rows.values(*COLUMNS).annotate(n=Count("pk"))}
    return Failures(_groups(counts), is_cut=False)


def _groups(counts: Mapping[tuple[Any, ...], int]) -> list[FailureGroup]:
    most_frequent = sorted(counts.items(), key=lambda group: (-group[1], group[0]))
    return [FailureGroup(**dict(zip(COLUMNS, key, strict=True)), count=count) for key, count in most_frequent]
