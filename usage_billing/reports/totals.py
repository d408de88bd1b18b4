"""Sums of every measure: from the day's totals, of the coarsest grain that has what is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Count, Model, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from usage_billing.access import Scope
from usage_billing.models import DailyUsage, UsageRecord
from usage_billing.models.daily_usage import GRAINS, MEASURES
from usage_billing.reports.question import ALL_TIME, OF_CALLS_ONLY, Period

Totals = dict[str, Any]
"""Measure → sum.

Amounts are Decimal USD and RUB over the calls whose amount is known, None if there are calls and none is known;
`unpriced_usd_count` and `unpriced_rub_count` say how many are not known. Without calls everything is zero.
"""


def totals(
    scope: Scope,
    *,
    by: Iterable[str] = (),
    filters: Mapping[str, Any] | None = None,
    period: Period = ALL_TIME,
    limit: int | None = None,
) -> list[Totals]:
    """One row for each combination of the `by` columns, the dearest first; `limit` keeps that many of them.

    `by` and `filters` name columns of `FILTERS`, `by` also `usage_date`; a filter's value may be a set of them. No user
    is 0. Without `by` there is one row.
    """
    by, filters = tuple(by), filters or {}
    rows = _rows(scope, by, filters, period)
    if not by:
        return [known(rows.aggregate(**_sums(rows.model)))]
    grouped = rows.order_by().values(*by).annotate(**_sums(rows.model))
    found = [known(row) for row in grouped.order_by("-cost_usd", "-requests_count", *by)[:limit]]
    return [row | {"user_id": row["user_id"] or 0} for row in found] if "user_id" in by else found


def compared(
    scope: Scope, period: Period, before: Period | None, *, filters: Mapping[str, Any] | None = None
) -> tuple[Totals, Totals | None]:
    """The totals of a period and of the one before it, in one query."""
    periods = {"now": period} if before is None else {"now": period, "before": before}
    both = Period(since=(before or period).since, until=period.until)
    rows = _rows(scope, (), filters or {}, both)
    of = _side_by_side(rows, {name: _days_of(each) for name, each in periods.items()})
    return of["now"], of.get("before")


def summary(
    scope: Scope, today: date, filters: Mapping[str, Any] | None = None, period: Period = ALL_TIME
) -> dict[str, Totals]:
    """Totals of `today`, of `this_month` and of `all_time`, as far as they lie in the period, in one query.

    An organisation east of the reader may be a day ahead already; its calls count as today's.
    """
    periods = {
        "today": Q(usage_date__gte=today),
        "this_month": Q(usage_date__gte=today.replace(day=1)),
        "all_time": Q(),
    }
    return _side_by_side(_rows(scope, (), filters or {}, period), periods)


def visible(scope: Scope) -> Q:
    """Of rows that have an organisation and a user: those in scope."""
    if scope.everything:
        return Q()
    in_scope = Q(pk__in=[])
    if scope.owned_org_ids:
        in_scope |= Q(org_id__in=scope.owned_org_ids)
    if scope.member_org_ids:
        in_scope |= Q(org_id__in=scope.member_org_ids, user_id=scope.user_id)
    return in_scope


def matching(model: type[Model], filters: Mapping[str, Any]) -> Q:
    """Rows with that value in each column, or one of the values if it is a set. No user is 0, as in the totals."""
    matches = Q()
    for name, value in filters.items():
        is_one = Q(**{f"{name}__in": value}) if isinstance(value, set) else Q(**{name: value})
        nobody = name == "user_id" and (value == 0 or (isinstance(value, set) and 0 in value))
        matches &= is_one | Q(user_id=None) if nobody and model is UsageRecord else is_one
    return matches


def _side_by_side(rows: QuerySet[Any], periods: Mapping[str, Q]) -> dict[str, Totals]:
    sums = {
        f"{period}_of_{name}": sum_
        for period, days in periods.items()
        for name, sum_ in _sums(rows.model, days).items()
    }
    row = rows.aggregate(**sums)
    return {period: known({name: row[f"{period}_of_{name}"] for name in MEASURES}) for period in periods}


def _rows(scope: Scope, by: Iterable[str], filters: Mapping[str, Any], period: Period) -> QuerySet[Any]:
    """The rows to add up: daily ones, or calls where only they know what is asked for."""
    asked = {*by} - {"usage_date"} | {*filters}
    if asked & {*OF_CALLS_ONLY}:
        rows: QuerySet[Any] = UsageRecord.objects.filter(visible(scope))
    else:
        rows = DailyUsage.objects.filter(_grains(scope, asked))
    return rows.filter(_days_of(period), matching(rows.model, filters))


def _days_of(period: Period) -> Q:
    days = Q()
    if period.since is not None:
        days &= Q(usage_date__gte=period.since)
    if period.until is not None:
        days &= Q(usage_date__lt=period.until)
    return days


def _grains(scope: Scope, asked: set[str]) -> Q:
    """The daily rows that the question needs, each from the coarsest grain that has its dimensions."""
    parts = Q(pk__in=[])
    if scope.everything:
        parts |= Q(grain=_coarsest(asked))
    if scope.owned_org_ids:
        parts |= Q(grain=_coarsest(asked | {"org_id"}), org_id__in=scope.owned_org_ids)
    if scope.member_org_ids:
        parts |= Q(
            grain=_coarsest(asked | {"org_id", "user_id"}), org_id__in=scope.member_org_ids, user_id=scope.user_id
        )
    return parts


def _coarsest(dimensions: set[str]) -> str:
    return min((len(kept), grain) for grain, kept in GRAINS.items() if dimensions <= set(kept))[1]


_OF_CALLS: dict[str, Q] = {
    "requests_count": Q(),
    "failed_count": Q(status=UsageRecord.Status.FAILED),
    "unpriced_usd_count": Q(cost_usd=None),
    "unpriced_rub_count": Q(cost_rub=None),
}
"""The counts of daily rows → the calls that they count."""


def _sums(model: type[Model], days: Q | None = None) -> dict[str, Any]:
    zero = {True: Value(Decimal(0)), False: Value(0)}
    names = MEASURES if model is DailyUsage else [name for name in MEASURES if name not in _OF_CALLS]
    summed = {name: Coalesce(Sum(name, filter=days), zero[name.startswith("cost_")]) for name in names}
    if model is DailyUsage:
        return summed
    counted = {name: Count("pk", filter=(days or Q()) & which) for name, which in _OF_CALLS.items()}
    # In this order: a count after a sum of the same name would be one of that sum.
    return counted | summed


NO_CALLS: Totals = {name: Decimal(0) if name.startswith("cost_") else 0 for name in MEASURES}


def known(row: Mapping[str, Any]) -> Totals:
    """The row with None for an amount of which nothing is known: the sum of no known amounts is not zero."""
    shown = dict(row)
    for currency in ("usd", "rub"):
        if row["requests_count"] and row[f"unpriced_{currency}_count"] == row["requests_count"]:
            shown[f"cost_{currency}"] = None
    return shown
