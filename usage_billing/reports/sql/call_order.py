"""The SQL of calls in the order of their cost, tokens or duration.

The indexes by these columns begin with the billing day, or with organisation and day. So each day is read by itself:
first a few calls of every day, then more of those days that may have others for the page. Rollups tell which days have
calls that match, and how many.

With further filters, the first few calls of each day that match lie among the first few more. Only the days where they
do not, such as those of an agent whose every call is cheap, are read whole and sorted. Where very few calls match, all
of them are read and sorted at once.

Milliseconds for the first 50 of 90 days by tokens, all matching calls sorted → this module (PostgreSQL,
1,000,000 calls, side by side on a busy machine; by cost and by duration about the same):

                                              superadmin      owner of a sixth of the calls
    all calls                                  288 → 25       661 → 28
    all agents but one                         860 → 47       792 → 33
    an agent with large calls, a twentieth     726 → 156      656 → 558
    an agent with small calls, a third         933 → 904     1576 → 1894

So a list that is narrowed to calls that all lie at the other end takes time in proportion to the calls that match: no
index tells which of them is the first. A user's calls, and so a member's, are found by their index and sorted.

By cost, a deep page reads each day from its beginning, because below a row-level security policy no comparison of
`numeric` enters an index: its time grows with its depth, though not with the number of calls.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from usage_billing.models import UsageRecord
from usage_billing.models.daily_usage import DIMENSIONS
from usage_billing.models.database import connection
from usage_billing.reports.parameters import ALL_TIME, TAG, Excluded, Filters, Period, tag_keys
from usage_billing.reports.sql.conditions import Allowed, allowed_values, where
from usage_billing.reports.sql.text import Sql, joined
from usage_billing.reports.sql.totals import sums
from usage_billing.tenancy.scope import Scope

COLUMNS = ("cost_usd", "total_tokens", "execution_time_ms")
"""The columns that have such indexes."""
FIRST_READ = 5
"""Calls of each day that are read at first."""
SLACK = 16
"""With filters, so many times more calls are read at first than if those that match were spread evenly."""
LARGEST_SHARE = 32
"""All calls that match are sorted at once if the first read would be of more than this part of all calls."""
FOUND_BY_INDEX = ("user_id", "workflow_id", "content_id")
"""Filters whose calls an index finds, so few that they are sorted at once."""

Entry = tuple[Any, int]
"""The value of a call that is ordered by, and its id."""
Day = tuple[Any, ...]
"""A billing day, or an organisation's id and its billing day."""


@dataclass(frozen=True)
class Order:
    """The order by a column, and the call after which it begins."""

    column: str
    descending: bool
    after: Entry | None

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

    def first(self, entries: Iterable[Entry], count: int) -> list[Entry]:
        return sorted(entries, reverse=self.descending)[:count]

    def is_before(self, one: Entry, other: Entry) -> bool:
        return one > other if self.descending else one < other


def calls_in_order(
    scope: Scope,
    filters: Filters,
    period: Period,
    column: str,
    *,
    descending: bool,
    limit: int,
    offset: int = 0,
    after: Entry | None = None,
    fields: Sequence[str],
) -> list[UsageRecord]:
    """The first calls by that column, or the first ones after the call with that value and id.

    Two to four queries for each part of the scope, and one for the calls, with these fields. By cost,
    unpriced calls are left out. Each call also has `exact_cost`: because of SQLite's floats Django reads 15 digits,
    too few to find the call again.
    """
    order, count = Order(column, descending, after), offset + limit
    entries: list[Entry] = []
    for part in _parts(scope):
        for allowed in allowed_values(part, filters):
            entries += _first(part, allowed, filters, period, order, count)
    ids = [id_ for _, id_ in order.first(entries, count)[offset:]]
    if not ids:
        return []
    marks = ", ".join(["%s"] * len(ids))
    columns = ", ".join(f"{each.column}" for each in UsageRecord._meta.concrete_fields if each.name in fields)
    statement = f"SELECT {columns}, cost_usd AS exact_cost FROM token_usage WHERE id IN ({marks}) {order.text}"  # noqa: S608 - our own names
    return list(UsageRecord.objects.raw(statement, ids))


def _parts(scope: Scope) -> list[Scope]:
    """The scope's organisations by role: each part uses an index of its own."""
    if scope.everything:
        return [scope]
    owned = Scope(owned_org_ids=scope.owned_org_ids, zone=scope.zone)
    own = Scope(member_org_ids=scope.member_org_ids, user_id=scope.user_id, zone=scope.zone)
    return [part for part in (owned, own) if not part.is_empty]


# ── The way to read ──────────────────────────────────────────────────────────────────────────────────────────────


def _first(scope: Scope, allowed: Allowed, filters: Filters, period: Period, order: Order, count: int) -> list[Entry]:
    """The first calls of a part of the scope."""
    of_rollups = {name for name in filters if not name.startswith(TAG)} <= {*DIMENSIONS} and len(tag_keys(filters)) < 2
    few = any(name in allowed and not isinstance(allowed[name], Excluded) for name in FOUND_BY_INDEX)
    if few or not of_rollups:
        return _sorted(allowed, period, order, count)
    keys = ["usage_date", "org_id"] if _by_organization(allowed) else ["usage_date"]
    found = sums(scope, keys, filters, period, ["requests_count", "cost_usd"])
    days = [tuple(row[name] for name in keys) for row in found]
    if not days:
        return []
    if allowed.keys() <= {"org_id"}:
        return _day_by_day(allowed, days, order, count)
    matching = sum(row["requests_count"] for row in found)
    orgs = {name: value for name, value in filters.items() if name == "org_id"}
    whole = max(sums(scope, [], orgs, period, ["requests_count"])[0]["requests_count"] or 0, matching)
    window = math.ceil(SLACK * count * whole / matching / len(days))
    if connection.vendor == "sqlite" or window * len(days) > whole / LARGEST_SHARE:
        return _sorted(allowed, period, order, count)
    return _in_windows(allowed, period, days, order, count, window)


def _by_organization(allowed: Allowed) -> bool:
    return "org_id" in allowed and not isinstance(allowed["org_id"], Excluded)


def _sorted(
    allowed: Allowed, period: Period, order: Order, count: int, days: Sequence[Day] = (), last: Entry | None = None
) -> list[Entry]:
    """The first calls of the period, or of some of its days, none beyond the value of `last`."""
    of_days = [Sql(f"usage_date IN ({', '.join(['%s'] * len(days))})", [day[0] for day in days])] if days else []
    conditions = joined(" AND ", [where(allowed, period), order.listed, *of_days, *_up_to(order, last)])
    statement = f"SELECT {order.column}, id FROM token_usage WHERE {conditions.text} {order.text} LIMIT %s"  # noqa: S608 - our own names
    return [(value, id_) for value, id_ in _read(statement, [*conditions.values, count])]


# ── With filters ─────────────────────────────────────────────────────────────────────────────────────────────────


def _in_windows(
    allowed: Allowed, period: Period, days: Sequence[Day], order: Order, count: int, window: int
) -> list[Entry]:
    """The first calls that match, found among the first `window` calls of each day where they suffice."""
    by_organization = {name: values for name, values in allowed.items() if name == "org_id"}
    filters = {name: values for name, values in allowed.items() if name != "org_id"}
    keys = ["usage_date", "org_id"][: len(days[0])]
    same_day = [Sql(f"token_usage.{name} = days.{name}") for name in keys]
    of_day = joined(" AND ", [*same_day, where(by_organization, ALL_TIME), order.listed])
    matches, values = where(filters, ALL_TIME), _values(keys, days)
    statement = (
        f"WITH days ({', '.join(keys)}) AS ({values.text})"  # noqa: S608 - our own names
        f" SELECT {', '.join(f'days.{name}' for name in keys)}, call.{order.column}, call.id, matches, n FROM days"
        f" CROSS JOIN LATERAL (SELECT * FROM (SELECT id, {order.column}, ({matches.text}) AS matches,"
        f" row_number() OVER ({order.text}) AS n FROM token_usage WHERE {of_day.text} {order.text} LIMIT %s) AS first"
        " WHERE matches OR n = %s) AS call"
    )
    entries: list[Entry] = []
    ends: dict[Day, Entry] = {}
    for *day, value, id_, is_match, number in _read(
        statement, [*values.values, *matches.values, *of_day.values, window, window]
    ):
        if is_match:
            entries.append((value, id_))
        if number == window:
            ends[tuple(day)] = (value, id_)
    first = order.first(entries, count)
    last = first[-1] if len(first) == count else None
    more = [day for day, end in ends.items() if last is None or order.is_before(end, last)]
    if more:
        entries += _sorted(allowed, period, order, count, () if len(more) == len(days) else more, last)
    return order.first(dict.fromkeys(entries), count)


# ── Day by day ───────────────────────────────────────────────────────────────────────────────────────────────────


def _day_by_day(allowed: Allowed, days: Sequence[Day], order: Order, count: int) -> list[Entry]:
    """The first calls of all days: a few of each, then more of the days that may have others before the page's end."""
    few = min(max(FIRST_READ, math.ceil(2 * count / len(days))), count)
    by_day = _first_of(allowed, days, order, few, None)
    read = [entry for entries in by_day.values() for entry in entries]
    first = order.first(read, count)
    last = first[-1] if len(first) == count else None
    more = [
        day
        for day, entries in by_day.items()
        if len(entries) == few and (last is None or order.is_before(entries[-1], last))
    ]
    if few < count and more:
        by_day |= _first_of(allowed, more, order, count, last)
    return order.first((entry for entries in by_day.values() for entry in entries), count)


def _first_of(
    allowed: Allowed, days: Sequence[Day], order: Order, count: int, last: Entry | None
) -> dict[Day, list[Entry]]:
    """Up to so many of the first calls of each day, and none beyond the value of `last`."""
    keys = ["usage_date", "org_id"][: len(days[0])]
    same_day = [Sql(f"token_usage.{name} = days.{name}") for name in keys]
    conditions = joined(" AND ", [*same_day, where(allowed, ALL_TIME), order.listed, *_up_to(order, last)])
    calls = f"token_usage WHERE {conditions.text} {order.text} LIMIT %s"
    if connection.vendor == "sqlite":  # it has no LATERAL
        calls = f"token_usage AS call WHERE call.id IN (SELECT id FROM {calls})"  # noqa: S608 - our own names
    else:
        calls = f"LATERAL (SELECT id, {order.column} FROM {calls}) AS call"  # noqa: S608 - our own names
    values = _values(keys, days)
    names = ", ".join(f"days.{name}" for name in keys)
    statement = (
        f"WITH days ({', '.join(keys)}) AS ({values.text})"  # noqa: S608 - our own names
        f" SELECT {names}, call.{order.column}, call.id FROM days CROSS JOIN {calls}"
    )
    found: dict[Day, list[Entry]] = defaultdict(list)
    texts = {tuple(map(str, day)): day for day in days}  # SQLite returns texts for dates
    for *day, value, id_ in _read(statement, [*values.values, *conditions.values, count]):
        found[texts[tuple(map(str, day))]].append((value, id_))
    return {day: order.first(entries, count) for day, entries in found.items()}


def _up_to(order: Order, last: Entry | None) -> list[Sql]:
    """Stop at the page's last value, except by cost: below a policy no comparison of `numeric` enters an index."""
    if last is None or order.column == "cost_usd":
        return []
    return [Sql(f"{order.column} {'>=' if order.descending else '<='} %s", [last[0]])]


def _values(keys: Sequence[str], days: Sequence[Day]) -> Sql:
    types = {"usage_date": "date", "org_id": "bigint"}
    as_type = "%s" if connection.vendor == "sqlite" else "CAST(%s AS {})"
    row = f"({', '.join(as_type.format(types[name]) for name in keys)})"
    return Sql(f"VALUES {', '.join([row] * len(days))}", [value for day in days for value in day])


def _read(statement: str, values: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
