"""The rollups of the ledger: their tables and keys, and the SQL that sums stored records into their rows.

`summing` does the same in Python for new records.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from usage_billing.models import DailyTagUsage, DailyUsage, TagValue, UsageRecord, user_keys
from usage_billing.models.daily_tag_usage import OTHER_VALUE, TAG_COLUMNS, TAG_GRAINS
from usage_billing.models.daily_usage import DIMENSIONS, GRAINS, MAX_COST, MEASURES, ROLLUP_MEASURES, DailyRollup
from usage_billing.models.database import connection
from usage_billing.models.durations import DURATION_BOUNDS_MS, DURATION_COUNTS


@dataclass(frozen=True, eq=False)
class Rollup:
    """A table of daily sums at several grains.

    key: the primary key. Writers lock rows in its order, so that they cannot deadlock, and those of all organisations
    last: other writers wait for these from then until the commit (`in_order`, `place`). grains: grain → the dimensions
    that it keeps besides the day. finest: the grain that keeps all. source: vendor → the `FROM` of the finest grain.
    """

    model: type[DailyRollup]
    key: tuple[str, ...]
    grains: Mapping[str, tuple[str, ...]]
    finest: str
    source: Mapping[str, str]

    @cached_property
    def table(self) -> str:
        return self.model._meta.db_table

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of a row, in the order of `summing.Row`."""
        return (*self.key, *ROLLUP_MEASURES, MAX_COST)

    def in_order(self, vendor: str) -> Sequence[str]:
        """Return the `ORDER BY` that sorts rows as `place` does."""
        if vendor == "sqlite":
            return self.key  # it has one writer at a time
        # By code points, as Python sorts, whatever the database's collation.
        return [f"org_id = {ALL['org_id']}"] + [
            name if name in ("org_id", "usage_date", "user_id") else f'{name} COLLATE "C"' for name in self.key
        ]


def place(row: Sequence[Any]) -> tuple[bool, Sequence[Any]]:
    """Return the sort key of a row in the order in which writers lock it. A key has the organisation second."""
    return row[1] == ALL["org_id"], row


def _tagged(each_tag: str) -> str:
    """Select calls with their tags, one row for each tag that the rollups count.

    A value beyond the bound counts as `OTHER_VALUE`, a key beyond it does not count: `tag_values` decides the same.
    """
    calls = UsageRecord._meta.db_table
    # A sub-select, because Citus joins no local table to a distributed one. PostgreSQL and SQLite flatten it.
    registry = f"(SELECT org_id, tag_key, tag_value FROM {TagValue._meta.db_table})"  # noqa: S608 - our own names
    named = ", ".join(f"{calls}.{name}" for name in ("usage_date", *DIMENSIONS, *SUMMED))
    return f"""(
        SELECT {named}, tag.key AS tag_key, coalesce(known.tag_value, '{OTHER_VALUE}') AS tag_value
        FROM {calls} CROSS JOIN {each_tag} AS tag LEFT JOIN {registry} AS known
            ON known.org_id = {calls}.org_id AND known.tag_key = tag.key AND known.tag_value = tag.value
        WHERE {calls}.tags <> '{{}}' AND (known.tag_value IS NOT NULL OR EXISTS (
            SELECT 1 FROM {registry} AS of_key WHERE of_key.org_id = {calls}.org_id AND of_key.tag_key = tag.key
        ))
    ) AS tagged"""  # noqa: S608 - our own names


ALL: dict[str, Any] = {
    "org_id": 0,
    "user_id": None,  # depends on the user model: `user_keys.nobody()`
    "agent_id": "",
    "request_type": "",
    "ai_provider": "",
    "ai_model": "",
    "status": "",
}
"""Dimension → the value of its column in grains that leave it out."""

SUMMED = tuple(name for name in MEASURES if not name.endswith("_count"))
"""The measures that are sums of a call's columns."""

_OF_A_CALL = ("user_id", "agent_id", "request_type", "ai_provider", "ai_model", "status")

DAILY = Rollup(
    model=DailyUsage,
    key=("grain", "org_id", "usage_date", *_OF_A_CALL),
    grains=GRAINS,
    finest="cube",
    source=dict.fromkeys(("postgresql", "sqlite"), UsageRecord._meta.db_table),
)
TAGS = Rollup(
    model=DailyTagUsage,
    key=("grain", "org_id", "usage_date", *TAG_COLUMNS, *_OF_A_CALL),
    grains=TAG_GRAINS,
    finest="tag_cube",
    source={"postgresql": _tagged("jsonb_each_text(tags)"), "sqlite": _tagged("json_each(tags)")},
)
ROLLUPS = (DAILY, TAGS)
"""Writers lock rows of the tables in this order."""


def _count_sql(condition: str) -> str:
    return f"CAST(count(*) FILTER (WHERE {condition}) AS integer)"


def _bucket_sql(above: int, bound: int | None) -> str:
    upper = "" if bound is None else f" AND execution_time_ms <= {bound}"
    return _count_sql(f"execution_time_ms > {above}{upper}")


_BOUNDS = zip((0, *DURATION_BOUNDS_MS), (*DURATION_BOUNDS_MS, None), strict=True)
_MEASURE_SQL = {
    "requests_count": "CAST(count(*) AS integer)",
    "failed_count": _count_sql("status = 'failed'"),
    "refused_count": _count_sql("status = 'refused'"),
    "unpriced_usd_count": _count_sql("cost_usd IS NULL"),
    "unpriced_rub_count": _count_sql("cost_rub IS NULL"),
    **dict.fromkeys(SUMMED, "coalesce({sum}, 0)"),
    **dict(zip(DURATION_COUNTS, (_bucket_sql(*each) for each in _BOUNDS), strict=True)),
}


def sum_sql(name: str, vendor: str) -> str:
    """Return the SQL sum of a column.

    SQLite's `sum` of integers raises beyond 64 bits, which calls of earlier versions may reach. `total` is a float,
    exact up to 2⁵³.
    """
    if vendor == "sqlite" and not name.startswith("cost_"):
        return f"CASE WHEN count({name}) > 0 THEN CAST(total({name}) AS INTEGER) END"
    return f"sum({name})"


def _day_sum_sql(name: str, vendor: str) -> str:
    """Return `sum_sql` for a part of one day, in a type that PostgreSQL sums up again without `numeric`.

    A day's counts fit 32 bits, and its sums the rollups' columns. This halves the time of `compared_sql`.
    """
    summed = sum_sql(name, vendor)
    if name.startswith("cost_"):
        return summed
    return f"CAST({summed} AS {'integer' if name in _COUNTS else 'bigint'})"


_COUNTS = {*ROLLUP_MEASURES} - {*SUMMED}


def measures_sql(vendor: str) -> list[str]:
    """Return the SQL of each of `ROLLUP_MEASURES`, summed over calls of a day."""
    return [_MEASURE_SQL[name].format(sum=_day_sum_sql(name, vendor)) for name in ROLLUP_MEASURES]


def select_sql(rollup: Rollup, grain: str, where: str, vendor: str = "postgresql") -> str:
    """Return the `SELECT` of one grain's rows (`Rollup.columns`) from the matching rows of `token_usage`."""
    kept = rollup.grains[grain]
    keys = []
    for name in rollup.key:
        if name == "grain":
            keys.append(f"'{grain}'")
        elif name == "usage_date":
            keys.append(name)
        elif name not in kept:
            keys.append(_literal(name))
        else:
            keys.append(_key_sql(name))
    values = [*keys, *measures_sql(vendor), "coalesce(max(cost_usd), 0)"]
    columns = ", ".join(f"{sql} AS {name}" for sql, name in zip(values, rollup.columns, strict=True))
    grouped = ", ".join(["usage_date", *map(_key_sql, kept)])
    return f"SELECT {columns} FROM {rollup.source[vendor]} WHERE {where} GROUP BY {grouped}"  # noqa: S608 - our own names


def upsert_sql(rollup: Rollup, measures: Sequence[str] = ROLLUP_MEASURES) -> str:
    """Return the `ON CONFLICT …` that adds rows to those of the table: these measures, and the highest cost."""
    row = rollup.table
    sums = [f"{name} = {row}.{name} + excluded.{name}" for name in measures]
    max_cost = f"CASE WHEN excluded.{MAX_COST} > {row}.{MAX_COST} THEN excluded.{MAX_COST} ELSE {row}.{MAX_COST} END"
    return f"ON CONFLICT ({', '.join(rollup.key)}) DO UPDATE SET {', '.join([*sums, f'{MAX_COST} = {max_cost}'])}"


def repair_sql(rollup: Rollup, where: str, vendor: str, only: str = "1 = 1") -> str:
    """Return the `INSERT` that adds to each wrong row what `compared_sql` finds lacking; `only` narrows the rows."""
    columns, ordered = ", ".join(rollup.columns), ", ".join(rollup.in_order(vendor))
    return (
        f"INSERT INTO {rollup.table} ({columns})"  # noqa: S608 - our own names
        f" SELECT {columns} FROM ({compared_sql(rollup, where, vendor)}) AS differences"
        f" WHERE {only} ORDER BY {ordered} {upsert_sql(rollup)}"
    )


SQLITE_TOLERANCE = Decimal("1e-6")
"""SQLite sums amounts as 8-byte floats, which may differ in the fifteenth digit. PostgreSQL is exact."""


def compared_sql(rollup: Rollup, where: str, vendor: str) -> str:
    """Return the `SELECT` of each rollup row, at every grain, that is wrong, missing or superfluous.

    Columns: the key; the records' sums minus the row's; the highest cost of a call; and by how much the row's
    `max_cost_usd` is below that (it may be above). `where` applies to both tables, so its parameters come twice. The
    records are read once, and each coarser grain is summed from the smallest finer one. One statement reads both sides
    at one moment.
    """
    calls = _every_grain(rollup, select_sql(rollup, rollup.finest, where, vendor), ROLLUP_MEASURES, vendor)
    grains = ", ".join(f"'{grain}'" for grain in rollup.grains)
    kept = f"SELECT * FROM {rollup.table} WHERE {where} AND grain IN ({grains})"  # noqa: S608
    compare = _compared_by_sums if vendor == "sqlite" else _compared_by_join
    return f"WITH {calls}, kept AS ({kept}) {compare(rollup)}"


def add_changes_sql(rollup: Rollup, source: str, measures: Sequence[str]) -> str:
    """Return PostgreSQL's `INSERT` that adds to the rows of every grain what `source` says of the finest one.

    source: a `SELECT` of the key without the grain, then `measures`, then the highest cost. Other measures stay.
    """
    finest = f"SELECT '{rollup.finest}' AS grain, given.* FROM ({source}) AS given"  # noqa: S608 - our own names
    changes = _every_grain(rollup, finest, measures, "postgresql")
    values = ", ".join(name if name in (*rollup.key, *measures, MAX_COST) else "0" for name in rollup.columns)
    return (
        f"WITH {changes} INSERT INTO {rollup.table} ({', '.join(rollup.columns)})"  # noqa: S608 - our own names
        f" SELECT {values} FROM calls ORDER BY {', '.join(rollup.in_order('postgresql'))}"
        f" {upsert_sql(rollup, measures)}"
    )


def _every_grain(rollup: Rollup, finest: str, measures: Sequence[str], vendor: str) -> str:
    """Return the `WITH` of `calls`, the rows of every grain, from the `SELECT` of the finest one."""
    ctes = [f"{rollup.finest} AS MATERIALIZED ({finest})"]
    for grain, finer in _parents(rollup).items():
        ctes.append(f"{grain} AS MATERIALIZED ({coarser_sql(rollup, grain, vendor, finer, measures)})")
    every = " UNION ALL ".join(f"SELECT * FROM {grain}" for grain in rollup.grains)  # noqa: S608 - our own names
    return f"{', '.join(ctes)}, calls AS ({every})"


def _parents(rollup: Rollup) -> dict[str, str]:
    """Return each coarser grain → a finer one with few rows that it can be summed from; the latter comes first."""
    parents: dict[str, str] = {}
    for grain in sorted(rollup.grains, key=lambda each: -len(rollup.grains[each])):
        if grain != rollup.finest:
            finer = [each for each in (rollup.finest, *parents) if {*rollup.grains[grain]} <= {*rollup.grains[each]}]
            parents[grain] = min(finer, key=lambda each: _size(rollup.grains[each]))
    return parents


def _size(dimensions: Sequence[str]) -> tuple[bool, bool, int]:
    """Sorts grains by the number of their rows: users and organisations make the most."""
    return "user_id" in dimensions, "org_id" in dimensions, len(dimensions)


def _compared_by_join(rollup: Rollup) -> str:
    """Return the end of `compared_sql`. A join takes a quarter of the time of sums over both sides."""
    keys = ", ".join(rollup.key)
    sums = ", ".join(f"coalesce(calls.{name}, 0) - coalesce(kept.{name}, 0) AS {name}" for name in ROLLUP_MEASURES)
    here, there = (", ".join(f"{side}.{name}" for name in ROLLUP_MEASURES) for side in ("calls", "kept"))
    return f"""
        SELECT {keys}, {sums}, coalesce(calls.{MAX_COST}, 0) AS {MAX_COST},
            coalesce(calls.{MAX_COST}, 0) - coalesce(kept.{MAX_COST}, 0) AS too_low
        FROM calls FULL JOIN kept USING ({keys})
        WHERE ({here}) IS DISTINCT FROM ({there}) OR calls.{MAX_COST} > kept.{MAX_COST}
    """  # noqa: S608 - our own names


def _compared_by_sums(rollup: Rollup) -> str:
    """Return the same for SQLite, which knows `FULL JOIN` from 3.39 on only."""
    keys = ", ".join(rollup.key)
    negated = ", ".join(f"-{name}" for name in ROLLUP_MEASURES)
    sums = ", ".join(f"{sum_sql(name, 'sqlite')} AS {name}" for name in ROLLUP_MEASURES)
    differs = " OR ".join(
        [
            *(f"abs(total({name})) > {SQLITE_TOLERANCE}" for name in ROLLUP_MEASURES),
            f"sum({MAX_COST}) > {SQLITE_TOLERANCE}",
            "count(*) <> 2",
        ]
    )
    return f"""
        SELECT {keys}, {sums}, max({MAX_COST}) AS {MAX_COST}, sum({MAX_COST}) AS too_low
        FROM (SELECT * FROM calls UNION ALL SELECT {keys}, {negated}, -{MAX_COST} FROM kept)
        GROUP BY {keys} HAVING {differs}
    """  # noqa: S608 - our own names


def coarser_sql(
    rollup: Rollup,
    grain: str,
    vendor: str = "postgresql",
    finer: str = "calls",
    measures: Sequence[str] = ROLLUP_MEASURES,
) -> str:
    """Return the `SELECT` of one grain's rows from rows of the `finer` grain, a name in the statement."""
    kept = ("usage_date", *rollup.grains[grain])
    keys = [
        f"'{grain}' AS grain",
        *(name if name in kept else f"{_literal(name)} AS {name}" for name in rollup.key[1:]),
    ]
    sums = [*(f"{_day_sum_sql(name, vendor)} AS {name}" for name in measures), f"max({MAX_COST}) AS {MAX_COST}"]
    return f"SELECT {', '.join([*keys, *sums])} FROM {finer} GROUP BY {', '.join(kept)}"  # noqa: S608 - our own names


def placeholder(dimension: str) -> Any:
    """Return what the dimension's column holds where the grain leaves it out."""
    return user_keys.nobody() if dimension == "user_id" else ALL[dimension]


def _key_sql(name: str) -> str:
    """The dimension of a call as a rollup has it."""
    return f"coalesce(user_id, {_literal(name)})" if name == "user_id" else name


def _literal(dimension: str) -> str:
    """The SQL of what the dimension's column holds where the grain leaves it out."""
    if dimension == "user_id":
        return user_keys.literal(connection)
    value = placeholder(dimension)
    return f"'{value}'" if isinstance(value, str) else str(value)
