"""The single calls, as Django has them: newest first or in another order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.db.models import Q, QuerySet

from usage_billing.ledger import archived
from usage_billing.models import UsageRecord
from usage_billing.reports.parameters import ALL_TIME, Period
from usage_billing.reports.sql.pipelining import Later, Report, send_queryset
from usage_billing.tenancy.scope import Scope

ORDERINGS = ("created_at", "cost_usd", "total_tokens", "execution_time_ms")
"""What calls can be ordered by; each also with a minus, for the largest first."""
NEWEST_FIRST = "-created_at"


def calls(
    scope: Scope, *, filters: Mapping[str, Any] | None = None, period: Period = ALL_TIME, ordering: str = NEWEST_FIRST
) -> QuerySet[UsageRecord]:
    """The calls in scope that match. Calls without a cost are not among those ordered by it."""
    rows = UsageRecord.objects.filter(_visible(scope), _within(period), _matching(filters or {}))
    column = ordering.removeprefix("-")
    if column == "cost_usd":
        rows = rows.filter(cost_usd__isnull=False)
    return rows.order_by(ordering, "-id" if ordering.startswith("-") else "id")


@Report
def archived_before(period: Period = ALL_TIME) -> Later[date | None]:
    """The day before which calls of the period are archived, so not among `calls`; None if none are.

    Totals have them all the same. Of the months between, some may be there: those that were brought back.
    """
    found = send_queryset(archived.listed_months(period.since, period.until))
    return lambda: archived.after(found()[-1][0]) if found() else None


def _within(period: Period) -> Q:
    """By business day; the moments beside it lead into the indexes by time, which know nothing of business days."""
    days, (since, until) = Q(), period.moments()
    if since is not None:
        days &= Q(usage_date__gte=period.since, created_at__gte=since)
    if until is not None:
        days &= Q(usage_date__lt=period.until, created_at__lt=until)
    return days


def _visible(scope: Scope) -> Q:
    """Of rows that have an organisation and a user: those in scope."""
    if scope.everything:
        return Q()
    in_scope = Q(pk__in=[])
    if scope.owned_org_ids:
        in_scope |= Q(org_id__in=scope.owned_org_ids)
    if scope.member_org_ids:
        in_scope |= Q(org_id__in=scope.member_org_ids, user_id=scope.user_id)
    return in_scope


def _matching(filters: Mapping[str, Any]) -> Q:
    """Rows with that value in each column, or one of the values if it is a set. No user is 0, as in the totals."""
    matches = Q()
    for name, value in filters.items():
        is_one = Q(**{f"{name}__in": value}) if isinstance(value, set) else Q(**{name: value})
        nobody = name == "user_id" and (value == 0 or (isinstance(value, set) and 0 in value))
        matches &= is_one | Q(user_id=None) if nobody else is_one
    return matches
