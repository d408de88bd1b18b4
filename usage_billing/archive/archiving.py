"""Moves the calls of closed months from the ledger to Parquet files and back, exactly, wherever it is interrupted.

A file is written under a temporary name, read back, renamed and listed (`ArchiveFile`) before its first call is
removed. A call is removed only while it equals its row in the file. Rollups stay as they are.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import IntegrityError
from django.db.models import QuerySet

from usage_billing.archive import parquet, storage, usage_sums
from usage_billing.conf import conf
from usage_billing.ledger import bulk, consistency, reported_calls, writer
from usage_billing.ledger.archived import ArchivedError, after
from usage_billing.ledger.rollup import SUMMED
from usage_billing.models import ArchiveFile, UsageRecord
from usage_billing.models.archive_file import SUMS
from usage_billing.models.archived_usage import KEY
from usage_billing.models.database import connection
from usage_billing.recording.private_files import make_folder, make_private
from usage_billing.tenancy import distribution, roles

State = ArchiveFile.State
Table = Any  # pyarrow's, which only `parquet` imports
Advance = Callable[[int], object]
"""Callback that gets the number of calls just done, for a progress bar."""
EARLIEST_ZONE = timedelta(hours=-12)
"""UTC offset of the zone where a month ends last."""
UNFINISHED = ".unfinished"
"""Suffix of a file until it is complete."""
A_DAY = 24 * 3600


class InexactArchiveError(Exception):
    """Raised when file, rollups and ledger do not agree; nothing was removed."""


# ── Months to archive ────────────────────────────────────────────────────────────────────────────────────────────


def first_open_day(now: datetime) -> date:
    """Return the first day of the month that has not ended in every time zone."""
    return (now.astimezone(UTC) + EARLIEST_ZONE).date().replace(day=1)


def kept_since(retention_months: int, now: datetime) -> date:
    """Return the first day to keep: the current month and `retention_months` before it stay."""
    day = first_open_day(now)
    for _ in range(retention_months):
        day = (day - timedelta(days=1)).replace(day=1)
    return day


def due(before: date, now: datetime) -> list[date]:
    """Return the whole months before that day, over in every zone, that have calls to archive or are unfinished."""
    until = min(before.replace(day=1), first_open_day(now))
    found = set(ArchiveFile.objects.filter(state=State.REMOVING, month__lt=until).values_list("month", flat=True))
    since = date.min
    while day := _finished(since, until).order_by("usage_date").values_list("usage_date", flat=True).first():
        found.add(day.replace(day=1))
        since = after(day.replace(day=1))
    return sorted(found)


def calls_of(month: date) -> int:
    """Return how many of the month's calls can be archived."""
    return _finished(month, after(month)).count()


def waiting_of(month: date) -> int:
    """Return how many of the month's calls stay because they are pending."""
    return UsageRecord.objects.filter(
        usage_date__gte=month, usage_date__lt=after(month), status=UsageRecord.Status.PENDING
    ).count()


def _finished(since: date, until: date) -> QuerySet[UsageRecord]:
    calls = UsageRecord.objects.filter(usage_date__gte=since, usage_date__lt=until)
    return calls.exclude(status=UsageRecord.Status.PENDING)


# ── Archiving ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Outcome:
    """The result for one month: its file, how many calls were removed now, and how many stayed because they changed."""

    file: ArchiveFile
    removed: int
    stayed: int


def archive(month: date, *, directory: Path, by: str, at: datetime, advance: Advance) -> Outcome:
    """Move the month's calls into a file in that directory, or finish an interrupted move. Counts each call twice.

    Raises `ArchivedError` if another process works on the month, `InexactArchiveError` or `UnreadableError` if removing
    calls is not safe.
    """
    files = list(ArchiveFile.objects.filter(month=month))
    if any(file.state == State.RESTORING for file in files):
        raise ArchivedError(f"{month:%Y-%m} is being restored: finish that with `manage.py restore_usage` first.")
    unfinished = [file for file in files if file.state == State.REMOVING]
    for file in files:
        parquet.verify(file)
    if unfinished:
        (file,) = unfinished
        advance(file.calls)
    else:
        file = _write(month, files, directory=directory, by=by, at=at, advance=advance)
    return _remove(file, advance)


def _write(
    month: date, earlier: Sequence[ArchiveFile], *, directory: Path, by: str, at: datetime, advance: Advance
) -> ArchiveFile:
    part = max((file.part for file in earlier), default=0) + 1
    with _draft(directory, f"token_usage-{month:%Y-%m}.{part}") as draft:
        written: dict[parquet.Key, tuple[Any, ...]] = {}
        parquet.write(draft, _counted(_tables(month, earlier), written, advance))
        if parquet.sums_by_day_and_org(parquet.summed_columns(draft)) != written:
            raise InexactArchiveError(f"The file of {month:%Y-%m} does not read back as it was written.")
        digest, size = parquet.sha256(draft), draft.stat().st_size
        path = _rename(draft, directory, f"token_usage-{month:%Y-%m}" + (f".{part}" if part > 1 else ""), digest)
    sums = dict(zip(SUMS, map(sum, zip(*written.values(), strict=True)), strict=True))
    try:
        with roles.applied(roles.AS_LEDGER):
            return ArchiveFile.objects.create(
                month=month, part=part, path=_listed(path), size=size, sha256=digest, archived_at=at, by=by, **sums
            )
    except IntegrityError as taken:
        raise ArchivedError(f"Another process archived {month:%Y-%m} first; {path} is not needed.") from taken


def _tables(month: date, earlier: Sequence[ArchiveFile]) -> Iterator[Table]:
    """Yield the month's calls by day and id. Raises `InexactArchiveError` at a day with wrong rollups."""
    day = month
    while day < after(month):
        if wrong := consistency.differences(day, parquet.daily_rows(earlier, day)):
            raise InexactArchiveError(f"The rollups of {day} differ from the ledger ({wrong[0]}). See check_usage.")
        yield from parquet.tables_of(_finished(day, day + timedelta(days=1)).order_by("id"))
        day += timedelta(days=1)


def _counted(tables: Iterator[Table], sums: dict[parquet.Key, tuple[Any, ...]], advance: Advance) -> Iterator[Table]:
    """Yield the tables, adding their calls to `sums` by day and organisation."""
    for table in tables:
        parquet.add_by_day_and_org(sums, table)
        yield table
        advance(len(table))


@contextmanager
def _draft(directory: Path, name: str) -> Iterator[Path]:
    """Give the path of a temporary file, deleted at the end unless it was renamed."""
    make_folder(directory)
    for file in directory.glob("token_usage-*.parquet"):
        make_private(file)  # earlier versions used the umask
    _sweep(directory)
    draft = directory / f"{name}.{uuid.uuid4().hex}{UNFINISHED}"
    try:
        yield draft
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _sweep(directory: Path) -> None:
    """Delete drafts of killed runs: a running one has written to its draft within a day."""
    for draft in directory.glob(f"token_usage-*{UNFINISHED}"):
        with suppress(FileNotFoundError):
            if draft.stat().st_mtime < time.time() - A_DAY:
                draft.unlink()


def _rename(draft: Path, directory: Path, name: str, digest: str) -> Path:
    """Rename the draft durably. An existing file with other content is not replaced."""
    number, path = 1, directory / f"{name}.parquet"
    while path.exists() and parquet.sha256(path) != digest:
        number += 1
        path = directory / f"{name}-{number}.parquet"
    draft.rename(path)
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path


def _listed(path: Path) -> str:
    """Return the path relative to USAGE_ARCHIVE_DIR, which may differ between machines; absolute outside of it."""
    folder = Path(conf.ARCHIVE_DIR).resolve()
    resolved = path.resolve()
    return str(resolved.relative_to(folder) if resolved.is_relative_to(folder) else resolved)


def _remove(file: ArchiveFile, advance: Advance) -> Outcome:
    """Remove the file's calls from the ledger in batches; a call that has changed stays."""
    removed = 0
    for table in parquet.read(storage.path_of(file)):
        with roles.applied(roles.AS_LEDGER):
            distribution.begin_write()
            file = _held(file, State.REMOVING)
            removed += _remove_batch(table, file)
        advance(len(table))
    with roles.applied(roles.AS_LEDGER):
        file = _held(file, State.REMOVING)
        file.state = State.ARCHIVED
        file.save(update_fields=["state"])
    return Outcome(file, removed, len(file.changed_ids))


def _remove_batch(table: Table, file: ArchiveFile) -> int:
    """Remove the calls that equal the table's rows; note the ids of the others in `changed_ids`."""
    same, changed = _compared(table)
    usage_sums.add_calls(file, same["id"].to_pylist())
    removed, _ = UsageRecord.objects.filter(parquet.among(same)).delete()
    reported_calls.forget_archived({*zip(same["org_id"].to_pylist(), same["request_id"].to_pylist(), strict=True)})
    if more := set(changed) - set(file.changed_ids):
        file.changed_ids = sorted(more | set(file.changed_ids))
        file.save(update_fields=["changed_ids"])
    return removed


def _held(file: ArchiveFile, state: str) -> ArchiveFile:
    """Lock the file's row until the transaction ends. Raises `ArchivedError` if it is not in that state."""
    held = ArchiveFile.objects.select_for_update().filter(pk=file.pk).first()
    if held is None or held.state != state:
        raise ArchivedError(f"Another process is working on {file.path}.")
    return held


def _compared(table: Table) -> tuple[Table, list[int]]:
    """Return the rows of the table that the ledger's calls equal, and the ids of those that differ. Locks the calls."""
    calls = _in_the_ledger(table)
    if distribution.is_distributed():
        for org_ids in distribution.by_shard(table["org_id"].unique().to_pylist()):
            list(calls.filter(org_id__in=org_ids).order_by("id").select_for_update().values_list("id"))
        here = parquet.table_of(calls)
    else:
        here = parquet.table_of(calls.select_for_update() if connection.features.has_select_for_update else calls)
    if here.equals(table):
        return table, []
    expected = {row["id"]: row for row in table.to_pylist()}
    found = {row["id"]: row for row in here.to_pylist()}
    same = [id_ for id_, row in found.items() if row == expected[id_]]
    return parquet.with_ids(table, same), sorted(found.keys() - set(same))


def _in_the_ledger(table: Table) -> QuerySet[UsageRecord]:
    """Return the calls with the ids of the table, in the order of a file."""
    return UsageRecord.objects.filter(parquet.among(table)).order_by("usage_date", "id")


# ── Restoring ────────────────────────────────────────────────────────────────────────────────────────────────────


def files_of(month: date) -> list[ArchiveFile]:
    """Return the verified files of an archived month. Raises `ArchivedError` and `UnreadableError`."""
    files = list(ArchiveFile.objects.filter(month=month))
    if not files:
        raise ArchivedError(f"{month:%Y-%m} is not archived.")
    if any(file.state == State.REMOVING for file in files):
        raise ArchivedError(
            f"The archiving of {month:%Y-%m} is not finished: run `manage.py archive_usage` again first."
        )
    for file in files:
        parquet.verify(file)
    return files


def restore(file: ArchiveFile, advance: Advance) -> int:
    """Restore the calls of a file and unlist it; the file itself stays. Returns how many calls were inserted now.

    Raises `ArchivedError` if another process works on it, `InexactArchiveError` if the ledger differs from the file.
    """
    with roles.applied(roles.AS_LEDGER):
        file = _held(file, file.state)
        file.state = State.RESTORING
        file.save(update_fields=["state"])
    restored = 0
    for table, whole_days in parquet.read_by_day(storage.path_of(file)):
        with roles.applied(roles.AS_LEDGER):
            distribution.begin_write()
            held = _held(file, State.RESTORING)
            restored += _restore_batch(parquet.unchanged(table, held), held, whole_days)
        advance(len(table))
    with roles.applied(roles.AS_LEDGER):
        _held(file, State.RESTORING).delete()
    return restored


def _restore_batch(table: Table, file: ArchiveFile, whole_days: Collection[date]) -> int:
    """Insert the calls that are missing in the ledger. Returns their number.

    whole_days: the days whose calls are all among these; none if these are a part of one day.
    """
    # By organisation, whose rows lie side by side in most indexes: 62 µs of the database a call instead of 77.
    rows = parquet.ledger_rows(table.sort_by([("org_id", "ascending"), ("id", "ascending")]))
    inserted = [
        id_ for (id_,) in bulk.insert(UsageRecord, parquet.COLUMNS, rows, "ON CONFLICT DO NOTHING RETURNING id")
    ]
    if not parquet.table_of(_in_the_ledger(table)).equals(table):
        raise InexactArchiveError(
            "The ledger has other calls under the ids or request ids of archived ones. Nothing more was restored."
        )
    if whole_days:
        usage_sums.delete_days(file, whole_days)
    else:
        usage_sums.subtract_calls(file, inserted)
    if not file.has_durations:
        writer.add_durations(list(UsageRecord.objects.filter(pk__in=inserted).values(*KEY, *SUMMED)))
    return len(inserted)
