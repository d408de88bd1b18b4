"""Sums usage records into rows of `token_usage_daily`: in Python for new records, in SQL for stored ones."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from operator import add, itemgetter
from typing import Any

from usage_billing.models import user_keys
from usage_billing.models.daily_usage import DIMENSIONS, GRAINS, MAX_COST, MEASURES
from usage_billing.models.database import connection

KEY = ("grain", "org_id", "usage_date", "user_id", "agent_id", "request_type", "ai_provider", "ai_model", "status")
"""The primary key of `token_usage_daily`. Writers lock rows in its order, so that they cannot deadlock."""

IN_ORDER = {
    "sqlite": KEY,
    # By code points, as Python sorts, whatever the database's collation.
    "postgresql": [name if name in ("org_id", "usage_date", "user_id") else f'{name} COLLATE "C"' for name in KEY],
}
"""Database vendor → the `ORDER BY` that sorts rollup rows as Python sorts their keys."""

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

_MEASURE_SQL = {
    "requests_count": "count(*)",
    "failed_count": "sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END)",
    "unpriced_usd_count": "sum(CASE WHEN cost_usd IS NULL THEN 1 ELSE 0 END)",
    "unpriced_rub_count": "sum(CASE WHEN cost_rub IS NULL THEN 1 ELSE 0 END)",
    **dict.fromkeys(SUMMED, "coalesce({sum}, 0)"),
    MAX_COST: "coalesce(max(cost_usd), 0)",
}


COLUMNS = (*KEY, *MEASURES, MAX_COST)

Row = tuple[Any, ...]
"""A rollup row: the values of `COLUMNS`."""
Totals = dict[tuple[Any, ...], Sequence[Any]]
"""A key → the sums of `MEASURES`, then the highest cost of a call. Within a grain, the key is the day and the values of
the dimensions that the grain keeps."""


def roll_up(records: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Return the rollup rows, at every grain, that these rows of `token_usage` add; sorted by `KEY`."""
    totals: dict[str, Totals] = {"cube": _cube(records)}
    for grain in sorted(GRAINS, key=lambda each: -len(GRAINS[each])):
        if grain not in totals:
            finer = [each for each in totals if {*GRAINS[grain]} <= {*GRAINS[each]}]
            parent = min(finer, key=lambda each: len(totals[each]))
            totals[grain] = _coarser(totals[parent], GRAINS[parent], GRAINS[grain])
    return sorted(row for grain, found in totals.items() for row in _rows(grain, found))


def _cube(records: Iterable[Mapping[str, Any]]) -> Totals:
    cube: Totals = {}
    nobody = user_keys.nobody()
    for record in records:
        usd, rub = record["cost_usd"], record["cost_rub"]
        counts = 1, int(record["status"] == "failed"), int(usd is None), int(rub is None)
        key = record["usage_date"], record["org_id"], record["user_id"] or nobody, *_words(record)
        _add(cube, key, (*counts, *_counted(record), usd or 0, rub or 0, usd or 0))
    return cube


_words = itemgetter(*DIMENSIONS[2:])
_counted = itemgetter(*(name for name in SUMMED if name not in ("cost_usd", "cost_rub")))


def _coarser(finer: Totals, has: Sequence[str], keeps: Sequence[str]) -> Totals:
    """Sum a finer grain's totals to a grain that keeps some of its dimensions."""
    kept = [0, *(1 + has.index(name) for name in keeps)]
    coarse: Totals = {}
    for key, values in finer.items():
        _add(coarse, tuple([key[index] for index in kept]), values)
    return coarse


def _rows(grain: str, totals: Totals) -> Iterator[Row]:
    """Return a grain's totals as rollup rows."""
    has = ("usage_date", *GRAINS[grain], *(left_out := [name for name in ALL if name not in GRAINS[grain]]), "grain")
    in_order = itemgetter(*(has.index(name) for name in KEY))
    rest = *map(placeholder, left_out), grain
    return ((*in_order((*key, *rest)), *values) for key, values in totals.items())


def merged(*parts: list[Row]) -> list[Row]:
    """Return the sums of several lists of rollup rows, without rows of zeros; sorted by `KEY`."""
    totals: Totals = {}
    for row in itertools.chain(*parts):
        _add(totals, row[: len(KEY)], row[len(KEY) :])
    return sorted((*key, *values) for key, values in totals.items() if any(values))


def negated(rows: Iterable[Row]) -> list[Row]:
    """Return rows that subtract these ones. `max_cost_usd` stays: another call may have cost as much."""
    return [(*row[: len(KEY)], *(-value for value in row[len(KEY) : -1]), 0) for row in rows]


def _add(totals: Totals, key: tuple[Any, ...], values: Sequence[Any]) -> None:
    so_far = totals.get(key)
    totals[key] = values if so_far is None else (*map(add, so_far, values[:-1]), max(so_far[-1], values[-1]))


def sum_sql(name: str, vendor: str) -> str:
    """Return the SQL sum of a column.

    SQLite's `sum` of integers raises beyond 64 bits, which calls of earlier versions may reach. `total` is a float,
    exact up to 2⁵³.
    """
    if vendor == "sqlite" and not name.startswith("cost_"):
        return f"CASE WHEN count({name}) > 0 THEN CAST(total({name}) AS INTEGER) END"
    return f"sum({name})"


def select_sql(grain: str, where: str, vendor: str = "postgresql") -> str:
    """Return the `SELECT` of one grain's rollup rows (`COLUMNS`) from the matching rows of `token_usage`."""
    kept = GRAINS[grain]
    keys = []
    for name in KEY:
        if name == "grain":
            keys.append(f"'{grain}'")
        elif name == "usage_date":
            keys.append(name)
        elif name not in kept:
            keys.append(_literal(name))
        else:
            keys.append(_key_sql(name))
    measures = [sql.format(sum=sum_sql(name, vendor)) for name, sql in _MEASURE_SQL.items()]
    columns = ", ".join(f"{sql} AS {name}" for sql, name in zip([*keys, *measures], COLUMNS, strict=True))
    grouped = ", ".join(["usage_date", *map(_key_sql, kept)])
    return f"SELECT {columns} FROM token_usage WHERE {where} GROUP BY {grouped}"  # noqa: S608 - our own names


def added_sql(row: str) -> str:
    """Return the `SET` of an upsert that adds the new rollup row, `excluded`, to the existing one."""
    sums = [f"{name} = {row}.{name} + excluded.{name}" for name in MEASURES]
    max_cost = f"CASE WHEN excluded.{MAX_COST} > {row}.{MAX_COST} THEN excluded.{MAX_COST} ELSE {row}.{MAX_COST} END"
    return ", ".join([*sums, f"{MAX_COST} = {max_cost}"])


SQLITE_TOLERANCE = Decimal("1e-6")
"""SQLite sums amounts as 8-byte floats, which may differ in the fifteenth digit. PostgreSQL is exact."""


def compared_sql(where: str, vendor: str) -> str:
    """Return the `SELECT` of each rollup row, at every grain, that is wrong, missing or superfluous.

    Columns: `KEY`; the records' sums minus the row's; the highest cost of a call; and by how much the row's
    `max_cost_usd` is below that (it may be above). `where` applies to both tables, so its parameters come twice. The
    records are read once, coarser grains are summed from the cube. One statement reads both sides at one moment.
    """
    keys = ", ".join(KEY)
    tolerance = SQLITE_TOLERANCE if vendor == "sqlite" else 0
    coarser = " UNION ALL ".join(coarser_sql(grain, vendor) for grain in GRAINS if grain != "cube")
    negated = ", ".join(f"-{name}" for name in MEASURES)
    sums = ", ".join(f"{sum_sql(name, vendor)} AS {name}" for name in MEASURES)
    total = "total" if vendor == "sqlite" else "sum"
    differs = " OR ".join(
        [
            *(f"abs({total}({name})) > {tolerance}" for name in MEASURES),
            f"sum({MAX_COST}) > {tolerance}",
            "count(*) <> 2",
        ]
    )
    grains = ", ".join(f"'{grain}'" for grain in GRAINS)
    return f"""
        WITH calls AS MATERIALIZED ({select_sql("cube", where, vendor)}), both_sides AS (
            SELECT * FROM calls UNION ALL {coarser}
            UNION ALL SELECT {keys}, {negated}, -{MAX_COST} FROM token_usage_daily WHERE {where} AND grain IN ({grains})
        ) SELECT {keys}, {sums}, max({MAX_COST}) AS {MAX_COST}, sum({MAX_COST}) AS too_low
        FROM both_sides GROUP BY {keys} HAVING {differs}
    """  # noqa: S608 - our own names


def coarser_sql(grain: str, vendor: str = "postgresql") -> str:
    """Return the `SELECT` of one grain's rollup rows from the cube's rows, which the statement names `calls`."""
    kept = ("usage_date", *GRAINS[grain])
    keys = [f"'{grain}' AS grain", *(name if name in kept else f"{_literal(name)} AS {name}" for name in KEY[1:])]
    sums = [*(f"{sum_sql(name, vendor)} AS {name}" for name in MEASURES), f"max({MAX_COST}) AS {MAX_COST}"]
    return f"SELECT {', '.join([*keys, *sums])} FROM calls GROUP BY {', '.join(kept)}"  # noqa: S608 - our own names


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
