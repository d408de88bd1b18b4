"""The statement of the first calls of a list, in an order that an index has.

Written out for the same reason as the sums: Django takes longer to build three such statements than PostgreSQL to
answer them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from usage_billing.models.database import connection
from usage_billing.reports.parameters import Period
from usage_billing.reports.sql.conditions import Sql, all_of, days, joined, narrowed, visible
from usage_billing.tenancy.scope import Scope

NEWEST_FIRST = ("created_at DESC", "id DESC")


def first_calls(
    columns: Sequence[str],
    scope: Scope,
    filters: Mapping[str, Any],
    period: Period,
    which: Sequence[Sql],
    order: Sequence[str],
    limit: int,
    recent: Period | None = None,
) -> Sql:
    """The first so many calls in scope that match; each part of the scope is led into its index.

    `columns` have those of the order. `recent`: the part of the period that they are known to lie in.
    """
    parts = []
    for seen, _ in visible(scope):
        matching = narrowed([*seen.items(), *filters.items()], of_calls=True)
        if matching is not None:
            where = all_of([*matching, *days(period), *_moments(recent or period), *which])
            found = f"SELECT {', '.join(columns)} FROM token_usage WHERE {where.text}"  # noqa: S608 - our own names
            parts.append(ordered(Sql(found, where.values), order, limit))
    return first_of(parts, columns, order, limit)


def first_of(parts: Sequence[Sql], columns: Sequence[str], order: Sequence[str], limit: int) -> Sql:
    """The first so many of the rows of these statements; of none, no row."""
    if not parts:
        return Sql(f"SELECT {', '.join(columns)} FROM token_usage WHERE 1 = 0")  # noqa: S608 - our own names
    found = joined(" UNION ALL ", [Sql(f"SELECT * FROM ({part.text}) AS part", part.values) for part in parts])  # noqa: S608 - likewise
    return ordered(Sql(f"SELECT * FROM ({found.text}) AS parts", found.values), order, limit)  # noqa: S608 - likewise


def ordered(rows: Sql, order: Sequence[str], limit: int) -> Sql:
    return Sql(f"{rows.text} ORDER BY {', '.join(order)} LIMIT %s", [*rows.values, limit])


def _moments(period: Period) -> list[Sql]:
    since, until = period.moments()
    bounds = (("created_at >= %s", since), ("created_at < %s", until))
    # As the database takes them: SQLite as text.
    return [Sql(text, [connection.ops.adapt_datetimefield_value(at)]) for text, at in bounds if at is not None]
