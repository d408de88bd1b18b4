"""The calls in the order of their cost: out of the days, each of which an index has in that order.

An index of all calls by cost would be read nearly to its end for the dearest ones of a cheap model, and each new call
would be entered somewhere in its middle. So each day is read by itself: and for the dearest calls only the days whose
daily rows tell of one that is dear enough (`MAX_COST`), a handful, whatever the calls are narrowed to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from usage_billing.models.daily_usage import GRAINS, MAX_COST
from usage_billing.models.database import connection
from usage_billing.reports.parameters import OF_CALLS_ONLY, Period
from usage_billing.reports.sql.conditions import Sql, all_of, days, joined, narrowed, visible
from usage_billing.reports.sql.first_calls import first_calls, first_of, ordered
from usage_billing.reports.sql.sums import coarsest
from usage_billing.tenancy.scope import Scope

DEAREST_FIRST = ("cost_usd DESC", "id DESC")
CHEAPEST_FIRST = ("cost_usd", "id")


def by_cost(
    columns: Sequence[str],
    scope: Scope,
    filters: Mapping[str, Any],
    period: Period,
    limit: int,
    *,
    order: Sequence[str] = DEAREST_FIRST,
    free: bool = True,
    after: tuple[Any, int] | None = None,
) -> Sql:
    """The first so many calls of known cost in scope that match; those `after` the call of that cost and id.

    `columns` of `token_usage`, `cost_usd` and `id` among them. `free`: also those that cost nothing.
    """
    known = Sql("cost_usd IS NOT NULL" if free else "cost_usd <> 0")
    beyond = _beyond(order, after)
    if not {*filters}.isdisjoint(OF_CALLS_ONLY):  # what an index leads to, and no daily row knows of
        return first_calls(columns, scope, filters, period, [known, *beyond], order, limit)
    parts = []
    for seen, dimensions in visible(scope):
        asked = dimensions | filters.keys()
        lead = "user_id" if "user_id" in asked else "org_id"
        conditions = [*seen.items(), *filters.items()]
        of_calls = narrowed(((_led_by(lead, name), value) for name, value in conditions), of_calls=True)
        of_totals = narrowed(conditions, of_calls=False)
        if of_calls is None or of_totals is None:
            continue
        grain = coarsest(asked)
        keys = ["usage_date", *([lead] if lead == "org_id" and lead in GRAINS[grain] else [])]
        costly = [] if free else [Sql(f"{MAX_COST} > 0")]
        where = all_of([Sql("grain = %s", [grain]), *of_totals, *days(period), *costly])
        sought = f"SELECT {', '.join(keys)}, max({MAX_COST}) AS bound FROM token_usage_daily WHERE {where.text}"  # noqa: S608 - our own names
        of_days = Sql(f"days AS MATERIALIZED ({sought} GROUP BY {', '.join(keys)})", where.values)
        matching = [*(Sql(f"token_usage.{name} = days.{name}") for name in keys), *of_calls, known, *beyond]
        if order == DEAREST_FIRST:
            rows = _of_dear_days(columns, of_days, matching, limit, after)
        else:
            rows = _with([of_days], _of_each_day(columns, "days", matching, order, limit))
        parts.append(ordered(rows, order, limit))
    return first_of(parts, columns, order, limit)


def _led_by(lead: str, column: str) -> str:
    """The column, or if it is not the leading one, what has its value and is in no index.

    PostgreSQL takes the calls of an agent, or of a member in an organisation, that cost no more than a bound for so few
    that it would rather collect them all by several indexes than read some in their order.
    """
    return column if column == lead else f"({column} + 0)" if column in ("org_id", "user_id") else f"({column} || '')"


def _of_dear_days(
    columns: Sequence[str], of_days: Sql, matching: Sequence[Sql], limit: int, after: tuple[Any, int] | None
) -> Sql:
    """Of the days with the highest bounds: as many as calls are sought have one that is as dear as the least of these.

    A bound is too high where calls were made cheaper or archived. If that leaves too few, all days are read.
    """
    cheaper = Sql("WHERE bound < %s", [after[0]]) if after else Sql("")
    top = f"SELECT bound FROM days {cheaper.text} ORDER BY bound DESC LIMIT %s"  # noqa: S608 - our own names
    least = Sql(
        f"least AS MATERIALIZED (SELECT CASE WHEN count(*) = %s THEN min(bound) ELSE 0 END AS usd FROM ({top}) AS top)",  # noqa: S608 - likewise
        [limit, *cheaper.values, limit],
    )
    within = [*matching, Sql("cost_usd <= days.bound")]
    dear_enough = [*within, Sql("days.bound >= least.usd")]
    found = _of_each_day(columns, "days CROSS JOIN least", dear_enough, DEAREST_FIRST, limit)
    others = _of_each_day(columns, "days", within, DEAREST_FIRST, limit)
    either = Sql(
        f"SELECT * FROM found UNION SELECT * FROM ({others.text}) AS others"  # noqa: S608 - likewise
        " WHERE (SELECT usd FROM least) > 0"
        " AND (SELECT count(*) FROM found WHERE cost_usd >= (SELECT usd FROM least)) < %s",
        [*others.values, limit],
    )
    return _with([of_days, least, Sql(f"found AS MATERIALIZED ({found.text})", found.values)], either)


def _with(parts: Sequence[Sql], rows: Sql) -> Sql:
    named = joined(", ", parts)
    return Sql(f"WITH {named.text} {rows.text}", [*named.values, *rows.values])


def _of_each_day(columns: Sequence[str], days: str, matching: Sequence[Sql], order: Sequence[str], limit: int) -> Sql:
    """The first so many calls of each day. SQLite, which knows no LATERAL, looks each of them up by its id."""
    where, is_sqlite = all_of(matching), connection.vendor == "sqlite"
    wanted = "id" if is_sqlite else ", ".join(columns)
    found = f"SELECT {wanted} FROM token_usage WHERE {where.text}"  # noqa: S608 - our own names
    first = ordered(Sql(found, where.values), order, limit)
    if is_sqlite:
        wanted = ", ".join(f"call.{name}" for name in columns)
        found = f"SELECT {wanted} FROM {days} CROSS JOIN token_usage AS call WHERE call.id IN ({first.text})"  # noqa: S608 - likewise
    else:
        found = f"SELECT first.* FROM {days} CROSS JOIN LATERAL ({first.text}) AS first"  # noqa: S608 - likewise
    return Sql(found, first.values)


def _beyond(order: Sequence[str], after: tuple[Any, int] | None) -> list[Sql]:
    """Beyond that call in the order. The first condition is what the index is entered by."""
    if after is None:
        return []
    how = "<" if order == DEAREST_FIRST else ">"
    value, id_ = after
    return [Sql(f"cost_usd {how}= %s", [value]), Sql(f"(cost_usd {how} %s OR id {how} %s)", [value, id_])]
