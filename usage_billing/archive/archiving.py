"""Closed months out of the ledger into Parquet files and back: nothing lost, nothing double, wherever it is stopped.

A file is written under another name, read again, renamed and listed (`ArchiveFile`) before the first of its calls is
removed; a call is removed only while it is what the file says of it. Totals are not touched.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from django.db import IntegrityError
from django.db.models import QuerySet

from usage_billing.archive import parquet, storage
from usage_billing.conf import conf
from usage_billing.ledger import bulk, consistency
from usage_billing.ledger.archived import ArchivedError, after
from usage_billing.models import ArchiveFile, UsageRecord
from usage_billing.models.archive_file import SUMS
from usage_billing.models.database import connection
from usage_billing.recording.private_files import make_folder, make_private
from usage_billing.tenancy import roles

State = ArchiveFile.State
Advance = Callable[[int], object]
"""Is told of each so many calls that are done."""
EARLIEST_ZONE = timedelta(hours=-12)
"""Where a month ends last."""


UNFINISHED = ".unfinished"
"""What a file is called besides, until it is whole."""
A_DAY = 24 * 3600


class InexactArchiveError(Exception):
    """What was written, what the totals say and what the ledger has are not the same; nothing was removed."""


# ── What there is to archive ─────────────────────────────────────────────────────────────────────────────────────


def first_open_day(now: datetime) -> date:
    """The first day of the month that still runs somewhere."""
    return (now.astimezone(UTC) + EARLIEST_ZONE).date().replace(day=1)


def kept_since(retention_months: int, now: datetime) -> date:
    """The first day that stays: the running month does, and so many before it."""
    day = first_open_day(now)
    for _ in range(retention_months):
        day = (day - timedelta(days=1)).replace(day=1)
    return day


def due(before: date, now: datetime) -> list[date]:
    """The whole months before that day which are over everywhere and have calls to archive, or were not finished."""
    until = min(before.replace(day=1), first_open_day(now))
    found = set(ArchiveFile.objects.filter(state=State.REMOVING, month__lt=until).values_list("month", flat=True))
    since = date.min
    while day := _finished(since, until).order_by("usage_date").values_list("usage_date", flat=True).first():
        found.add(day.replace(day=1))
        since = after(day.replace(day=1))
    return sorted(found)


def calls_of(month: date) -> int:
    """How many of the month's calls can be archived now."""
    return _finished(month, after(month)).count()


def waiting_of(month: date) -> int:
    """How many of the month's calls stay because their answers are still to come."""
    return UsageRecord.objects.filter(
        usage_date__gte=month, usage_date__lt=after(month), status=UsageRecord.Status.PENDING
    ).count()


def _finished(since: date, until: date) -> QuerySet[UsageRecord]:
    calls = UsageRecord.objects.filter(usage_date__gte=since, usage_date__lt=until)
    return calls.exclude(status=UsageRecord.Status.PENDING)


# ── Out of the ledger ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Outcome:
    """What became of a month: its file, how many of its calls were removed now, and how many changed meanwhile."""

    file: ArchiveFile
    removed: int
    stayed: int


def archive(month: date, *, directory: Path, by: str, at: datetime, advance: Advance) -> Outcome:
    """Move the month's calls into a file in that directory, or finish what was begun. `advance` hears of each twice.

    Raises `ArchivedError` if somebody else is at the same month, `Inexact` or `UnreadableError` if it is not safe.
    """
    files = list(ArchiveFile.objects.filter(month=month))
    if any(file.state == State.RESTORING for file in files):
        raise ArchivedError(f"{month:%Y-%m} is being brought back: finish that with `manage.py restore_usage` first.")
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
        written: dict[parquet.Key, list[Any]] = {}
        parquet.write(draft, _counted(_batches(month, earlier), written, advance))
        if parquet.sums_by_day_and_org(draft) != {key: tuple(sums) for key, sums in written.items()}:
            raise InexactArchiveError(f"The file of {month:%Y-%m} does not read back as it was written.")
        digest, size = parquet.sha256(draft), draft.stat().st_size
        path = _settle_down(draft, directory, f"token_usage-{month:%Y-%m}" + (f".{part}" if part > 1 else ""), digest)
    sums = dict(zip(SUMS, map(sum, zip(*written.values(), strict=True)), strict=True))
    try:
        with roles.applied(roles.AS_LEDGER):
            return ArchiveFile.objects.create(
                month=month, part=part, path=_listed(path), size=size, sha256=digest, archived_at=at, by=by, **sums
            )
    except IntegrityError as taken:
        raise ArchivedError(f"Another process has archived {month:%Y-%m} meanwhile; {path} is not needed.") from taken


def _batches(month: date, earlier: Sequence[ArchiveFile]) -> Iterator[list[tuple[Any, ...]]]:
    """The month's calls day by day, each day in the order of the ids; a day whose totals are wrong ends it."""
    day = month
    while day < after(month):
        if wrong := consistency.differences(day, parquet.daily_rows(earlier, day)):
            raise InexactArchiveError(
                f"The totals of {day} are not what the ledger adds up to ({wrong[0]}). See check_usage."
            )
        calls = parquet.rows_of(_finished(day, day + timedelta(days=1)).order_by("id"))
        rows = iter(calls.iterator(chunk_size=parquet.A_READ))
        while batch := list(islice(rows, parquet.A_READ)):
            yield batch
        day += timedelta(days=1)


def _counted(
    batches: Iterator[list[tuple[Any, ...]]], sums: dict[parquet.Key, list[Any]], advance: Advance
) -> Iterator[list[tuple[Any, ...]]]:
    """The batches as they are; what they add up to, by day and organisation, is left in `sums`."""
    key_at = [parquet.COLUMNS.index(name) for name in ("usage_date", "org_id")]
    at = [parquet.COLUMNS.index(name) for name in SUMS[1:]]
    for batch in batches:
        for row in batch:
            so_far = sums.setdefault((row[key_at[0]], row[key_at[1]]), [0] * len(SUMS))
            so_far[0] += 1
            for index, column in enumerate(at, start=1):
                so_far[index] += row[column] or 0
        yield batch
        advance(len(batch))


@contextmanager
def _draft(directory: Path, name: str) -> Iterator[Path]:
    """Where to write what may still come to nothing."""
    make_folder(directory)
    for file in directory.glob("token_usage-*.parquet"):
        make_private(file)  # an earlier version left them to the umask
    _sweep(directory)
    draft = directory / f"{name}.{uuid.uuid4().hex}{UNFINISHED}"
    try:
        yield draft
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _sweep(directory: Path) -> None:
    """Away with what killed runs have left; one that is still at work has touched its draft today."""
    for draft in directory.glob(f"token_usage-*{UNFINISHED}"):
        with suppress(FileNotFoundError):
            if draft.stat().st_mtime < time.time() - A_DAY:
                draft.unlink()


def _settle_down(draft: Path, directory: Path, name: str, digest: str) -> Path:
    """Give it its name, for good. A file that is there is not replaced, unless it is the same."""
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
    """As the list has it: where the directory is another one on another machine, the file is found all the same."""
    folder = Path(conf.ARCHIVE_DIR).resolve()
    resolved = path.resolve()
    return str(resolved.relative_to(folder) if resolved.is_relative_to(folder) else resolved)


def _remove(file: ArchiveFile, advance: Advance) -> Outcome:
    """Take the file's calls out of the ledger, some at a time; one that is not as the file says stays."""
    removed = 0
    for table in parquet.read(storage.path_of(file)):
        with roles.applied(roles.AS_LEDGER):
            file = _held(file, State.REMOVING)
            removed += _taken_out(table, file)
        advance(len(table))
    with roles.applied(roles.AS_LEDGER):
        file = _held(file, State.REMOVING)
        file.state = State.ARCHIVED
        file.save(update_fields=["state"])
    return Outcome(file, removed, len(file.changed_ids))


def _taken_out(table: Any, file: ArchiveFile) -> int:
    """Remove these calls, but for those that are not as the table has them: of these the list takes note."""
    same, changed = _compared(table)
    removed, _ = UsageRecord.objects.filter(pk__in=same).delete()
    if more := set(changed) - set(file.changed_ids):
        file.changed_ids = sorted(more | set(file.changed_ids))
        file.save(update_fields=["changed_ids"])
    return removed


def _held(file: ArchiveFile, state: str) -> ArchiveFile:
    """The file's row, locked until the transaction ends. Raises `ArchivedError` if it is not in that state."""
    held = ArchiveFile.objects.select_for_update().filter(pk=file.pk).first()
    if held is None or held.state != state:
        raise ArchivedError(f"Another process is at work on {file.path}.")
    return held


def _compared(table: Any) -> tuple[list[int], list[int]]:
    """The ids of those of the calls that are in the ledger: as they are in the table, and otherwise. They are held."""
    ids = table["id"].to_pylist()
    calls = _in_the_ledger(ids)
    held = calls.select_for_update() if connection.features.has_select_for_update else calls
    here = _table_of(held)
    if here.equals(table):
        return ids, []
    expected = {row["id"]: row for row in table.to_pylist()}
    found = {row["id"]: row for row in here.to_pylist()}
    same = [id_ for id_, row in found.items() if row == expected[id_]]
    return same, sorted(found.keys() - set(same))


def _in_the_ledger(ids: Sequence[int]) -> QuerySet[UsageRecord]:
    """Those of the calls that are there, in a file's order."""
    return UsageRecord.objects.filter(pk__in=ids).order_by("usage_date", "id")


def _table_of(calls: QuerySet[UsageRecord]) -> Any:
    return parquet.table_of(list(parquet.rows_of(calls)))


# ── Back into the ledger ─────────────────────────────────────────────────────────────────────────────────────────


def files_of(month: date) -> list[ArchiveFile]:
    """The files of an archived month, verified. Raises `ArchivedError` and `UnreadableError`."""
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
    """Bring the calls of a file back and take it off the list; the file stays. Returns how many came now.

    Raises `ArchivedError` if somebody else is at it, `Inexact` if what is in the ledger is not what the file says.
    """
    with roles.applied(roles.AS_LEDGER):
        file = _held(file, file.state)
        file.state = State.RESTORING
        file.save(update_fields=["state"])
    came = 0
    for table in parquet.read(storage.path_of(file)):
        with roles.applied(roles.AS_LEDGER):
            came += _bring_back(parquet.unchanged(table, _held(file, State.RESTORING)))
        advance(len(table))
    with roles.applied(roles.AS_LEDGER):
        _held(file, State.RESTORING).delete()
    return came


def _bring_back(table: Any) -> int:
    """Insert those of the calls that are not here yet; returns how many that were."""
    rows = parquet.ledger_rows(table)
    came = bulk.insert(UsageRecord, parquet.COLUMNS, rows, "ON CONFLICT DO NOTHING RETURNING id")
    if not _table_of(_in_the_ledger(table["id"].to_pylist())).equals(table):
        raise InexactArchiveError(
            "The ledger has other calls under the ids or request ids of archived ones. Nothing more came."
        )
    return len(came)
