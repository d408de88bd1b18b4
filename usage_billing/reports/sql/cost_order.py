"""The SQL of calls in the order of their cost.

The indexes by cost begin with the billing day. So each day is read by itself up to the length of the page, and the page
is taken from all days together. Rollups tell which days there are. Without filters, the time grows with the number of
days and with the depth of the page, but not with the number of calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connections

from usage_billing.models import UsageRecord
from usage_billing.models.daily_usage import GRAINS
from usage_billing.reports.parameters import ALL_TIME, OF_CALLS_ONLY, Period
from usage_billing.reports.sql.conditions import Sql, allowed_values, coarsest, joined, where
from usage_billing.tenancy.scope import Scope


def calls_by_cost(
    scope: Scope,
    filters: Mapping[str, Any],
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
        if allowed.keys() & {*OF_CALLS_ONLY}:  # rollups do not have these; an index finds the few calls
            conditions = joined(" AND ", [where(allowed, period), priced])
            parts.append(Sql(f"SELECT id, cost_usd FROM token_usage WHERE {conditions.text}", conditions.values))  # noqa: S608 - our own names
        else:
            parts.append(_first_of_each_day(allowed, period, priced, order, offset + limit))
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


def _first_of_each_day(allowed: Mapping[str, set[Any]], period: Period, priced: Sql, order: str, limit: int) -> Sql:
    """Id and cost of the first calls of each day, or of each organisation's day: what one index has in order.

    The inner LIMIT, which cuts nothing, makes PostgreSQL filter the calls of a day in the order of the index. Without
    it, PostgreSQL reads for each day again all calls of an agent or a model by another index.
    """
    grain = coarsest(allowed)
    keys = ["usage_date", *({"org_id"} & {*GRAINS[grain]})]
    days = where(allowed, period, grain)
    owners = {name: values for name, values in allowed.items() if name in ("org_id", "user_id")}
    others = {name: values for name, values in allowed.items() if name not in owners}
    same_day = [Sql(f"token_usage.{name} = days.{name}") for name in keys]
    of_day, filters = joined(" AND ", [*same_day, where(owners, ALL_TIME), priced]), where(others, ALL_TIME)
    columns = ", ".join(["id", "cost_usd", *others])
    calls = (
        f"(SELECT {columns} FROM token_usage WHERE {of_day.text} {order} LIMIT {2**63 - 1}) AS of_day"  # noqa: S608 - our own names
        f" WHERE {filters.text} {order} LIMIT %s"
    )
    if connections[UsageRecord.objects.db].vendor == "sqlite":  # it has no LATERAL
        calls = f"token_usage AS call WHERE call.id IN (SELECT id FROM {calls})"  # noqa: S608 - our own names
    else:
        calls = f"LATERAL (SELECT id, cost_usd FROM {calls}) AS call"  # noqa: S608 - our own names
    return Sql(
        f"SELECT call.id, call.cost_usd FROM (SELECT DISTINCT {', '.join(keys)} FROM token_usage_daily"  # noqa: S608 - our own names
        f" WHERE {days.text}) AS days CROSS JOIN {calls}",
        [*days.values, *of_day.values, *filters.values, limit],
    )
