"""The statement of the first calls of a list, in an order that an index has.

Written out for the same reason as the sums: Django takes longer to build three such statements than PostgreSQL to
answer them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any

from django.db import connection

from usage_billing.access import Scope
from usage_billing.reports.conditions import Sql, all_of, days, narrowed, visible
from usage_billing.reports.question import LARGEST_ZONE, Period


def first_calls(
    columns: Sequence[str],
    scope: Scope,
    filters: Mapping[str, Any],
    period: Period,
    which: Sequence[Sql],
    order: Sequence[str],
    limit: int,
    lately: Period | None = None,
) -> Sql:
    """The first so many calls in scope that match; each part of the scope is led into its index.

    `columns` have those of the order. `lately`: the part of the period that they are known to lie in.
    """
    parts = []
    for seen, _ in visible(scope):
        matching = narrowed([*seen.items()], filters, of_calls=True)
        if matching is not None:
            where = all_of([*matching, *days(period), *_moments(lately or period), *which])
            found = f"SELECT {', '.join(columns)} FROM token_usage WHERE {where.text}"  # noqa: S608 - our own names
            parts.append(ordered(Sql(found, where.values), order, limit))
    return first_of(parts, columns, order, limit)


def first_of(parts: Sequence[Sql], columns: Sequence[str], order: Sequence[str], limit: int) -> Sql:
    """The first so many of the rows of these statements; of none, no row."""
    if not parts:
        return Sql(f"SELECT {', '.join(columns)} FROM token_usage WHERE 1 = 0")  # noqa: S608 - our own names
    source = " UNION ALL ".join(f"SELECT * FROM ({part.text}) AS part" for part in parts)  # noqa: S608 - likewise
    values = [value for part in parts for value in part.values]
    return ordered(Sql(f"SELECT * FROM ({source}) AS parts", values), order, limit)  # noqa: S608 - likewise


def ordered(rows: Sql, order: Sequence[str], limit: int) -> Sql:
    return Sql(f"{rows.text} ORDER BY {', '.join(order)} LIMIT %s", [*rows.values, limit])


def _moments(period: Period) -> list[Sql]:
    """The business days lie within these moments, which lead into the indexes by time."""
    found = []
    if period.since is not None:
        found.append(Sql("created_at >= %s", [_moment(datetime.combine(period.since, time(), UTC) - LARGEST_ZONE)]))
    if period.until is not None:
        found.append(Sql("created_at < %s", [_moment(datetime.combine(period.until, time(), UTC) + LARGEST_ZONE)]))
    return found


def _moment(value: datetime) -> Any:
    """As the database takes it: SQLite as text."""
    return connection.ops.adapt_datetimefield_value(value)
