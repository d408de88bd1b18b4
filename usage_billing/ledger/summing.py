"""Sums new records into rollup rows. `rollup` does the same in SQL for stored records."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import add, itemgetter
from typing import Any

from usage_billing.ledger.rollup import ALL, DAILY, SUMMED, TAGS, Rollup, place, placeholder
from usage_billing.models import user_keys
from usage_billing.models.daily_usage import DIMENSIONS
from usage_billing.models.durations import DURATION_BOUNDS_MS, DURATION_COUNTS

Record = Mapping[str, Any]
"""A row of `token_usage`."""
Row = tuple[Any, ...]
"""A rollup row: the values of `Rollup.columns`."""
CountedTags = Mapping[tuple[int, str, str], str]
"""(organisation, key, value) of a tag → the value that it counts under. Tags that do not count are left out."""
Totals = dict[tuple[Any, ...], Sequence[Any]]
"""A key → the sums of `ROLLUP_MEASURES`, then the highest cost of a call. Within a grain, the key is the day and the
values of the dimensions that the grain keeps."""


def roll_up(records: Iterable[Record]) -> list[Row]:
    """Return the rows, at every grain of `DAILY`, that these records add; in the order of `place`."""
    cube: Totals = {}
    nobody = user_keys.nobody()
    for record in records:
        key = record["usage_date"], record["org_id"], record["user_id"] or nobody, *_words(record)
        _add(cube, key, (*measured(record), record["cost_usd"] or 0))
    return _at_every_grain(DAILY, cube)


def roll_up_tags(records: Iterable[Record], counted: CountedTags) -> list[Row]:
    """Return the rows, at every grain of `TAGS`, that these records add; in the order of `place`."""
    cube: Totals = {}
    nobody = user_keys.nobody()
    for record in records:
        for key, value in record["tags"].items():
            value = counted.get((record["org_id"], key, value))
            if value is not None:
                user_id = record["user_id"] or nobody
                dimensions = record["usage_date"], record["org_id"], user_id, *_words(record), key, value
                _add(cube, dimensions, (*measured(record), record["cost_usd"] or 0))
    return _at_every_grain(TAGS, cube)


def measured(record: Record) -> tuple[Any, ...]:
    """Return the `ROLLUP_MEASURES` of one record."""
    usd, rub = record["cost_usd"], record["cost_rub"]
    return (
        1,
        int(record["status"] == "failed"),
        int(record["status"] == "refused"),
        int(usd is None),
        int(rub is None),
        *_counted(record),
        usd or 0,
        rub or 0,
        *_bucket(record["execution_time_ms"]),
    )


def _bucket(duration_ms: int) -> tuple[int, ...]:
    return _BUCKETS[bisect_left(DURATION_BOUNDS_MS, duration_ms)] if duration_ms > 0 else _UNKNOWN


_UNKNOWN = (0,) * len(DURATION_COUNTS)
_BUCKETS = [(*_UNKNOWN[:index], 1, *_UNKNOWN[index + 1 :]) for index in range(len(_UNKNOWN))]
_words = itemgetter(*DIMENSIONS[2:])
_counted = itemgetter(*(name for name in SUMMED if name not in ("cost_usd", "cost_rub")))


def _at_every_grain(rollup: Rollup, finest: Totals) -> list[Row]:
    grains = rollup.grains
    totals: dict[str, Totals] = {rollup.finest: finest}
    for grain in sorted(grains, key=lambda each: -len(grains[each])):
        if grain not in totals:
            finer = [each for each in totals if {*grains[grain]} <= {*grains[each]}]
            parent = min(finer, key=lambda each: len(totals[each]))
            totals[grain] = _coarser(totals[parent], grains[parent], grains[grain])
    return sorted((row for grain, found in totals.items() for row in _rows(rollup, grain, found)), key=place)


def _coarser(finer: Totals, has: Sequence[str], keeps: Sequence[str]) -> Totals:
    """Sum a finer grain's totals to a grain that keeps some of its dimensions."""
    kept = [0, *(1 + has.index(name) for name in keeps)]
    coarse: Totals = {}
    for key, values in finer.items():
        _add(coarse, tuple([key[index] for index in kept]), values)
    return coarse


def _rows(rollup: Rollup, grain: str, totals: Totals) -> Iterator[Row]:
    """Return a grain's totals as rollup rows."""
    kept = rollup.grains[grain]
    left_out = [name for name in ALL if name not in kept]
    has = ("usage_date", *kept, *left_out, "grain")
    in_order = itemgetter(*(has.index(name) for name in rollup.key))
    rest = *map(placeholder, left_out), grain
    return ((*in_order((*key, *rest)), *values) for key, values in totals.items())


def merged(rollup: Rollup, *parts: list[Row]) -> list[Row]:
    """Return the sums of several lists of rollup rows, without rows of zeros; in the order of `place`."""
    totals: Totals = {}
    length = len(rollup.key)
    for row in chain(*parts):
        _add(totals, row[:length], row[length:])
    return sorted(((*key, *values) for key, values in totals.items() if any(values)), key=place)


def negated(rollup: Rollup, rows: Iterable[Row]) -> list[Row]:
    """Return rows that subtract these ones. `max_cost_usd` stays: another call may have cost as much."""
    length = len(rollup.key)
    return [(*row[:length], *(-value for value in row[length:-1]), 0) for row in rows]


def _add(totals: Totals, key: tuple[Any, ...], values: Sequence[Any]) -> None:
    so_far = totals.get(key)
    totals[key] = values if so_far is None else (*map(add, so_far, values[:-1]), max(so_far[-1], values[-1]))
