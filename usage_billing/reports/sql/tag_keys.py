"""The keys of tags in scope, by how many calls have them."""

from __future__ import annotations

from usage_billing.models.daily_tag_usage import TAG_GRAINS
from usage_billing.models.database import connection
from usage_billing.reports.parameters import ALL_TIME, Filters
from usage_billing.reports.sql.conditions import allowed_values, coarsest, where
from usage_billing.reports.sql.text import Sql, joined
from usage_billing.tenancy.scope import Scope

ROWS_READ = 5_000
"""Rollup rows that the calls are counted in, the newest days first: years of tags would take too long."""


def tag_keys_by_use(scope: Scope, filters: Filters, limit: int) -> list[str]:
    """Keys of the tags of recent calls: those of most calls first, then by name. One query.

    `filters` are those of the rollups: no tags, no workflow, nothing that only single calls have.
    """
    parts = [
        _newest(where(part, ALL_TIME, coarsest({*part, "tag_key", "tag_value"}, TAG_GRAINS)))
        for part in allowed_values(scope, filters)
    ]
    if not parts:
        return []
    rows = joined(" UNION ALL ", parts)
    statement = (
        f"SELECT tag_key FROM ({rows.text}) AS tags"  # noqa: S608 - our own names
        " GROUP BY tag_key HAVING sum(requests_count) > 0 ORDER BY sum(requests_count) DESC, tag_key LIMIT %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [*rows.values, limit])
        return [key for (key,) in cursor.fetchall()]


def _newest(conditions: Sql) -> Sql:
    """A part of a union may have an order and a limit only within a `SELECT` of its own."""
    rows = f"SELECT tag_key, requests_count FROM token_usage_tag_daily WHERE {conditions.text}"  # noqa: S608 - our own names
    return Sql(
        f"SELECT * FROM ({rows} ORDER BY usage_date DESC LIMIT %s) AS newest",  # noqa: S608 - our own names
        [*conditions.values, ROWS_READ],
    )
