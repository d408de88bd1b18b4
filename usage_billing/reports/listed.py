"""The first calls of a list, told in short: what a page shows of the newest, the dearest, the troubled ones.

Written out for the same reason as the sums: Django takes longer to build three such statements than PostgreSQL to
answer them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from usage_billing.access import Scope
from usage_billing.reports.asking import Later, Report, send_for
from usage_billing.reports.calls import LARGEST_ZONE
from usage_billing.reports.conditions import Sql, all_of, days, narrowed, visible
from usage_billing.reports.question import ALL_TIME, Period


class Listed(NamedTuple):
    """What a list shows of a call."""

    id: int
    created_at: datetime
    org_id: int
    user_id: int | None
    agent_id: str
    request_type: str
    ai_provider: str
    ai_model: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal | None
    cost_rub: Decimal | None
    status: str
    error_code: str
    content_id: str | None


NEWEST = ("created_at DESC", "id DESC")
DEAREST = ("cost_usd DESC", "id DESC")
"""Each as an index has it."""


@Report
def listed(
    scope: Scope,
    limit: int,
    *,
    filters: Mapping[str, Any] | None = None,
    period: Period = ALL_TIME,
    order: Sequence[str] = NEWEST,
) -> Later[list[Listed]]:
    """The first of `calls`, of the `DEAREST` those of known cost. One query."""
    known = [Sql("cost_usd IS NOT NULL")] if order == DEAREST else []
    first = first_calls(Listed._fields, scope, filters or {}, period, known, order, limit)
    found = send_for(Listed._fields, first.text, first.values)
    return lambda: [Listed(**row) for row in found()]


def first_calls(
    columns: Sequence[str],
    scope: Scope,
    filters: Mapping[str, Any],
    period: Period,
    which: Sequence[Sql],
    order: Sequence[str],
    limit: int,
) -> Sql:
    """The statement of the first so many calls in scope that match; each part of the scope is led into its index.

    `columns` have those of the order.
    """
    wanted, ordered = ", ".join(columns), ", ".join(order)
    parts = []
    for seen, _ in visible(scope):
        matching = narrowed([*seen.items()], filters, of_calls=True)
        if matching is not None:
            where = all_of([*matching, *days(period), *_moments(period), *which])
            part = f"SELECT {wanted} FROM token_usage WHERE {where.text} ORDER BY {ordered} LIMIT %s"  # noqa: S608 - our own names
            parts.append(Sql(f"SELECT * FROM ({part}) AS part", [*where.values, limit]))  # noqa: S608 - likewise
    if not parts:
        return Sql(f"SELECT {wanted} FROM token_usage WHERE 1 = 0")  # noqa: S608 - likewise
    source = " UNION ALL ".join(part.text for part in parts)
    values = [value for part in parts for value in part.values]
    return Sql(f"SELECT * FROM ({source}) AS parts ORDER BY {ordered} LIMIT %s", [*values, limit])  # noqa: S608 - likewise


def _moments(period: Period) -> list[Sql]:
    """Business days lie within these moments, which lead into the indexes by time."""
    found = []
    if period.since is not None:
        found.append(Sql("created_at >= %s", [_moment(datetime.combine(period.since, time(), UTC) - LARGEST_ZONE)]))
    if period.until is not None:
        found.append(Sql("created_at < %s", [_moment(datetime.combine(period.until, time(), UTC) + LARGEST_ZONE)]))
    return found


def _moment(value: datetime) -> Any:
    """As the database takes it: SQLite as text."""
    return connection.ops.adapt_datetimefield_value(value)
