"""How rows of `token_usage_daily` follow from rows of `token_usage`: once for rows in hand, once in SQL."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from usage_billing.models.daily_usage import DIMENSIONS, GRAINS, MEASURES

KEY = ("grain", "org_id", "usage_date", "user_id", "agent_id", "request_type", "ai_provider", "ai_model", "status")
"""The daily table's primary key, in its order. Writers take rows in this order, so that they cannot deadlock."""

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
    cube: dict[tuple[Any, ...], list[Any]] = {}
    for record in records:
        values = [
            1,
            int(record["status"] == "failed"),
            int(record["cost_usd"] is None),
            int(record["cost_rub"] is None),
            *(record[name] or 0 for name in SUMMED),
        ]
        key = (
            record["usage_date"],
            record["org_id"],
            record["user_id"] or 0,
            *(record[name] for name in DIMENSIONS[2:]),
        )
        _add(cube, key, values)
    rows: list[dict[str, Any]] = []
    for grain, kept in GRAINS.items():
        totals: dict[tuple[Any, ...], list[Any]] = {}
        for (day, *dimensions), values in cube.items():
            coarse = (value if name in kept else ALL[name] for name, value in zip(DIMENSIONS, dimensions, strict=True))
            _add(totals, (day, *coarse), values)
        for (day, *dimensions), values in totals.items():
            rows.append(
                {"grain": grain, "usage_date": day}
                | dict(zip(DIMENSIONS, dimensions, strict=True))
                | dict(zip(MEASURES, values, strict=True))
            )
    return sorted(rows, key=lambda row: tuple(row[name] for name in KEY))


def difference(gained: Sequence[Mapping[str, Any]], lost: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What daily rows have to grow by (or shrink) to have gained the ones and lost the others; sorted by `KEY`."""
    rows = {tuple(row[name] for name in KEY): dict(row) for row in gained}
    for row in lost:
        key = tuple(row[name] for name in KEY)
        before = rows.get(key, {**row, **dict.fromkeys(MEASURES, 0)})
        rows[key] = before | {name: before[name] - row[name] for name in MEASURES}
    return [rows[key] for key in sorted(rows) if any(rows[key][name] for name in MEASURES)]


def _add(totals: dict[tuple[Any, ...], list[Any]], key: tuple[Any, ...], values: list[Any]) -> None:
    if (so_far := totals.get(key)) is None:
        totals[key] = list(values)
    else:
        for index, value in enumerate(values):
            so_far[index] += value


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
            keys.append(f"'{ALL[name]}'" if isinstance(ALL[name], str) else str(ALL[name]))
        else:
            keys.append("coalesce(user_id, 0)" if name == "user_id" else name)
    columns = ", ".join(
        f"{sql} AS {name}" for sql, name in zip([*keys, *_MEASURE_SQL.values()], [*KEY, *MEASURES], strict=True)
    )
    grouped = ", ".join(["usage_date", *("coalesce(user_id, 0)" if name == "user_id" else name for name in kept)])
    return f"SELECT {columns} FROM token_usage WHERE {where} GROUP BY {grouped}"  # noqa: S608 - built of our own names
