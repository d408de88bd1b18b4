"""Single calls page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q

from usage_billing.models import UsageRecord
from usage_billing.reports.calls import NEWEST_FIRST, calls
from usage_billing.reports.parameters import ALL_TIME, Period
from usage_billing.reports.sql.cost_order import calls_by_cost
from usage_billing.tenancy.scope import Scope


@dataclass(frozen=True)
class Page:
    """Some calls, and the key of the last one if there are more: the value it is ordered by, and its id."""

    calls: Sequence[UsageRecord]
    next: tuple[Any, int] | None


def page(
    scope: Scope,
    *,
    filters: Mapping[str, Any] | None = None,
    period: Period = ALL_TIME,
    ordering: str = NEWEST_FIRST,
    limit: int,
    offset: int = 0,
    after: tuple[Any, int] | None = None,
) -> Page:
    """A page of `calls`, from `offset` or after the call with the key `after`. One query.

    By key and in the order of time, a page takes the same time at any depth. `sql.cost_order` says how long
    one in the order of cost takes.
    """
    descending, column = ordering.startswith("-"), ordering.removeprefix("-")
    if column == "cost_usd":
        found = calls_by_cost(
            scope, filters or {}, period, descending=descending, limit=limit + 1, offset=offset, after=after
        )
        column = "exact_cost"
    else:
        rows = calls(scope, filters=filters, period=period, ordering=ordering)
        if after is not None:
            rows = rows.filter(_beyond(column, "lt" if descending else "gt", *after))
        found = list(rows[offset : offset + limit + 1])
    return Page(found[:limit], _key(found[limit - 1], column) if len(found) > limit else None)


def _beyond(column: str, how: str, value: Any, id_: int) -> Q:
    """After that call in the order. The first condition is the one that an index can use."""
    return Q(**{f"{column}__{how}e": value}) & (Q(**{f"{column}__{how}": value}) | Q(**{f"id__{how}": id_}))


def _key(call: UsageRecord, column: str) -> tuple[Any, int]:
    value = getattr(call, column)
    return Decimal(str(value)) if column == "exact_cost" else value, call.pk
