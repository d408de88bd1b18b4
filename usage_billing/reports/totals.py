"""Sums of every measure: from the day's totals, of the coarsest grain that has what is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Model, Q, QuerySet, Sum

from usage_billing.access import Scope
from usage_billing.models import DailyUsage, UsageRecord
from usage_billing.models.daily_usage import GRAINS, MEASURES
from usage_billing.reports.question import ALL_TIME, OF_CALLS_ONLY, Period

Totals = dict[str, Any]
"""Measure → sum.

Amounts are Decimal USD and RUB over the calls whose amount is known, None if there are calls and none is known;
`unpriced_usd_count` and `unpriced_rub_count` say how many are not known. Without calls everything is zero.
"""

OF_COSTS = ("requests_count", "unpriced_usd_count", "unpriced_rub_count", "cost_usd", "cost_rub")
"""The measures that tell a cost, and whether it is known."""
BEFORE = (*OF_COSTS, "total_tokens")
"""The measures of a period before."""
_NOW, _BEFORE = "now_of_", "before_of_"


def totals(
    scope: Scope,
    *,
    by: Iterable[str] = (),
    filters: Mapping[str, Any] | None = None,
    period: Period = ALL_TIME,
    limit: int | None = None,
    measures: Sequence[str] = MEASURES,
) -> list[Totals]:
    """One row for each combination of the `by` columns, the dearest first; `limit` keeps that many of them.

    `by` and `filters` name columns of `FILTERS`, `by` also `usage_date`; a filter's value may be a set of them. No user
    is 0. Without `by` there is one row. `measures` may be fewer than all; `OF_COSTS` at least.
    """
    by, filters = tuple(by), filters or {}
    rows = _rows(scope, by, filters, period)
    if not by:
        return [_part(rows.aggregate(**_sums(rows.model, measures=measures)), "", measures)]
    grouped = rows.order_by().values(*by).annotate(**_sums(rows.model, measures=measures))
    # Rows of which no cost is known come after those that are free.
    found = [
        known(row) for row in grouped.order_by(F("cost_usd").desc(nulls_last=True), "-requests_count", *by)[:limit]
    ]
    return [row | {"user_id": row["user_id"] or 0} for row in found] if "user_id" in by else found


def charged(org_ids: Iterable[int]) -> set[int]:
    """Those of the organisations that have calls at all, archived ones too."""
    rows = DailyUsage.objects.filter(grain="org", org_id__in=[*org_ids])
    return set(rows.values_list("org_id", flat=True).distinct())


def ranked(
    scope: Scope,
    by: Sequence[str],
    period: Period,
    before: Period | None,
    *,
    filters: Mapping[str, Any] | None = None,
    limit: int | None = None,
    measures: Sequence[str] = MEASURES,
    compare: int | None = None,
) -> list[tuple[Totals, Totals | None]]:
    """What `totals` gives for a period; the first `compare` rows each with its totals of the period before.

    Those have the measures of `BEFORE`, and are all zero for a row that had no calls then. Two queries; the second one
    reads no more than these rows.
    """
    rows = totals(scope, by=by, filters=filters, period=period, limit=limit, measures=measures)
    first = rows[:compare] if before is not None else []
    if before is None or not first:
        return [(row, None) for row in rows]

    def key(row: Totals) -> tuple[Any, ...]:
        return tuple(row[name] for name in by)

    narrowed = {**(filters or {}), **{name: {row[name] for row in first} for name in by}}
    earlier = {key(row): row for row in totals(scope, by=by, filters=narrowed, period=before, measures=BEFORE)}
    nothing = {name: NO_CALLS[name] for name in BEFORE}
    pairs: list[tuple[Totals, Totals | None]] = [(row, earlier.get(key(row), nothing)) for row in first]
    return pairs + [(row, None) for row in rows[len(first) :]]


def compared(
    scope: Scope, period: Period, before: Period | None, *, filters: Mapping[str, Any] | None = None
) -> tuple[Totals, Totals | None]:
    """The totals of a period, and those of `BEFORE` of the one before it, in one query."""
    if before is None:
        return totals(scope, filters=filters, period=period)[0], None
    rows = _rows(scope, (), filters or {}, Period(before.since, period.until))
    sums = _named(_NOW, _sums(rows.model, _days_of(period)))
    row = rows.aggregate(**sums, **_named(_BEFORE, _sums(rows.model, _days_of(before), BEFORE)))
    return _part(row, _NOW, MEASURES), _part(row, _BEFORE, BEFORE)


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
    sums: dict[str, Any] = {}
    for period, days in periods.items():
        sums |= _named(f"{period}_of_", _sums(rows.model, days))
    row = rows.aggregate(**sums)
    return {period: _part(row, f"{period}_of_", MEASURES) for period in periods}


def _named(prefix: str, sums: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: sum_ for name, sum_ in sums.items()}


def _part(row: Mapping[str, Any], prefix: str, measures: Sequence[str]) -> Totals:
    """The measures of such sums; those of nothing are zero."""
    values = ((name, row[prefix + name]) for name in measures)
    return known({name: NO_CALLS[name] if value is None else value for name, value in values})


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


def _sums(model: type[Model], days: Q | None = None, measures: Sequence[str] = MEASURES) -> dict[str, Any]:
    """Sums that are NULL where there is nothing to add up: a COALESCE around each would take Django as long again."""
    names = measures if model is DailyUsage else [name for name in measures if name not in _OF_CALLS]
    summed = {name: Sum(name, filter=days) for name in names}
    if model is DailyUsage:
        return summed
    counted = {name: Count("pk", filter=(days or Q()) & which) for name, which in _OF_CALLS.items() if name in measures}
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
