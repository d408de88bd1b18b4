"""The single calls: newest first or in another order, page by page, each page as quick as the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import DecimalField, F, FloatField, Q, QuerySet
from django.db.models.functions import Cast

from usage_billing import archived
from usage_billing.access import Scope
from usage_billing.models import UsageRecord
from usage_billing.reports.asking import Later, Report, send_queryset
from usage_billing.reports.question import ALL_TIME, Period

ORDERINGS = ("created_at", "cost_usd", "total_tokens", "execution_time_ms")
"""What calls can be ordered by; each also with a minus, for the largest first."""
NEWEST_FIRST = "-created_at"

LARGEST_ZONE = timedelta(hours=14)
"""How far a business day's midnight can be from UTC's."""


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


@dataclass(frozen=True)
class Page:
    """Some calls, and after which one the next page begins: the value it is ordered by, and its id; None at the end."""

    calls: Sequence[UsageRecord]
    next: tuple[Any, int] | None


def page(
    rows: QuerySet[UsageRecord], ordering: str, *, limit: int, offset: int = 0, after: tuple[Any, int] | None = None
) -> Page:
    """A page of `calls`, `after` a call or by `offset`. By a call it takes as long at any depth."""
    if after is not None:
        rows = rows.filter(_beyond(ordering, *after))
    found = list(rows.annotate(position=_position(ordering.removeprefix("-")))[offset : offset + limit + 1])
    shown = found[:limit]
    if len(found) <= limit:
        return Page(shown, None)
    position = shown[-1].position
    return Page(shown, (Decimal(repr(position)) if isinstance(position, float) else position, shown[-1].pk))


def _position(column: str) -> F | Cast:
    """What a call is ordered by. Of SQLite's floats a decimal has 15 digits: too few to find the call again."""
    is_float = connection.vendor == "sqlite" and isinstance(UsageRecord._meta.get_field(column), DecimalField)
    return Cast(column, FloatField()) if is_float else F(column)


def _beyond(ordering: str, value: Any, id_: int) -> Q:
    """Beyond that call in the order. The first condition is what the index is entered by."""
    column, how = ordering.removeprefix("-"), "lt" if ordering.startswith("-") else "gt"
    return Q(**{f"{column}__{how}e": value}) & (Q(**{f"{column}__{how}": value}) | Q(**{f"id__{how}": id_}))


def _within(period: Period) -> Q:
    """By business day; the moments beside it lead into the indexes by time, which know nothing of business days."""
    days = Q()
    if period.since is not None:
        days &= Q(usage_date__gte=period.since)
        days &= Q(created_at__gte=datetime.combine(period.since, time(), UTC) - LARGEST_ZONE)
    if period.until is not None:
        days &= Q(usage_date__lt=period.until)
        days &= Q(created_at__lt=datetime.combine(period.until, time(), UTC) + LARGEST_ZONE)
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
