"""The SQL of calls in the order of their cost, tokens or duration.

The indexes by these columns begin with the billing day, or with organisation and day. So one statement merges the
indexes of several days, and PostgreSQL reads from each only as far as the page needs. Rollups tell which days have
calls that match, and for each day the highest cost of a call: days below the page's last call are not read.

With filters, calls that do not match are read too, those before the page's last call. Their number follows from the
rollups, which tell how many calls of each kind there are and how much they cost. If it is large, as for an agent whose
every call is cheap, all calls that match are sorted instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from usage_billing.models import UsageRecord
from usage_billing.models.daily_usage import DIMENSIONS, MAX_COST
from usage_billing.models.database import connection
from usage_billing.reports.parameters import ALL_TIME, TAG, Excluded, Filters, Period, tag_keys
from usage_billing.reports.sql import call_ranks
from usage_billing.reports.sql.conditions import Allowed, allowed_values, condition, where
from usage_billing.reports.sql.text import Sql, joined
from usage_billing.reports.sql.totals import sums
from usage_billing.tenancy.scope import Scope

COLUMNS = ("cost_usd", "total_tokens", "execution_time_ms")
"""The columns that have such indexes."""
DAYS_AT_ONCE = 20
"""Days of one statement: PostgreSQL takes 0.06 ms to plan each."""
LARGEST_SHARE = 0.25
"""With filters, all calls that match are sorted if merging would read a larger part of all calls."""
FOUND_BY_INDEX = ("user_id", "workflow_id", "content_id")
"""Filters whose calls an index finds, so few that they are sorted at once."""

Key = tuple[Any, int]
"""The value of a call that is ordered by, and its id."""
Entry = tuple[Any, int, int]
"""The key of a call, and its organisation's id."""


@dataclass(frozen=True)
class Order:
    """The order by a column, and the call after which it begins."""

    column: str
    descending: bool
    after: Key | None

    @property
    def text(self) -> str:
        direction = "DESC" if self.descending else "ASC"
        return f"ORDER BY {self.column} {direction}, id {direction}"

    @property
    def listed(self) -> Sql:
        """The condition of the calls that are listed: priced ones, after that call."""
        if self.after is None:
            return Sql(f"{self.column} IS NOT NULL")
        (value, id_), how = self.after, "<" if self.descending else ">"
        return Sql(f"{self.column} {how}= %s AND ({self.column} {how} %s OR id {how} %s)", [value, value, id_])

    @property
    def enters_index(self) -> bool:
        """Whether a value bounds what is read: below a row-level security policy no comparison of `numeric` does."""
        return self.column != "cost_usd"

    def up_to(self, last: Entry) -> Sql:
        return Sql(f"{self.column} {'>=' if self.descending else '<='} %s", [last[0]])

    def first(self, entries: Iterable[Entry], count: int) -> list[Entry]:
        return sorted(entries, reverse=self.descending)[:count]


Day = tuple[Any, ...]
"""A billing day, or a billing day and an organisation's id."""


def calls_in_order(
    scope: Scope,
    filters: Filters,
    period: Period,
    column: str,
    *,
    descending: bool,
    limit: int,
    offset: int = 0,
    after: Key | None = None,
    fields: Sequence[str],
) -> list[UsageRecord]:
    """The first calls by that column, or the first ones after the call with that value and id.

    Two to four queries for each part of the scope, more for long periods, and one for the calls, with these fields. By
    cost, unpriced calls are left out. Each call also has `exact_cost`: because of SQLite's floats Django reads 15
    digits, too few to find the call again.
    """
    order, count = Order(column, descending, after), offset + limit
    entries: list[Entry] = []
    for part in _parts(scope):
        for allowed in allowed_values(part, filters):
            entries += _first(part, allowed, filters, period, order, count)
    found = order.first(entries, count)[offset:]
    if not found:
        return []
    _, ids, org_ids = (frozenset(values) for values in zip(*found, strict=True))
    conditions = where({"id": ids, "org_id": org_ids}, ALL_TIME)
    columns = ", ".join(f"{each.column}" for each in UsageRecord._meta.concrete_fields if each.name in fields)
    statement = f"SELECT {columns}, cost_usd AS exact_cost FROM token_usage WHERE {conditions.text} {order.text}"  # noqa: S608 - our own names
    return list(UsageRecord.objects.raw(statement, conditions.values))


def _parts(scope: Scope) -> list[Scope]:
    """The scope's organisations by role: each part uses an index of its own."""
    if scope.everything:
        return [scope]
    owned = Scope(owned_org_ids=scope.owned_org_ids, zone=scope.zone)
    own = Scope(member_org_ids=scope.member_org_ids, user_id=scope.user_id, zone=scope.zone)
    return [part for part in (owned, own) if not part.is_empty]


def _first(scope: Scope, allowed: Allowed, filters: Filters, period: Period, order: Order, count: int) -> list[Entry]:
    """The first calls of a part of the scope."""
    of_rollups = {name for name in filters if not name.startswith(TAG)} <= {*DIMENSIONS} and len(tag_keys(filters)) < 2
    few = any(name in allowed and not isinstance(allowed[name], Excluded) for name in FOUND_BY_INDEX)
    if few or not of_rollups:
        return _sorted(where(allowed, period), order, count)
    by_organization = "org_id" in allowed and not isinstance(allowed["org_id"], Excluded)
    keys = ("usage_date", "org_id") if by_organization else ("usage_date",)
    days = _days(scope, keys, filters, period, order)
    narrowed = not allowed.keys() <= {"org_id"}
    if narrowed and not _is_quickly_merged(scope, filters, period, order, count, len(days)):
        return _sorted(where(allowed, period), order, count)
    return _merged(allowed, keys, days, order, count)


def _sorted(conditions: Sql, order: Order, count: int) -> list[Entry]:
    """The first calls under these conditions: all of them are read."""
    of_calls = joined(" AND ", [conditions, order.listed])
    statement = f"SELECT {order.column}, id, org_id FROM token_usage WHERE {of_calls.text} {order.text} LIMIT %s"  # noqa: S608 - our own names
    return _read(statement, [*of_calls.values, count])


# ── Merged days ──────────────────────────────────────────────────────────────────────────────────────────────────


def _merged(
    allowed: Allowed, keys: Sequence[str], days: Sequence[tuple[Day, float]], order: Order, count: int
) -> list[Entry]:
    """The first calls of all days, some days at once. Once there are enough, the last of them bounds what is read."""
    others = where({name: values for name, values in allowed.items() if name not in keys}, ALL_TIME)
    entries: list[Entry] = []
    for start in range(0, len(days), DAYS_AT_ONCE):
        some = days[start : start + DAYS_AT_ONCE]
        if len(entries) == count:
            last = entries[-1]
            if order.enters_index:
                rest = condition("usage_date", frozenset(day for (day, *_), _ in days[start:]), of_calls=True)
                found = _sorted(joined(" AND ", [where(allowed, ALL_TIME), rest, order.up_to(last)]), order, count)
                return order.first({*entries, *found}, count)  # a day of another organisation may have been read
            some = [(day, max_cost) for day, max_cost in some if max_cost >= float(last[0])]
        if some:
            entries = order.first([*entries, *_of_days(keys, [day for day, _ in some], others, order, count)], count)
    return entries


def _days(scope: Scope, keys: Sequence[str], filters: Filters, period: Period, order: Order) -> list[tuple[Day, float]]:
    """The days that have such calls, each with the highest cost of a call, highest first.

    Where that is not known or bounds nothing, it is infinite, and the days with the most calls come first.
    """
    bounded = order.column == "cost_usd" and order.descending and not tag_keys(filters)
    measures = ["requests_count", MAX_COST] if bounded else ["requests_count"]
    return [
        (tuple(row[name] for name in keys), float(row[MAX_COST]) if bounded else math.inf)
        for row in sums(scope, keys, filters, period, measures, ordering=f"-{measures[-1]}")
    ]


def _of_days(keys: Sequence[str], days: Sequence[Day], others: Sql, order: Order, count: int) -> list[Entry]:
    """The first calls of these days. Each has a limit of its own, else PostgreSQL would read and sort all calls."""
    same = " AND ".join(f"{name} = %s" for name in keys)
    conditions = joined(" AND ", [others, order.listed])
    calls = f"{order.column}, id, org_id FROM token_usage WHERE {same} AND {conditions.text} {order.text} LIMIT %s"
    merged = " UNION ALL ".join([f"SELECT * FROM (SELECT {calls}) AS of_day"] * len(days))  # noqa: S608 - our own names
    values = [value for day in days for value in (*day, *conditions.values, count)]
    return _read(f"{merged} {order.text} LIMIT %s", [*values, count])


def _is_quickly_merged(scope: Scope, filters: Filters, period: Period, order: Order, count: int, days: int) -> bool:
    """Whether merging finds the page's calls among few others. On SQLite it would read that many of every day."""
    if connection.vendor == "sqlite":
        return False
    orgs = {name: value for name, value in filters.items() if name == "org_id"}
    matching, whole = (call_ranks.kinds(scope, each, period, order.column) for each in (filters, orgs))
    # The first days have to have them all, and each day is read up to the next one that matches.
    sought = count * max(1, days / DAYS_AT_ONCE) + days
    start = None if order.after is None else float(order.after[0])
    read = call_ranks.expected_reads(sought, matching, whole, start, descending=order.descending)
    return read <= LARGEST_SHARE * sum(kind.calls for kind in whole)


def _read(statement: str, values: Sequence[Any]) -> list[Entry]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [(value, id_, org_id) for value, id_, org_id in cursor.fetchall()]
