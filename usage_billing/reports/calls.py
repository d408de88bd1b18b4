"""Single calls as querysets: newest first, or in another order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.db.models import Q, QuerySet

from usage_billing.ledger import archived
from usage_billing.models import UsageRecord, user_keys
from usage_billing.reports.parameters import ALL_TIME, Period
from usage_billing.tenancy.scope import Scope

ORDERINGS = ("created_at", "cost_usd", "total_tokens", "execution_time_ms")
"""Columns to order calls by; with a minus before it, largest first."""
NEWEST_FIRST = "-created_at"


def calls(
    scope: Scope, *, filters: Mapping[str, Any] | None = None, period: Period = ALL_TIME, ordering: str = NEWEST_FIRST
) -> QuerySet[UsageRecord]:
    """The calls in scope that match. Ordered by cost, it leaves unpriced calls out."""
    rows = UsageRecord.objects.filter(_visible(scope), _within(period), _matching(filters or {}))
    column = ordering.removeprefix("-")
    if column == "cost_usd":
        rows = rows.filter(cost_usd__isnull=False)
    return rows.order_by(ordering, "-id" if ordering.startswith("-") else "id")


def archived_before(period: Period = ALL_TIME) -> date | None:
    """The day before which calls of the period are archived, so not among `calls`; None if none are. One query.

    Totals include archived calls. Months before that day may have been restored.
    """
    months = archived.months(period.since, period.until)
    return archived.after(months[-1]) if months else None


def _within(period: Period) -> Q:
    """By billing day, and by moment: the indexes that lists are read from know moments only."""
    days, (since, until) = Q(), period.created_at_bounds()
    if since is not None:
        days &= Q(usage_date__gte=period.since, created_at__gte=since)
    if until is not None:
        days &= Q(usage_date__lt=period.until, created_at__lt=until)
    return days


def _visible(scope: Scope) -> Q:
    if scope.everything:
        return Q()
    in_scope = Q(pk__in=[])
    if scope.owned_org_ids:
        in_scope |= Q(org_id__in=scope.owned_org_ids)
    if scope.member_org_ids:
        in_scope |= Q(org_id__in=scope.member_org_ids, user_id=scope.user_id)
    return in_scope


def _matching(filters: Mapping[str, Any]) -> Q:
    """Rows with that value in each column, or one of the values of a set. User 0 means no user, as in the totals."""
    matches = Q()
    for name, value in filters.items():
        is_one = Q(**{f"{name}__in": value}) if isinstance(value, set) else Q(**{name: value})
        nobody = name == "user_id" and user_keys.nobody() in (value if isinstance(value, set) else {value})
        matches &= is_one | Q(user_id=None) if nobody else is_one
    return matches
