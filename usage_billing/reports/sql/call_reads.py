"""Reads the first calls in the order of their cost, tokens or duration, by sorting or by merging days."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from usage_billing.models.daily_usage import DIMENSIONS, MAX_COST
from usage_billing.models.database import connection
from usage_billing.reports.parameters import ALL_TIME, TAG, Excluded, Filters, Period, tag_keys
from usage_billing.reports.sql.conditions import Allowed, where
from usage_billing.reports.sql.text import Sql, joined
from usage_billing.reports.sql.totals import sums
from usage_billing.tenancy.scope import Scope

DAYS_AT_ONCE = 20
"""Days of one statement: PostgreSQL takes 0.06 ms to plan each."""
OF_DAY: tuple[str, ...] = ("usage_date",)
OF_ORGANIZATION: tuple[str, ...] = ("usage_date", "org_id")
OF_MODEL: tuple[str, ...] = ("usage_date", "ai_model")

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
"""A billing day, or the day of an organisation or a model."""


@dataclass(frozen=True)
class Search:
    """The search for the first `count` calls of a part of the scope."""

    scope: Scope
    allowed: Allowed
    filters: Filters
    period: Period
    order: Order
    count: int

    @property
    def of_rollups(self) -> bool:
        """Whether the rollups tell which days have such calls."""
        names = {name for name in self.filters if not name.startswith(TAG)}
        return names <= {*DIMENSIONS} and len(tag_keys(self.filters)) < 2

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that an index begins with."""
        return OF_ORGANIZATION if self.limits("org_id") else OF_DAY

    @property
    def is_bounded(self) -> bool:
        """Whether the highest costs of the rollups bound what is read. SQLite's floats may be off by a digit."""
        highest_first = self.order.column == "cost_usd" and self.order.descending
        return highest_first and not tag_keys(self.filters) and connection.vendor != "sqlite"

    def limits(self, name: str) -> bool:
        return name in self.allowed and not isinstance(self.allowed[name], Excluded)

    def where(self, **values: Iterable[Any]) -> Sql:
        """The conditions of such calls, narrowed to these values."""
        narrower = {**self.allowed, **{name: frozenset(each) for name, each in values.items()}}
        return joined(" AND ", [where(narrower, self.period), self.order.listed])


def read_sorted(search: Search, conditions: Sql) -> list[Entry]:
    """The first calls under these conditions: all of them are read."""
    order = search.order
    statement = f"SELECT {order.column}, id, org_id FROM token_usage WHERE {conditions.text} {order.text} LIMIT %s"  # noqa: S608 - our own names
    return _read(statement, [*conditions.values, search.count])


def read_merged(search: Search, keys: Sequence[str], days: Sequence[tuple[Day, float]]) -> list[Entry]:
    """The first calls of all days, some days at once. Once there are enough, the last of them bounds what is read."""
    order, count = search.order, search.count
    entries: list[Entry] = []
    for start in range(0, len(days), DAYS_AT_ONCE):
        some = days[start : start + DAYS_AT_ONCE]
        if len(entries) == count:
            last = entries[-1]
            if order.enters_index:
                rest = search.where(usage_date={day for (day, *_), _ in days[start:]})
                found = read_sorted(search, joined(" AND ", [rest, order.up_to(last)]))
                return order.first({*entries, *found}, count)  # a day of another organisation may have been read
            some = [(day, max_cost) for day, max_cost in some if max_cost >= float(last[0])]
        if some:
            entries = order.first([*entries, *_first_of(search, keys, [day for day, _ in some])], count)
    return entries


def days_of(search: Search, keys: Sequence[str], limit: int | None = None) -> list[tuple[Day, float]]:
    """The days that have such calls, each with the highest cost of a call, highest first.

    Where that is not known or bounds nothing, it is infinite, and the days with the most calls come first.
    """
    measures = ["requests_count", MAX_COST] if search.is_bounded else ["requests_count"]
    rows = sums(search.scope, keys, search.filters, search.period, measures, limit, ordering=f"-{measures[-1]}")
    return [
        (tuple(row[name] for name in keys), float(row[MAX_COST]) if search.is_bounded else math.inf) for row in rows
    ]


def _first_of(search: Search, keys: Sequence[str], days: Sequence[Day]) -> list[Entry]:
    """The first calls of these days. Each has a limit of its own, else PostgreSQL would read and sort all calls."""
    order = search.order
    same = " AND ".join(f"{name} = %s" for name in keys)
    others = where({name: values for name, values in search.allowed.items() if name not in keys}, ALL_TIME)
    conditions = joined(" AND ", [others, order.listed])
    calls = f"{order.column}, id, org_id FROM token_usage WHERE {same} AND {conditions.text} {order.text} LIMIT %s"
    merged = " UNION ALL ".join([f"SELECT * FROM (SELECT {calls}) AS of_day"] * len(days))  # noqa: S608 - our own names
    values = [value for day in days for value in (*day, *conditions.values, search.count)]
    return _read(f"{merged} {order.text} LIMIT %s", [*values, search.count])


def _read(statement: str, values: Sequence[Any]) -> list[Entry]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [(value, id_, org_id) for value, id_, org_id in cursor.fetchall()]
