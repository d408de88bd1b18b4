"""Reads and writes calls in Parquet files, every column exact. The only module that imports pyarrow."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import islice
from operator import add
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from django.db import models
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from usage_billing.archive import storage
from usage_billing.ledger import archived, copying, rollup, summing, tag_values
from usage_billing.ledger.consistency import Sums
from usage_billing.ledger.rollup import Rollup
from usage_billing.models import ArchiveFile, UsageRecord, user_keys
from usage_billing.models.archive_file import SUMS
from usage_billing.models.daily_usage import DIMENSIONS, GRAINS, ROLLUP_MEASURES
from usage_billing.models.database import connection
from usage_billing.models.durations import DURATION_BOUNDS_MS, DURATION_COUNTS
from usage_billing.recording.private_files import open_private

ROW_GROUP = 50_000
"""Calls per row group, about."""
BATCH = 5_000
"""Calls per read, and per transaction that compares them with the ledger."""

FIELDS = UsageRecord._meta.concrete_fields
COLUMNS = tuple(field.attname for field in FIELDS)


def _is_text_key(field: models.Field[Any, Any]) -> bool:
    """Whether the field holds user keys that are not numbers: UUIDs or text."""
    return field.attname == "user_id" and user_keys.nobody() != 0


def _type(field: models.Field[Any, Any]) -> pa.DataType:
    match field:
        case models.ForeignKey() if _is_text_key(field):
            return pa.string()
        case models.ForeignKey() | models.BigIntegerField() | models.BigAutoField():
            return pa.int64()
        case models.DecimalField(max_digits=int(digits), decimal_places=int(places)):
            return pa.decimal128(digits, places)
        case models.DateTimeField():
            return pa.timestamp("us", tz="UTC")
        case models.DateField():
            return pa.date32()
        case _:
            return pa.string()  # JSON too, as the database writes it


SCHEMA = pa.schema([pa.field(field.attname, _type(field), nullable=field.null) for field in FIELDS])


# ── Between the ledger and Arrow ─────────────────────────────────────────────────────────────────────────────────


def rows_of(calls: QuerySet[UsageRecord]) -> QuerySet[UsageRecord, tuple[Any, ...]]:
    """Return the calls as tuples of `COLUMNS`; JSON stays text, so that nothing is lost by parsing it."""
    columns = [
        Cast(f.attname, TextField()) if isinstance(f, models.JSONField) or _is_text_key(f) else f.attname
        for f in FIELDS
    ]
    rows: QuerySet[UsageRecord, tuple[Any, ...]] = calls.values_list(*columns)
    return rows


def tables_of(calls: QuerySet[UsageRecord]) -> Iterator[pa.Table]:
    """Yield the calls in their order as tables of `SCHEMA`, `BATCH` at a time.

    Raises `pa.ArrowException` if a value does not fit its column exactly.
    """
    if connection.vendor == "postgresql":
        yield from map(_from_csv, copying.csv(rows_of(calls), BATCH))
        return
    rows = rows_of(calls).iterator(chunk_size=BATCH)
    while batch := list(islice(rows, BATCH)):
        yield _from_rows(batch)


def table_of(calls: QuerySet[UsageRecord]) -> pa.Table:
    """Return all of these calls as one table."""
    return pa.concat_tables([*tables_of(calls), SCHEMA.empty_table()]).combine_chunks()


def _from_csv(rows: bytes) -> pa.Table:
    """Build a table from what `copying.csv` yields."""
    return pa_csv.read_csv(
        pa.py_buffer(rows),
        pa_csv.ReadOptions(column_names=COLUMNS, block_size=len(rows), use_threads=False),
        pa_csv.ParseOptions(newlines_in_values=True),
        pa_csv.ConvertOptions(
            column_types=SCHEMA, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    ).cast(SCHEMA)


def _from_rows(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def ledger_rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Return the calls as tuples of `COLUMNS` for `bulk.insert`."""
    return zip(*(_values(table[field.attname], field) for field in FIELDS), strict=True)


def _values(column: pa.ChunkedArray, field: models.Field[Any, Any]) -> Sequence[Any]:
    if connection.vendor == "postgresql":
        if isinstance(field, models.JSONField):
            return [msgspec.Raw(text) for text in column.to_pylist()]  # every digit, without parsing it
        if isinstance(field, models.DecimalField | models.DateField):
            column = column.cast(pa.string())  # a fifth of the time of Python objects
    values: list[Any] = column.to_pylist()
    return list(map(json.loads, values)) if isinstance(field, models.JSONField) else values


def among(table: pa.Table) -> Q:
    """Return the condition on the ledger's calls that they have the ids of the table."""
    return copying.among(table["id"].to_pylist(), table["org_id"].unique().to_pylist())


def with_ids(table: pa.Table, ids: Sequence[int]) -> pa.Table:
    """Return the table's rows with these ids."""
    return table.filter(pc.is_in(table["id"], pa.array(ids, pa.int64())))


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def write(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write a file of these calls and sync it to disk; one row group is in memory at a time."""
    with open(path, "wb", opener=open_private) as file:
        with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
            waiting: list[pa.Table] = []
            for table in tables:
                waiting.append(table)
                if sum(map(len, waiting)) >= ROW_GROUP:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting = []
            writer.write_table(pa.concat_tables([*waiting, SCHEMA.empty_table()]))
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> Iterator[pa.Table]:
    """Yield the calls of a file, `BATCH` at a time, in its order. Raises `archived.UnreadableError`."""
    for batch in _open(path).iter_batches(BATCH):
        yield _with_every_column(pa.Table.from_batches([batch]))


def read_by_day(path: Path) -> Iterator[tuple[pa.Table, list[date]]]:
    """Yield the same as parts: all calls of some days, with these days, or some calls of a large day, without."""
    batches, waiting = read(path), SCHEMA.empty_table()
    for calls, whole_days in _parts(path):
        while len(waiting) < calls:
            waiting = pa.concat_tables([waiting, next(batches)])
        yield waiting.slice(0, calls).combine_chunks(), whole_days
        waiting = waiting.slice(calls)


def _parts(path: Path) -> Iterator[tuple[int, list[date]]]:
    """Yield the number of calls, `BATCH` at most, and the whole days of each part of the file."""
    calls_on: Counter[date] = Counter()
    for batch in _open(path).iter_batches(ROW_GROUP, columns=["usage_date"]):
        for each in batch["usage_date"].value_counts().to_pylist():
            calls_on[each["values"]] += each["counts"]
    calls, days = 0, list[date]()
    for day, left in calls_on.items():
        if calls + left > BATCH and calls:
            yield calls, days
            calls, days = 0, []
        if left > BATCH:
            yield from ((min(BATCH, left - start), []) for start in range(0, left, BATCH))
        else:
            calls, days = calls + left, [*days, day]
    if calls:
        yield calls, days


def _with_every_column(table: pa.Table) -> pa.Table:
    """Return a table of `SCHEMA`. A file of an earlier version lacks the columns that were added since."""
    for field in FIELDS:
        if field.attname not in table.column_names:
            kind = SCHEMA.field(field.attname)
            default = None if field.null else field.get_default()
            value = json.dumps(default) if isinstance(field, models.JSONField) else default
            missing = pa.array([value] * len(table), kind.type)
            table = table.append_column(kind, missing)
    return table.select(COLUMNS).cast(SCHEMA)


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(file: ArchiveFile) -> None:
    """Raise `archived.UnreadableError` if the file is missing here or its bytes have changed."""
    path = storage.path_of(file)
    try:
        found = sha256(path)
    except OSError as error:
        raise archived.UnreadableError(f"{path}: {error.strerror or error}.") from error
    if found != file.sha256:
        raise archived.UnreadableError(f"{path} is not the file that was archived: its SHA-256 is {found}.")


def find(file: ArchiveFile, request_ids: Collection[str]) -> Iterator[tuple[int, str, str]]:
    """Yield organisation, request id and provider of the file's calls with one of these request ids."""
    path, wanted = storage.path_of(file), pa.array(list(request_ids), pa.string())
    for batch in _open(path).iter_batches(ROW_GROUP, columns=["id", *_IDENTITY]):
        found = unchanged(batch.filter(pc.is_in(batch["request_id"], wanted)), file)
        yield from zip(*(found[name].to_pylist() for name in _IDENTITY), strict=True)


_IDENTITY = ("org_id", "request_id", "ai_provider")


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise archived.UnreadableError(f"{path}: {error}") from error


def unchanged(table: Any, file: ArchiveFile) -> Any:
    """Return the table without the calls that stayed in the ledger."""
    return table.filter(pc.invert(pc.is_in(table["id"], pa.array(file.changed_ids, pa.int64()))))


# ── Sums ─────────────────────────────────────────────────────────────────────────────────────────────────────────

Key = tuple[date, int]
"""A billing day and an organisation id."""


def sums_by_day_and_org(tables: Iterable[pa.Table]) -> dict[Key, tuple[Any, ...]]:
    """Return day and organisation → the sums that `models.archive_file.SUMS` names."""
    sums: dict[Key, tuple[Any, ...]] = {}
    for table in tables:
        add_by_day_and_org(sums, table)
    return sums


def add_by_day_and_org(sums: dict[Key, tuple[Any, ...]], table: pa.Table) -> None:
    """Add the table's calls to the result of `sums_by_day_and_org`."""
    groups = _grouped(table, ["usage_date", "org_id"], SUMS[1:], counted=True)
    for row in groups.to_pylist():
        more = tuple(row[name] or 0 for name in SUMS)
        key = (row["usage_date"], row["org_id"])
        sums[key] = tuple(map(add, sums.get(key, (0,) * len(more)), more))


def summed_columns(path: Path) -> Iterator[pa.Table]:
    """Yield the columns of a file that `sums_by_day_and_org` needs."""
    for batch in _open(path).iter_batches(ROW_GROUP, columns=["usage_date", "org_id", *SUMS[1:]]):
        yield pa.Table.from_batches([batch])


def days(file: ArchiveFile) -> list[date]:
    """Return the billing days of the file's calls."""
    dates = _open(storage.path_of(file)).read(columns=["usage_date"])["usage_date"]
    return sorted(dates.unique().to_pylist())


def daily_rows(files: Iterable[ArchiveFile], day: date) -> dict[Rollup, Sums]:
    """Return what these files' calls of that day add to each rollup: its key → `ROLLUP_MEASURES`."""
    rows: dict[Rollup, list[summing.Row]] = {rollup.DAILY: [], rollup.TAGS: []}
    for file in files:
        calls = _of_day(file, day)
        rows[rollup.DAILY] += _daily_rows(calls, day, has_durations=file.has_durations)
        rows[rollup.TAGS] += _tag_rows(calls)
    return {
        of: {row[: len(of.key)]: row[len(of.key) : -1] for row in summing.merged(of, found)}
        for of, found in rows.items()
    }


def _of_day(file: ArchiveFile, day: date) -> pa.Table:
    """Return the calls of that day, reading only the row groups whose range contains it."""
    opened = _open(storage.path_of(file))
    columns = ["id", "usage_date", "user_id", *(n for n in rollup.SUMMED), "org_id", *DIMENSIONS[2:], "tags"]
    at = SCHEMA.get_field_index("usage_date")
    bounds = [opened.metadata.row_group(n).column(at).statistics for n in range(opened.num_row_groups)]
    # An empty group, such as the last one of a file, has no bounds.
    groups = [number for number, each in enumerate(bounds) if each is not None and each.min <= day <= each.max]
    # A file of an earlier version lacks columns that were added since.
    table = opened.read_row_groups(groups, columns=[name for name in columns if name in opened.schema_arrow.names])
    return unchanged(table.filter(pc.equal(table["usage_date"], pa.scalar(day))), file)


def _daily_rows(calls: pa.Table, day: date, *, has_durations: bool) -> Iterator[summing.Row]:
    """Yield what the calls add to `rollup.DAILY`; the highest costs are left out."""
    for grain, table in _cube(calls, has_durations=has_durations) if len(calls) else ():
        for row in table.to_pylist():
            dimensions = (
                {name: rollup.placeholder(name) for name in rollup.ALL} | {"grain": grain, "usage_date": day} | row
            )
            dimensions["user_id"] = user_keys.parse(dimensions["user_id"]) or user_keys.nobody()
            yield (
                *(dimensions[name] for name in rollup.DAILY.key),
                *(_plain(row[name]) for name in ROLLUP_MEASURES),
                0,
            )


def _tag_rows(calls: pa.Table) -> list[summing.Row]:
    """Return what the calls add to `rollup.TAGS`."""
    if "tags" not in calls.column_names:
        return []
    tagged = calls.filter(pc.not_equal(calls["tags"], "{}")).to_pylist()
    records = [row | {"tags": json.loads(row["tags"]), "user_id": user_keys.parse(row["user_id"])} for row in tagged]
    return summing.roll_up_tags(records, tag_values.counted(records))


def _cube(calls: pa.Table, *, has_durations: bool) -> Iterator[tuple[str, pa.Table]]:
    """Yield each grain with its sums."""
    one = pa.array([1] * len(calls), pa.int64())
    counts = {
        "requests_count": one,
        "failed_count": pc.cast(pc.equal(calls["status"], "failed"), pa.int64()),
        "refused_count": pc.cast(pc.equal(calls["status"], "refused"), pa.int64()),
        "unpriced_usd_count": pc.cast(pc.is_null(calls["cost_usd"]), pa.int64()),
        "unpriced_rub_count": pc.cast(pc.is_null(calls["cost_rub"]), pa.int64()),
    }
    above = 0
    for name, bound in zip(DURATION_COUNTS, (*DURATION_BOUNDS_MS, LARGEST), strict=True):
        time = calls["execution_time_ms"]
        is_within = pc.and_(pc.greater(time, above), pc.less_equal(time, bound))
        counts[name] = pc.cast(is_within if has_durations else pc.less(one, 0), pa.int64())
        above = bound
    for name, values in counts.items():
        calls = calls.append_column(name, values)
    calls = calls.set_column(calls.column_names.index("user_id"), "user_id", pc.fill_null(calls["user_id"], _nobody()))
    for grain, kept in GRAINS.items():
        yield grain, _grouped(calls, list(kept), ROLLUP_MEASURES)


LARGEST = 2**63 - 1
"""No duration is longer, ms."""


def _nobody() -> Any:
    """Return `user_keys.nobody()` as the column has it."""
    return 0 if user_keys.nobody() == 0 else str(user_keys.nobody())


def _grouped(table: pa.Table, keys: list[str], summed: Sequence[str], *, counted: bool = False) -> pa.Table:
    """Sum by the keys. Exact: Arrow widens decimals in sums."""
    wanted: list[Any] = [(name, "sum") for name in summed] + ([([], "count_all")] if counted else [])
    groups = table.group_by(keys).aggregate(wanted)
    names = {f"{name}_sum": name for name in summed} | {"count_all": "calls"}
    return groups.rename_columns([names.get(name, name) for name in groups.column_names])


def _plain(value: Decimal | int | None) -> Decimal | int:
    return 0 if value is None else value
