"""The SQL of calls in the order of their cost.

The indexes by cost begin with the billing day, or with organisation and day. So each day is read by itself up to the
length of the page, and the page is taken from all days together. Rollups tell which days there are.

Milliseconds for 50 of all calls in 90 days, most expensive first (PostgreSQL, first page and 50th page):

    calls        superadmin: all sorted, day by day    owner of a sixth of them: all sorted, day by day
    100,000      118, 121               12,  9         29,  31                  26, 58
    300,000      433, 268               12, 10        159, 171                  15, 23
    1,000,000    835, 1156               9, 11        656, 628                  20, 29

A deep page reads each day from its beginning, because below a row-level security policy no comparison of `numeric`
enters an index: its time grows with its depth, though not with the number of calls.

With filters, and for a member, all matching calls are sorted, which takes time in proportion to their number. To read
each day in order until 50 match takes two to three times as long for an agent with a seventh of the calls.
"""

from __future__ import annotations

from typing import Any

from usage_billing.models import UsageRecord
from usage_billing.models.database import connection
from usage_billing.reports.parameters import ALL_TIME, Filters, Period
from usage_billing.reports.sql.conditions import Allowed, allowed_values, coarsest, where
from usage_billing.reports.sql.text import Sql, joined
from usage_billing.tenancy.scope import Scope


def calls_by_cost(
    scope: Scope,
    filters: Filters,
    period: Period,
    *,
    descending: bool,
    limit: int,
    offset: int = 0,
    after: tuple[Any, int] | None = None,
) -> list[UsageRecord]:
    """The first priced calls by cost, or the first ones after the call with that cost and id. One query.

    Each also has `exact_cost`, because of SQLite's floats Django reads 15 digits: too few to find the call again.
    """
    direction, how = ("DESC", "<") if descending else ("ASC", ">")
    order = f"ORDER BY cost_usd {direction}, id {direction}"
    priced = Sql("cost_usd IS NOT NULL")
    if after is not None:
        cost, id_ = after
        priced = Sql(f"cost_usd {how}= %s AND (cost_usd {how} %s OR id {how} %s)", [cost, cost, id_])
    parts = []
    for allowed in allowed_values(scope, filters):
        if allowed.keys() <= {"org_id"}:
            parts.append(_first_of_each_day(allowed, period, priced, order, offset + limit))
        else:
            conditions = joined(" AND ", [where(allowed, period), priced])
            parts.append(Sql(f"SELECT id, cost_usd FROM token_usage WHERE {conditions.text}", conditions.values))  # noqa: S608 - our own names
    if not parts:
        return []
    found = joined(" UNION ALL ", parts)
    statement = (
        "SELECT token_usage.*, token_usage.cost_usd AS exact_cost"  # noqa: S608 - our own names
        f" FROM (SELECT id FROM ({found.text}) AS calls {order} LIMIT %s OFFSET %s) AS page"
        " JOIN token_usage ON token_usage.id = page.id"
        f" ORDER BY token_usage.cost_usd {direction}, token_usage.id {direction}"
    )
    return list(UsageRecord.objects.raw(statement, [*found.values, limit, offset]))


def _first_of_each_day(allowed: Allowed, period: Period, priced: Sql, order: str, limit: int) -> Sql:
    """Id and cost of the first calls of each day, or of each organisation's day: what one index has in order."""
    keys = ["usage_date", *allowed]
    days = where(allowed, period, coarsest(allowed))
    same_day = [Sql(f"token_usage.{name} = days.{name}") for name in keys]
    conditions = joined(" AND ", [*same_day, where(allowed, ALL_TIME), priced])
    calls = f"token_usage WHERE {conditions.text} {order} LIMIT %s"
    if connection.vendor == "sqlite":  # it has no LATERAL
        calls = f"token_usage AS call WHERE call.id IN (SELECT id FROM {calls})"  # noqa: S608 - our own names
    else:
        calls = f"LATERAL (SELECT id, cost_usd FROM {calls}) AS call"  # noqa: S608 - our own names
    return Sql(
        f"SELECT call.id, call.cost_usd FROM (SELECT DISTINCT {', '.join(keys)} FROM token_usage_daily"  # noqa: S608 - our own names
        f" WHERE {days.text}) AS days CROSS JOIN {calls}",
        [*days.values, *conditions.values, limit],
    )
