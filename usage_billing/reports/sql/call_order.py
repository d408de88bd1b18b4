"""The SQL of calls in the order of their cost, tokens or duration.

The indexes by these columns begin with the billing day, or with organisation and day. So each day is read by itself up
to the length of the page, and the page is taken from all days together. Rollups tell which days there are.
"""

from __future__ import annotations

from typing import Any

from usage_billing.models import UsageRecord
from usage_billing.models.database import connection
from usage_billing.reports.parameters import ALL_TIME, Filters, Period
from usage_billing.reports.sql.conditions import Allowed, allowed_values, coarsest, where
from usage_billing.reports.sql.text import Sql, joined
from usage_billing.tenancy.scope import Scope

COLUMNS = ("cost_usd", "total_tokens", "execution_time_ms")
"""The columns that have such indexes."""


def calls_in_order(
    scope: Scope,
    filters: Filters,
    period: Period,
    column: str,
    *,
    descending: bool,
    limit: int,
    offset: int = 0,
    after: tuple[Any, int] | None = None,
) -> list[UsageRecord]:
    """The first calls by that column, or the first ones after the call with that value and id. One query.

    By cost, unpriced calls are left out, and each call also has `exact_cost`: because of SQLite's floats Django reads
    15 digits, too few to find the call again.
    """
    direction, how = ("DESC", "<") if descending else ("ASC", ">")
    order = f"ORDER BY {column} {direction}, id {direction}"
    listed = Sql(f"{column} IS NOT NULL")
    if after is not None:
        value, id_ = after
        listed = Sql(f"{column} {how}= %s AND ({column} {how} %s OR id {how} %s)", [value, value, id_])
    parts = []
    for allowed in allowed_values(scope, filters):
        if allowed.keys() <= {"org_id"}:
            parts.append(_first_of_each_day(allowed, period, column, listed, order, offset + limit))
        else:
            conditions = joined(" AND ", [where(allowed, period), listed])
            parts.append(Sql(f"SELECT id, {column} FROM token_usage WHERE {conditions.text}", conditions.values))  # noqa: S608 - our own names
    if not parts:
        return []
    found = joined(" UNION ALL ", parts)
    statement = (
        "SELECT token_usage.*, token_usage.cost_usd AS exact_cost"  # noqa: S608 - our own names
        f" FROM (SELECT id FROM ({found.text}) AS calls {order} LIMIT %s OFFSET %s) AS page"
        " JOIN token_usage ON token_usage.id = page.id"
        f" ORDER BY token_usage.{column} {direction}, token_usage.id {direction}"
    )
    return list(UsageRecord.objects.raw(statement, [*found.values, limit, offset]))


def _first_of_each_day(allowed: Allowed, period: Period, column: str, listed: Sql, order: str, limit: int) -> Sql:
    """Id and value of the first calls of each day, or of each organisation's day: what one index has in order."""
    keys = ["usage_date", *allowed]
    days = where(allowed, period, coarsest(allowed))
    same_day = [Sql(f"token_usage.{name} = days.{name}") for name in keys]
    conditions = joined(" AND ", [*same_day, where(allowed, ALL_TIME), listed])
    calls = f"token_usage WHERE {conditions.text} {order} LIMIT %s"
    if connection.vendor == "sqlite":  # it has no LATERAL
        calls = f"token_usage AS call WHERE call.id IN (SELECT id FROM {calls})"  # noqa: S608 - our own names
    else:
        calls = f"LATERAL (SELECT id, {column} FROM {calls}) AS call"  # noqa: S608 - our own names
    return Sql(
        f"SELECT call.id, call.{column} FROM (SELECT DISTINCT {', '.join(keys)} FROM token_usage_daily"  # noqa: S608 - our own names
        f" WHERE {days.text}) AS days CROSS JOIN {calls}",
        [*days.values, *conditions.values, limit],
    )
