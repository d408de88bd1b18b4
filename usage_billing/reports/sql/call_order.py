"""The SQL of calls in the order of their cost, tokens or duration.

The indexes by these columns begin with the billing day, or with organisation and day. So one statement merges the
indexes of several days, and PostgreSQL reads from each only as far as the page needs. Rollups tell which days have
calls that match, and for each day the highest cost of a call: days below the page's last call are not read.

With filters, merging also reads the calls that do not match, up to the page's last call. `call_ranks` estimates how
many. If they are too many, as for an agent whose every call is cheap, all calls that match are sorted; by cost, only
those of the organisations and days that have the most expensive ones are merged. The calls of one person are found by
their index and sorted; by cost, only those of the days and models that have the most expensive ones.

Milliseconds of CPU, Python and PostgreSQL, for the first 50 of 90 days: each day's first calls read by LATERAL → this
module (PostgreSQL 18, 1,000,000 calls, one after the other on a busy machine):

                                          superadmin            owner of a sixth       member
    by cost, all calls                      6 → 10                 8 → 9               28 → 11
    an agent with cheap calls, a third    270 → 44               165 → 33
    all agents but that one                 8 → 15                10 → 14
    an agent with large calls, 5 %         24 → 19               105 → 18
    a request type of 2 %                 310 → 19               195 → 17
    a model of 1 %, most of it unpriced    21 → 24                47 → 44
    by tokens, all calls                    5 → 7                  8 → 7               25 → 20
    an agent with cheap calls             265 → 72               163 → 37
    by duration, all calls                  6 → 6                  7 → 7               26 → 19
    an agent with cheap calls             290 → 19               155 → 18

The cheapest first (one call in a hundred cost nothing): of an agent or a model that makes a seventh of the calls or
more, 460 to 560 ms → 36 to 77, since `call_ranks` counts the calls that cost nothing, with which the list begins. The
list of a smaller one is sorted: 390 to 530 ms, until the ledger has more such calls.

By cost, a deep page reads each day from its beginning, because below a row-level security policy no comparison of
`numeric` enters an index: its time grows with its depth, though not with the number of calls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from usage_billing.models import UsageRecord
from usage_billing.models.database import connection
from usage_billing.reports.parameters import ALL_TIME, Filters, Period
from usage_billing.reports.sql import call_ranks, call_reads
from usage_billing.reports.sql.call_reads import (
    OF_DAY,
    OF_MODEL,
    OF_ORGANIZATION,
    Day,
    Entry,
    Key,
    Order,
    Search,
    days_of,
    read_merged,
    read_sorted,
)
from usage_billing.reports.sql.conditions import allowed_values, where
from usage_billing.tenancy.scope import Scope

COLUMNS = ("cost_usd", "total_tokens", "execution_time_ms")
"""The columns that have such indexes."""
LARGEST_SHARE = {OF_DAY: 1 / 16, OF_ORGANIZATION: 1 / 4}
"""Merging may read this part of all calls. The calls of all organisations are sorted in the order of the table, which
reads a call four times as fast as an index does."""
TOP_SHARE = 1
"""Where merging would read more than this part, too few calls match for the rollups to bound what is read."""
FOUND_BY_INDEX = ("user_id", "workflow_id", "content_id")
"""Filters whose calls an index finds, so few that they are sorted at once."""


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

    Two to seven queries for each part of the scope, more for long periods, and one for the calls, with these fields.
    By cost, unpriced calls are left out. Each call also has `exact_cost`: because of SQLite's floats Django reads 15
    digits, too few to find the call again.
    """
    order, count = Order(column, descending, after), offset + limit
    entries: list[Entry] = []
    for part in _parts(scope):
        for allowed in allowed_values(part, filters):
            entries += _first(Search(part, allowed, filters, period, order, count))
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


def _first(search: Search) -> list[Entry]:
    if not search.of_rollups:
        return read_sorted(search, search.where())
    if any(map(search.limits, FOUND_BY_INDEX)):
        return _of_top_models(search)
    days = days_of(search, search.keys)
    if search.allowed.keys() <= {"org_id"}:
        return read_merged(search, search.keys, days)
    # On SQLite, merging would find the page's calls in every day.
    share = math.inf if connection.vendor == "sqlite" else _share_read(search, len(days))
    if share <= LARGEST_SHARE[search.keys]:
        return read_merged(search, search.keys, days)
    if search.keys == OF_DAY and share <= TOP_SHARE:
        return _of_top_days(search)
    return read_sorted(search, search.where())


def _share_read(search: Search, days: int) -> float:
    """The part of all calls that merging these days is expected to read."""
    orgs = {name: value for name, value in search.filters.items() if name == "org_id"}
    column, after = search.order.column, search.order.after
    matching, whole = (
        call_ranks.kinds(search.scope, filters, search.period, column) for filters in (search.filters, orgs)
    )
    # The days of each statement may have them all.
    count = search.count * max(1, days / call_reads.DAYS_AT_ONCE)
    start = None if after is None else float(after[0])
    read = call_ranks.expected_reads(count, days, matching, whole, start, descending=search.order.descending)
    return read / max(1, sum(kind.calls for kind in whole))


def _of_top_days(search: Search) -> list[Entry]:
    """The first calls, most of them by merging those days of organisations that have the calls with the highest cost.

    An agent's most expensive calls are in few organisations, so that few calls of other agents are passed over.
    """
    if search.is_bounded and search.order.after is None:
        days = days_of(search, OF_ORGANIZATION, search.count + 1)
        entries = read_merged(search, OF_ORGANIZATION, days[: search.count])
        if _are_first(search, entries, days):
            return entries
    return read_sorted(search, search.where())


def _of_top_models(search: Search) -> list[Entry]:
    """The first calls, most of them by sorting those of the days and models that have the calls with the highest cost.

    A person's most expensive calls are of few models.
    """
    if search.is_bounded and search.order.after is None:
        cells = days_of(search, OF_MODEL, search.count + 1)
        top = [cell for cell, _ in cells[: search.count]]
        dates, models = {date for date, _ in top}, {model for _, model in top}
        entries = read_sorted(search, search.where(usage_date=dates, ai_model=models)) if top else []
        if _are_first(search, entries, cells):
            return entries
    return read_sorted(search, search.where())


def _are_first(search: Search, entries: Sequence[Entry], days: Sequence[tuple[Day, float]]) -> bool:
    """Whether no other day than the first `count` has such calls: the next one's cost less than all of these."""
    if len(days) <= search.count:
        return True
    return len(entries) == search.count and float(entries[-1][0]) > days[search.count][1]
