"""The only reader: every total comes from `token_usage_daily` here, every list of calls from `token_usage`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from usage_billing.access import Scope
from usage_billing.models import DailyUsage, UsageRecord
from usage_billing.models.daily_usage import GRAINS, MEASURES

Totals = dict[str, Any]
"""Measure → sum; amounts are Decimal USD and RUB over the calls whose amount is known (see the `unpriced_…` counts)."""


def totals(
    scope: Scope,
    *,
    by: Iterable[str] = (),
    filters: Mapping[str, Any] | None = None,
    since: date | None = None,
    until: date | None = None,
) -> list[dict[str, Any]]:
    """Sums of every measure over the days `since <= day < until`, one row for each combination of the `by` columns.

    `by` and `filters` name dimensions (`org_id`, `user_id`, `agent_id`, `request_type`, `ai_provider`, `ai_model`),
    `by` also `usage_date`. Filters narrow the scope, they never widen it. Without `by` there is one row, of zeros at
    least.
    """
    by = tuple(by)
    rows = _days(scope, {*by} - {"usage_date"}, filters or {})
    if since is not None:
        rows = rows.filter(usage_date__gte=since)
    if until is not None:
        rows = rows.filter(usage_date__lt=until)
    if not by:
        return [rows.aggregate(**_sums())]
    return list(rows.order_by().values(*by).annotate(**_sums()))


def summary(scope: Scope, today: date) -> dict[str, Totals]:
    """Totals of `today`, of `this_month` and of `all_time`, in one query.

    An organisation east of the reader may be a day ahead already; its calls count as today's.
    """
    periods = {
        "today": Q(usage_date__gte=today),
        "this_month": Q(usage_date__gte=today.replace(day=1)),
        "all_time": Q(),
    }
    sums = {f"{period}_of_{name}": sum_ for period, days in periods.items() for name, sum_ in _sums(days).items()}
    row = _days(scope, set(), {}).aggregate(**sums)
    return {period: {name: row[f"{period}_of_{name}"] for name in MEASURES} for period in periods}


def calls(scope: Scope) -> QuerySet[UsageRecord]:
    """The single calls in scope, newest first."""
    return UsageRecord.objects.filter(_visible_calls(scope)).order_by("-created_at", "-id")


def _sums(days: Q | None = None) -> dict[str, Any]:
    zero = {True: Value(Decimal(0)), False: Value(0)}
    return {name: Coalesce(Sum(name, filter=days), zero[name.startswith("cost_")]) for name in MEASURES}


def _days(scope: Scope, dimensions: set[str], filters: Mapping[str, Any]) -> QuerySet[DailyUsage]:
    """The daily rows that the question needs, each from the coarsest grain that has its dimensions."""
    asked = dimensions | set(filters)
    parts = Q(pk__in=[])
    if scope.everything:
        parts |= Q(grain=_coarsest(asked))
    if scope.owned_org_ids:
        parts |= Q(grain=_coarsest(asked | {"org_id"}), org_id__in=scope.owned_org_ids)
    if scope.member_org_ids:
        parts |= Q(
            grain=_coarsest(asked | {"org_id", "user_id"}), org_id__in=scope.member_org_ids, user_id=scope.user_id
        )
    return DailyUsage.objects.filter(parts, **filters)


def _visible_calls(scope: Scope) -> Q:
    if scope.everything:
        return Q()
    visible = Q(pk__in=[])
    if scope.owned_org_ids:
        visible |= Q(org_id__in=scope.owned_org_ids)
    if scope.member_org_ids:
        visible |= Q(org_id__in=scope.member_org_ids, user_id=scope.user_id)
    return visible


def _coarsest(dimensions: set[str]) -> str:
    return min((len(kept), grain) for grain, kept in GRAINS.items() if dimensions <= set(kept))[1]
