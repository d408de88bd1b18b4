"""The single calls page by page, each page as quick as the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q

from usage_billing.access import Scope
from usage_billing.models import UsageRecord
from usage_billing.reports.asking import send
from usage_billing.reports.by_cost import CHEAPEST_FIRST, DEAREST_FIRST, by_cost
from usage_billing.reports.calls import NEWEST_FIRST, calls
from usage_billing.reports.question import ALL_TIME, Period


@dataclass(frozen=True)
class Page:
    """Some calls, and after which one the next page begins: the value it is ordered by, and its id; None at the end."""

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
    """A page of `calls`, `after` a call or by `offset`. By a call it takes as long at any depth."""
    column = ordering.removeprefix("-")
    if column == "cost_usd":
        found = _by_cost(scope, filters or {}, period, ordering, offset + limit + 1, after)[offset:]
    else:
        rows = calls(scope, filters=filters, period=period, ordering=ordering)
        if after is not None:
            rows = rows.filter(_beyond(ordering, *after))
        found = [(call, getattr(call, column)) for call in rows[offset : offset + limit + 1]]
    shown = found[:limit]
    next_ = (shown[-1][1], shown[-1][0].pk) if len(found) > limit else None
    return Page([call for call, _ in shown], next_)


def _by_cost(
    scope: Scope,
    filters: Mapping[str, Any],
    period: Period,
    ordering: str,
    limit: int,
    after: tuple[Any, int] | None,
) -> list[tuple[UsageRecord, Any]]:
    """The first so many calls by their cost, each with it: of SQLite's floats all digits, to find the call again."""
    order = DEAREST_FIRST if ordering.startswith("-") else CHEAPEST_FIRST
    statement = by_cost(("id", "cost_usd"), scope, filters, period, limit, order=order, after=after)
    found = send(statement.text, statement.values)()
    records = UsageRecord.objects.in_bulk([id_ for id_, _ in found])
    return [(records[id_], cost if isinstance(cost, Decimal) else Decimal(repr(cost))) for id_, cost in found]


def _beyond(ordering: str, value: Any, id_: int) -> Q:
    """Beyond that call in the order. The first condition is what the index is entered by."""
    column, how = ordering.removeprefix("-"), "lt" if ordering.startswith("-") else "gt"
    return Q(**{f"{column}__{how}e": value}) & (Q(**{f"{column}__{how}": value}) | Q(**{f"id__{how}": id_}))
