"""How rows of `token_usage_daily` follow from rows of `token_usage`: once for rows in hand, once in SQL."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any

from usage_billing.models.daily_usage import DIMENSIONS, GRAINS, MEASURES

KEY = ("grain", "org_id", "usage_date", "user_id", "agent_id", "request_type", "ai_provider", "ai_model", "status")
"""The daily table's primary key, in its order. Writers take rows in this order, so that they cannot deadlock."""

IN_ORDER = {
    "sqlite": KEY,
    # By code points, as Python sorts, whatever the database's own language has for an order.
    "postgresql": [name if name in ("org_id", "usage_date", "user_id") else f'{name} COLLATE "C"' for name in KEY],
}
"""By database: what to order daily rows by in SQL, to have them as Python sorts their keys."""

ALL: dict[str, Any] = {
    "org_id": 0,
    "user_id": 0,
    "agent_id": "",
    "request_type": "",
    "ai_provider": "",
    "ai_model": "",
    "status": "",
}
"""What a dimension's column holds where the grain leaves it out."""

SUMMED = tuple(name for name in MEASURES if not name.endswith("_count"))

_MEASURE_SQL = {
    "requests_count": "count(*)",
    "failed_count": "sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END)",
    "unpriced_usd_count": "sum(CASE WHEN cost_usd IS NULL THEN 1 ELSE 0 END)",
    "unpriced_rub_count": "sum(CASE WHEN cost_rub IS NULL THEN 1 ELSE 0 END)",
    **{name: f"coalesce(sum({name}), 0)" for name in SUMMED},
}


def roll_up(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The daily rows, at every grain, that these rows of `token_usage` add; sorted by `KEY`."""
    totals: dict[str, Totals] = {"cube": _cube(records)}
    for grain in sorted(GRAINS, key=lambda each: -len(GRAINS[each])):
        if grain not in totals:
            finer = [each for each in totals if {*GRAINS[grain]} <= {*GRAINS[each]}]
            parent = min(finer, key=lambda each: len(totals[each]))
            totals[grain] = _coarser(totals[parent], GRAINS[parent], GRAINS[grain])
    rows = [(_key(grain, key), values) for grain, found in totals.items() for key, values in found.items()]
    rows.sort(key=itemgetter(0))  # never by the values: no key comes twice
    return [dict(zip(_COLUMNS, (*key, *values), strict=True)) for key, values in rows]


Totals = dict[tuple[Any, ...], list[Any]]
"""(day, a value of each dimension that the grain keeps) → the sums of `MEASURES`."""
_COLUMNS = (*KEY, *MEASURES)


def _cube(records: Iterable[Mapping[str, Any]]) -> Totals:
    cube: Totals = {}
    for record in records:
        values = [
            1,
            int(record["status"] == "failed"),
            int(record["cost_usd"] is None),
            int(record["cost_rub"] is None),
            *(record[name] or 0 for name in SUMMED),
        ]
        day_and_org = record["usage_date"], record["org_id"], record["user_id"] or 0
        _add(cube, (*day_and_org, *(record[name] for name in DIMENSIONS[2:])), values)
    return cube


def _coarser(finer: Totals, has: Sequence[str], keeps: Sequence[str]) -> Totals:
    """The totals of a grain that keeps fewer dimensions, out of one that has them all."""
    kept = [0, *(1 + has.index(name) for name in keeps)]
    coarse: Totals = {}
    for key, values in finer.items():
        _add(coarse, tuple([key[index] for index in kept]), values)
    return coarse


def _key(grain: str, key: tuple[Any, ...]) -> tuple[Any, ...]:
    """A grain's key as `KEY` has it."""
    day, *kept = key
    values = ALL | dict(zip(GRAINS[grain], kept, strict=True)) | {"grain": grain, "usage_date": day}
    in_order: tuple[Any, ...] = _by_key(values)
    return in_order


_by_key = itemgetter(*KEY)


def difference(gained: Sequence[Mapping[str, Any]], lost: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What daily rows have to grow by (or shrink) to have gained the ones and lost the others; sorted by `KEY`."""
    rows = {tuple(row[name] for name in KEY): dict(row) for row in gained}
    for row in lost:
        key = tuple(row[name] for name in KEY)
        before = rows.get(key, {**row, **dict.fromkeys(MEASURES, 0)})
        rows[key] = before | {name: before[name] - row[name] for name in MEASURES}
    return [rows[key] for key in sorted(rows) if any(rows[key][name] for name in MEASURES)]


def _add(totals: Totals, key: tuple[Any, ...], values: list[Any]) -> None:
    so_far = totals.get(key)
    totals[key] = values if so_far is None else [one + other for one, other in zip(so_far, values, strict=True)]


def select_sql(grain: str, where: str) -> str:
    """`SELECT` of one grain's daily rows out of the `token_usage` rows that match; columns `KEY`, then `MEASURES`."""
    kept = GRAINS[grain]
    keys = []
    for name in KEY:
        if name == "grain":
            keys.append(f"'{grain}'")
        elif name == "usage_date":
            keys.append(name)
        elif name not in kept:
            keys.append(_literal(ALL[name]))
        else:
            keys.append("coalesce(user_id, 0)" if name == "user_id" else name)
    columns = ", ".join(
        f"{sql} AS {name}" for sql, name in zip([*keys, *_MEASURE_SQL.values()], [*KEY, *MEASURES], strict=True)
    )
    grouped = ", ".join(["usage_date", *("coalesce(user_id, 0)" if name == "user_id" else name for name in kept)])
    return f"SELECT {columns} FROM token_usage WHERE {where} GROUP BY {grouped}"  # noqa: S608 - built of our own names


SQLITE_TOLERANCE = Decimal("1e-6")
"""SQLite adds amounts as 8-byte floats: a sum may be off in its fifteenth digit. PostgreSQL is exact."""


def compared_sql(where: str, vendor: str) -> str:
    """`SELECT` of each daily row, at every grain, that is wrong, missing or superfluous: `KEY`, then what it lacks.

    That is the ledger's sums minus the row's. `where` holds for rows of either table, and is put twice. The ledger's
    rows are read once, the coarser grains follow from the cube; one statement, so that both sides are of one moment.
    """
    keys = ", ".join(KEY)
    tolerance = SQLITE_TOLERANCE if vendor == "sqlite" else 0
    coarser = " UNION ALL ".join(_coarser_sql(grain) for grain in GRAINS if grain != "cube")
    negated = ", ".join(f"-{name}" for name in MEASURES)
    sums = ", ".join(f"sum({name}) AS {name}" for name in MEASURES)
    differs = " OR ".join(f"abs(sum({name})) > {tolerance}" for name in MEASURES)
    grains = ", ".join(f"'{grain}'" for grain in GRAINS)
    return f"""
        WITH calls AS MATERIALIZED ({select_sql("cube", where)}), both_sides AS (
            SELECT * FROM calls UNION ALL {coarser}
            UNION ALL SELECT {keys}, {negated} FROM token_usage_daily WHERE {where} AND grain IN ({grains})
        ) SELECT {keys}, {sums} FROM both_sides GROUP BY {keys} HAVING {differs} OR count(*) <> 2
    """  # noqa: S608 - built of our own names


def _coarser_sql(grain: str) -> str:
    """`SELECT` of one grain's daily rows out of those of the cube, which are called `calls`."""
    kept = ("usage_date", *GRAINS[grain])
    keys = [f"'{grain}' AS grain", *(name if name in kept else f"{_literal(ALL[name])} AS {name}" for name in KEY[1:])]
    sums = [f"sum({name}) AS {name}" for name in MEASURES]
    return f"SELECT {', '.join([*keys, *sums])} FROM calls GROUP BY {', '.join(kept)}"  # noqa: S608 - built of our own names


def _literal(value: str | int) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)
