"""Tells whether the rollups by tag have what is asked."""

from __future__ import annotations

from collections.abc import Collection

from usage_billing.models import tag_value
from usage_billing.models.database import connection
from usage_billing.reports.sql.text import Sql, joined
from usage_billing.tenancy.scope import Scope


def is_kept_apart(scope: Scope, key: str, values: Collection[str]) -> bool:
    """Whether the rollups count the calls with this tag, and each of these values by itself. One query.

    They do not for a key beyond the bound of keys of an organisation, and for a value beyond the bound of values.
    Members do not see the registry of tags: for them the answer is no, and their own calls are added up.
    """
    if scope.member_org_ids:
        return False
    marks = ", ".join(["%s"] * len(values)) or "NULL"
    orgs = Sql("1 = 1")
    if not scope.everything:
        ids = sorted(scope.org_ids)
        orgs = Sql(f"org_id IN ({', '.join(['%s'] * len(ids)) or 'NULL'})", ids)
    is_key, is_value = Sql("tag_key = %s", [key]), Sql(f"tag_key = %s AND tag_value IN ({marks})", [key, *values])
    too_many = joined(
        "",
        [
            Sql("count(DISTINCT tag_key) >= %s AND ", [tag_value.KEYS_PER_ORGANIZATION]),
            Sql(f"{_count(is_key)} = 0 OR ", is_key.values),
            Sql(f"{_count(is_key)} >= %s AND ", [*is_key.values, tag_value.VALUES_PER_KEY]),
            Sql(f"{_count(is_value)} < %s", [*is_value.values, len(values)]),
        ],
    )
    statement = f"SELECT 1 FROM usage_tag_value WHERE {orgs.text} GROUP BY org_id HAVING {too_many.text} LIMIT 1"  # noqa: S608 - our own names
    with connection.cursor() as cursor:
        cursor.execute(statement, [*orgs.values, *too_many.values])
        return cursor.fetchone() is None


def _count(condition: Sql) -> str:
    return f"sum(CASE WHEN {condition.text} THEN 1 ELSE 0 END)"
