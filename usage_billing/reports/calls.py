"""Single calls as querysets: newest first, or in another order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.lookups import In

from usage_billing.ledger import archived
from usage_billing.models import UsageRecord, user_keys
from usage_billing.reports import parameters
from usage_billing.reports.parameters import ALL_TIME, TAG, UNPRICED, Excluded, Filters, Period
from usage_billing.reports.sql.tags import TagOfCall
from usage_billing.tenancy.scope import Scope

ORDERINGS = ("created_at", "cost_usd", "total_tokens", "execution_time_ms")
"""Columns to order calls by; with a minus before it, largest first."""
NEWEST_FIRST = "-created_at"
LISTED = (
    "id", "org", "user", "content_id", "workflow_id", "agent_id", "request_type", "request_id", "ai_provider",
    "ai_model", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cost_usd", "cost_rub",
    "execution_time_ms", "status", "error_code", "created_at", "tags",
)  # fmt: skip
"""The fields that lists on pages show. The others, JSON among them, take half the time to read a call."""


def calls(
    scope: Scope, *, filters: Filters | None = None, period: Period = ALL_TIME, ordering: str = NEWEST_FIRST
) -> QuerySet[UsageRecord]:
    """The calls in scope that match. Ordered by cost, it leaves unpriced calls out."""
    rows = UsageRecord.objects.filter(_visible(scope), _within(period), matching(filters or {}))
    column = ordering.removeprefix("-")
    if column == "cost_usd":
        rows = rows.filter(cost_usd__isnull=False)
    return rows.order_by(ordering, "-id" if ordering.startswith("-") else "id")


def archived_before(period: Period = ALL_TIME, months: Iterable[date] | None = None) -> date | None:
    """The day before which calls of the period are archived, so not among `calls`; None if none are. One query.

    Totals include archived calls. Months before that day may have been restored. `months`: the archived months of a
    longer period, if the caller has them; then there is no query.
    """
    if months is None:
        months = archived.months(period.since, period.until)
    ends = [archived.after(month) for month in months if period.until is None or month < period.until]
    return ends[-1] if ends and (period.since is None or ends[-1] > period.since) else None


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


def matching(filters: Filters) -> Q:
    """The condition of the calls that match."""
    matches = Q()
    for name, value in filters.items():
        allowed = parameters.allowed(value)
        if isinstance(allowed, Excluded):
            matches &= ~_is_one_of(name, allowed.values)
        else:
            matches &= _is_one_of(name, allowed)
    return matches


def _is_one_of(name: str, values: frozenset[Any]) -> Q:
    """Rows with one of these values. User 0 means no user, as in the totals, and None means none."""
    if name == UNPRICED:
        return _any_of(Q(**{f"cost_{currency}__isnull": True}) for currency in sorted(values))
    if name.startswith(TAG):
        return Q(In(TagOfCall(name.removeprefix(TAG)), sorted(values)))
    nulls = {None, user_keys.nobody()} if name == "user_id" else {None}
    is_one = Q(**{f"{name}__in": values - {None}})
    return is_one | Q(**{f"{name}__isnull": True}) if values & nulls else is_one


def _any_of(conditions: Iterable[Q]) -> Q:
    found = Q(pk__in=[])
    for condition in conditions:
        found |= condition
    return found
