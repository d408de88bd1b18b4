"""The rows that a total is the sum of: rollup rows, rollup rows by tag, or calls and the sums of archived calls.

Whatever the source, its `SELECT` has the columns asked for, so that the statement around it is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from usage_billing.models import user_keys
from usage_billing.models.archived_usage import OF_CALLS_ONLY
from usage_billing.models.daily_tag_usage import TAG_GRAINS
from usage_billing.models.database import connection
from usage_billing.models.durations import DURATION_BOUNDS_MS, DURATION_COUNTS
from usage_billing.reports.parameters import (
    SINGLE_CALL_FILTERS,
    TAG,
    Excluded,
    Filters,
    Period,
    Values,
    allowed,
    tag_keys,
)
from usage_billing.reports.sql.conditions import Allowed, allowed_values, coarsest, condition, days, of_grain, where
from usage_billing.reports.sql.registry import is_kept_apart
from usage_billing.reports.sql.tags import tag_of_call
from usage_billing.reports.sql.text import Sql, joined
from usage_billing.tenancy.scope import Scope

HOUR = "hour"
"""Column to group single calls by: the UTC hour of the call."""
UNTIMED = "untimed_count"
"""Measure: calls of rollup rows whose durations were not counted, because an earlier version archived their calls."""

_NO_VALUE = frozenset([""])


def rows(scope: Scope, by: Sequence[str], filters: Filters, period: Period, measures: Sequence[str]) -> Sql | None:
    """`SELECT` of the rows to add up, with the columns `columns(by)` and these measures; None if none can match.

    One `SELECT` for each part of the scope, so that each uses its index. One query more if there is a tag.
    """
    names = {*by, *filters}
    keys = tag_keys(names)
    of_calls = not names.isdisjoint((*OF_CALLS_ONLY, *SINGLE_CALL_FILTERS, HOUR)) or len(keys) > 1
    tag = next(iter(keys), None)
    if tag is not None and not of_calls:
        of_calls = not is_kept_apart(scope, tag, _values_of(filters.get(TAG + tag)))
    parts: list[Sql] = []
    for part in allowed_values(scope, filters):
        if of_calls:
            parts += _of_calls(part, by, period, measures)
        elif tag is not None:
            parts += _of_tag(tag, part, by, period, measures)
        else:
            parts.append(_of_rollup(part, by, period, measures))
    return joined(" UNION ALL ", parts) if parts else None


def single_calls(
    scope: Scope,
    filters: Filters,
    period: Period,
    measures: Sequence[str],
    since: Any,
    until: Any,
    by: Sequence[str] = (),
) -> Sql | None:
    """`SELECT` of the calls with `since <= created_at < until`, without archived ones; None if none can match."""
    moments = [connection.ops.adapt_datetimefield_value(moment) for moment in (since, until)]
    in_time = Sql("created_at >= %s AND created_at < %s", moments)
    parts = [_of_single_calls(part, by, period, measures, in_time) for part in allowed_values(scope, filters)]
    return joined(" UNION ALL ", parts) if parts else None


def columns(by: Sequence[str]) -> list[str]:
    """The columns' names in SQL: a tag's key comes from people and may not stand in a statement."""
    return [f"tag_{number}" if name.startswith(TAG) else name for number, name in enumerate(by)]


def _values_of(value: object) -> frozenset[str]:
    """The tag's values that a filter names."""
    if value is None:
        return frozenset()
    values = allowed(value)
    return (values.values if isinstance(values, Excluded) else values) - {""}


# ── Rollups ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_rollup(part: Allowed, by: Sequence[str], period: Period, measures: Sequence[str]) -> Sql:
    """Rollup rows; a tag among the columns is empty."""
    dimensions = {name for name in by if not name.startswith(TAG)} - {"usage_date"} | part.keys()
    return _select(
        [Sql("''") if name.startswith(TAG) else Sql(name) for name in by],
        by,
        [_of_row(name) for name in measures],
        measures,
        "token_usage_daily",
        where(part, period, coarsest(dimensions)),
    )


def _of_tag(tag: str, part: Allowed, by: Sequence[str], period: Period, measures: Sequence[str]) -> Iterator[Sql]:
    """Rollup rows of calls with the tag; calls without it are all calls less those with the tag."""
    name = TAG + tag
    values = part.get(name, Excluded(frozenset()))
    others = {each: allowed for each, allowed in part.items() if each != name}
    with_value = _without_empty(values)
    if isinstance(with_value, Excluded) or with_value:
        yield _of_tagged(tag, {**others, name: with_value}, by, period, measures)
    if _allows_none(values):
        yield _of_rollup(others, by, period, measures)
        yield _of_tagged(tag, others, by, period, measures, subtracted=True)


def _of_tagged(
    tag: str, part: Allowed, by: Sequence[str], period: Period, measures: Sequence[str], *, subtracted: bool = False
) -> Sql:
    name = TAG + tag
    dimensions = {each for each in (*by, *part) if not each.startswith(TAG)} - {"usage_date"}
    conditions = [
        *of_grain(coarsest({*dimensions, "tag_key", "tag_value"}, TAG_GRAINS)),
        Sql("tag_key = %s", [tag]),
        *(condition(each, values, of_calls=False) for each, values in part.items() if each != name),
        *days(period),
    ]
    if name in part:
        conditions.append(condition("tag_value", part[name], of_calls=False))
    key = Sql("''" if subtracted else "tag_value")
    return _select(
        [key if each.startswith(TAG) else Sql(each) for each in by],
        by,
        [_of_row(each, "-" if subtracted else "") for each in measures],
        measures,
        "token_usage_tag_daily",
        joined(" AND ", conditions),
    )


def _allows_none(values: Values) -> bool:
    """Whether calls without the tag match."""
    return "" not in values.values if isinstance(values, Excluded) else "" in values


def _without_empty(values: Values) -> Values:
    return Excluded(values.values - _NO_VALUE) if isinstance(values, Excluded) else values - _NO_VALUE


def _of_row(measure: str, sign: str = "") -> Sql:
    if measure == UNTIMED:
        nothing = " AND ".join(f"{name} = 0" for name in DURATION_COUNTS)
        return Sql(f"CASE WHEN execution_time_ms <> 0 AND {nothing} THEN {sign}requests_count ELSE 0 END")
    return Sql(sign + measure)


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_calls(part: Allowed, by: Sequence[str], period: Period, measures: Sequence[str]) -> Iterator[Sql]:
    """Single calls in the shape of rollup rows, and the sums of archived calls, unless only single calls have it."""
    yield _of_single_calls(part, by, period, measures)
    if {HOUR, *SINGLE_CALL_FILTERS}.isdisjoint({*by, *part}):
        keys = [_key_of_call(name) for name in by]
        of_rows = [_of_row(name) for name in measures]
        yield _select(keys, by, of_rows, measures, "usage_archived_usage", where(part, period))


def _of_single_calls(part: Allowed, by: Sequence[str], period: Period, measures: Sequence[str], *more: Sql) -> Sql:
    keys, values = [_key_of_call(name) for name in by], [Sql(_OF_CALL.get(name, name)) for name in measures]
    conditions = joined(" AND ", [*more, where(part, period)])
    return _select(keys, by, values, measures, "token_usage", conditions)


def _key_of_call(name: str) -> Sql:
    if name.startswith(TAG):
        return tag_of_call(name.removeprefix(TAG))
    if name == "user_id":
        return Sql(f"coalesce(user_id, {user_keys.literal(connection)})")
    if name == HOUR:
        # SQLite has texts: a day and an hour are their first 13 characters.
        sqlite = connection.vendor == "sqlite"
        return Sql("substr(created_at, 1, 13)" if sqlite else "date_trunc('hour', created_at, 'UTC')")
    return Sql(name)


def _in_bucket(above: int, up_to: int | None) -> str:
    conditions = [f"execution_time_ms > {above}"] + ([] if up_to is None else [f"execution_time_ms <= {up_to}"])
    return f"CASE WHEN {' AND '.join(conditions)} THEN 1 ELSE 0 END"


_OF_CALL = {
    "requests_count": "1",
    "failed_count": "CASE WHEN status = 'failed' THEN 1 ELSE 0 END",
    "refused_count": "CASE WHEN status = 'refused' THEN 1 ELSE 0 END",
    "unpriced_usd_count": "CASE WHEN cost_usd IS NULL THEN 1 ELSE 0 END",
    "unpriced_rub_count": "CASE WHEN cost_rub IS NULL THEN 1 ELSE 0 END",
    UNTIMED: "0",
    **{
        name: _in_bucket(above, up_to)
        for name, above, up_to in zip(
            DURATION_COUNTS, (0, *DURATION_BOUNDS_MS), (*DURATION_BOUNDS_MS, None), strict=True
        )
    },
}
"""Measure → its SQL for a single call, where that is not the column of that name."""


def _select(
    keys: Sequence[Sql], by: Sequence[str], values: Sequence[Sql], measures: Sequence[str], table: str, conditions: Sql
) -> Sql:
    names = [*columns(by), *measures]
    shown = [Sql(f"{each.text} AS {name}", each.values) for each, name in zip([*keys, *values], names, strict=True)]
    selected = joined(", ", shown)
    text = f"SELECT {selected.text} FROM {table} WHERE {conditions.text}"  # noqa: S608 - our own names
    return Sql(text, [*selected.values, *conditions.values])
