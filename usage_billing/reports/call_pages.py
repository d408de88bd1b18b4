"""Single calls page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet

from usage_billing.models import UsageRecord
from usage_billing.reports.calls import NEWEST_FIRST, calls
from usage_billing.reports.parameters import ALL_TIME, Filters, Period
from usage_billing.reports.sql import call_order
from usage_billing.tenancy.scope import Scope

ALL_FIELDS = tuple(field.name for field in UsageRecord._meta.concrete_fields)


@dataclass(frozen=True)
class Page:
    """Some calls, and the key of the last one if there are more: the value it is ordered by, and its id."""

    calls: Sequence[UsageRecord]
    next: tuple[Any, int] | None


@dataclass(frozen=True)
class Within:
    """`since <= created_at < until`, or the billing days of the few calls that are left."""

    since: datetime | None = None
    until: datetime | None = None
    days: Sequence[date] | None = None


def page(
    scope: Scope,
    *,
    filters: Filters | None = None,
    period: Period = ALL_TIME,
    ordering: str = NEWEST_FIRST,
    limit: int,
    offset: int = 0,
    after: tuple[Any, int] | None = None,
    within: Within | None = None,
    fields: Sequence[str] = ALL_FIELDS,
) -> Page:
    """A page of `calls`, from `offset` or after the call with the key `after`. One query in the order of
    time; in another order three to nine (`sql.call_order`).

    `within`: where the page's calls are known to be, in the order of time. `fields`: those that are read at once, with
    the `id`; any other is read when it is asked for.

    By key and in the order of time, a page takes the same time at any depth. `sql.call_order` says how long one in
    another order takes.
    """
    descending, column = ordering.startswith("-"), ordering.removeprefix("-")
    if column in call_order.COLUMNS:
        found = call_order.calls_in_order(
            scope,
            filters or {},
            period,
            column,
            descending=descending,
            limit=limit + 1,
            offset=offset,
            after=after,
            fields=fields,
        )
        column = "exact_cost" if column == "cost_usd" else column
    else:
        rows = calls(scope, filters=filters, period=period, ordering=ordering).only(*fields)
        if after is not None:
            rows = rows.filter(_beyond(column, "lt" if descending else "gt", *after))
        found = _read(rows, within or Within(), offset, offset + limit + 1)
    return Page(found[:limit], _key(found[limit - 1], column) if len(found) > limit else None)


def _read(rows: QuerySet[UsageRecord], within: Within, first: int, last: int) -> list[UsageRecord]:
    if within.since is not None:
        rows = rows.filter(created_at__gte=within.since)
    if within.until is not None:
        rows = rows.filter(created_at__lt=within.until)
    if within.days is not None:
        # Without a limit: for it, the planner would walk through all calls of the period in their order.
        return list(rows.filter(usage_date__in=within.days))[first:last]
    return list(rows[first:last])


def _beyond(column: str, how: str, value: Any, id_: int) -> Q:
    """After that call in the order. The first condition is the one that an index can use."""
    return Q(**{f"{column}__{how}e": value}) & (Q(**{f"{column}__{how}": value}) | Q(**{f"id__{how}": id_}))


def _key(call: UsageRecord, column: str) -> tuple[Any, int]:
    value = getattr(call, column)
    return Decimal(str(value)) if column == "exact_cost" else value, call.pk
