"""The single calls page by page, each page as quick as the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q

from usage_billing.models import UsageRecord
from usage_billing.reports.calls import NEWEST_FIRST, calls
from usage_billing.reports.most_expensive import CHEAPEST_FIRST, DEAREST_FIRST, by_cost
from usage_billing.reports.parameters import ALL_TIME, Period
from usage_billing.reports.sql.pipelining import send
from usage_billing.tenancy.scope import Scope


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
        records = UsageRecord.objects.in_bulk([id_ for _, id_ in found[:limit]])
    else:
        rows = calls(scope, filters=filters, period=period, ordering=ordering)
        if after is not None:
            rows = rows.filter(_beyond(ordering, *after))
        records = {call.pk: call for call in rows[offset : offset + limit + 1]}
        found = [(getattr(call, column), id_) for id_, call in records.items()]
    shown = found[:limit]
    # One that was found may have been archived since.
    listed = [records[id_] for _, id_ in shown if id_ in records]
    return Page(listed, shown[-1] if len(found) > limit else None)


def _by_cost(
    scope: Scope,
    filters: Mapping[str, Any],
    period: Period,
    ordering: str,
    limit: int,
    after: tuple[Any, int] | None,
) -> list[tuple[Decimal, int]]:
    """Cost and id of the first so many calls by it: of SQLite's floats all digits, to find the call again."""
    order = DEAREST_FIRST if ordering.startswith("-") else CHEAPEST_FIRST
    statement = by_cost(("id", "cost_usd"), scope, filters, period, limit, order=order, after=after)
    found = send(statement.text, statement.values)()
    return [(cost if isinstance(cost, Decimal) else Decimal(repr(cost)), id_) for id_, cost in found]


def _beyond(ordering: str, value: Any, id_: int) -> Q:
    """Beyond that call in the order. The first condition is what the index is entered by."""
    column, how = ordering.removeprefix("-"), "lt" if ordering.startswith("-") else "gt"
    return Q(**{f"{column}__{how}e": value}) & (Q(**{f"{column}__{how}": value}) | Q(**{f"id__{how}": id_}))
