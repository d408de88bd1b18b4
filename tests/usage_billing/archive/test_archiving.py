"""Archiving and restoring are exact, wherever they are interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from pytest_django import Settings

from tests.support import aged, factories
from tests.support.aged import APRIL, CALLS, JUNE, MARCH, MAY
from tests.support.configure import configure
from tests.support.killed_archiving import ARCHIVING, RESTORING
from tests.support.rows import enter, row
from usage_billing import reports
from usage_billing.archive import archiving, parquet, storage
from usage_billing.conf import conf
from usage_billing.ledger import archived, writer
from usage_billing.models import ArchivedUsage, ArchiveFile, DailyTagUsage, DailyUsage, ReportedCall, UsageRecord
from usage_billing.recording.event import ACCOUNT_COLUMNS
from usage_billing.reports import Period
from usage_billing.tenancy.scope import scoped

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def directory(settings: Settings, tmp_path: Path) -> Path:
    return aged.use(settings, tmp_path)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BATCH", 3)
    monkeypatch.setattr(parquet, "ROW_GROUP", 7)


def archive(month: date = MAY) -> archiving.Outcome:
    return archiving.archive(
        month, directory=Path(conf.ARCHIVE_DIR), by="anna", at=factories.NOON, advance=lambda _: None
    )


# ── Who may read the files ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(directory: Path) -> set[str]:
    return {oct(path.stat().st_mode & 0o7777) for path in directory.iterdir()}


@pytest.mark.usefixtures("open_umask")
def test_nobody_else_reads_the_archive(directory: Path) -> None:
    aged.fill()
    archive()
    assert oct(directory.stat().st_mode & 0o7777) == "0o700"
    assert modes(directory) == {"0o600"}


def test_files_that_an_earlier_version_archived_are_closed_to_others(directory: Path) -> None:
    aged.fill()
    archive()
    for path in directory.iterdir():
        path.chmod(0o644)
    archive(APRIL)
    assert len(list(directory.iterdir())) == 2
    assert modes(directory) == {"0o600"}


@pytest.mark.usefixtures("open_umask")
def test_the_group_of_a_shared_folder_reads_the_archive(directory: Path) -> None:
    aged.fill()
    directory.mkdir()
    directory.chmod(0o2750)
    archive()
    assert oct(directory.stat().st_mode & 0o7777) == "0o2750"
    assert modes(directory) == {"0o640"}


# ── Out and back ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("small_batches")
def test_a_month_goes_and_comes_back_as_it_was(directory: Path) -> None:
    aged.fill()
    before, totals = aged.calls(), aged.totals()
    of_may = [call for call in before if call["usage_date"] >= MAY]
    assert len(of_may) == CALLS

    aged.archive()

    assert aged.calls() == []
    assert aged.totals() == totals
    assert sorted(path.name for path in directory.iterdir()) == [
        f"token_usage-2026-0{month}.parquet" for month in (3, 4, 5)
    ]
    call_command("check_usage")

    call_command("restore_usage", "--month", "2026-05")

    assert aged.calls() == of_may
    assert aged.totals() == totals
    assert list(ArchiveFile.objects.values_list("month", flat=True)) == [MARCH, APRIL]
    call_command("check_usage")
    aged.archive()
    assert aged.calls() == []
    for month in ("2026-03", "2026-04", "2026-05"):
        call_command("restore_usage", "--month", month)
    assert aged.calls() == before
    call_command("check_usage")


def test_the_notes_about_reported_calls_go_with_their_records() -> None:
    aged.fill()
    old = UsageRecord.objects.filter(usage_date__month=MAY.month).values_list("org_id", "request_id").first()
    kept = UsageRecord.objects.filter(usage_date__month=APRIL.month).values_list("org_id", "request_id").first()
    assert old is not None
    assert kept is not None
    ReportedCall.objects.bulk_create(ReportedCall(org_id=org_id, request_id=id_) for org_id, id_ in (old, kept))

    archive()

    assert ReportedCall.objects.values_list("org_id", "request_id").get() == kept


def test_the_file_has_every_column_exactly() -> None:
    org = factories.organization()
    usd, rub = Decimal("123456789012.000000000001"), Decimal("999999999999.999999999999")
    if connection.vendor == "sqlite":
        usd, rub = Decimal("1234.00000000125"), Decimal("9999.999999999")
    at = datetime(2026, 5, 10, 23, 59, 59, 999_999, tzinfo=UTC)
    enter(row(org, cost_usd=usd, cost_rub=rub, created_at=at, usage={"имя": 1.10, "n": 10**15}))
    (call,) = aged.calls()
    archive()
    table = pq.read_table(storage.path_of(ArchiveFile.objects.get()))
    assert table.column_names == [field.attname for field in UsageRecord._meta.concrete_fields]
    (stored,) = table.to_pylist()
    assert {name: str(table.schema.field(name).type) for name in ("cost_usd", "usd_rub_rate", "created_at", "id")} == {
        "cost_usd": "decimal128(24, 12)",
        "usd_rub_rate": "decimal128(18, 8)",
        "created_at": "timestamp[us, tz=UTC]",
        "id": "int64",
    }
    json_columns = ("usage", "request_metadata", "response_metadata", "tags")
    assert {name: stored[name] for name in stored if name not in json_columns} == {
        name: call[name] for name in call if name not in json_columns
    }
    assert stored["usage"].startswith("{")


def test_a_file_of_an_earlier_version_lacks_columns_and_is_restored() -> None:
    org = factories.organization()
    enter(row(org, provider_project="proj_1", api_key_fingerprint="0123456789abcdef", execution_time_ms=700))
    before = aged.calls()
    archive()
    file = ArchiveFile.objects.get()
    path = storage.path_of(file)
    added = [*ACCOUNT_COLUMNS.values(), "known_cost_usd", "tags"]
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(added), path)
    ArchiveFile.objects.update(sha256=parquet.sha256(path), size=path.stat().st_size, has_durations=False)
    # The rollups of an earlier version do not count durations: the migration leaves them unknown.
    for model in (DailyUsage, ArchivedUsage):
        assert set(model.objects.values_list("time_le_1280", flat=True)) == {1}
        model.objects.update(time_le_1280=0)

    call_command("check_usage")
    call_command("restore_usage", "--month", "2026-05")

    unknown: dict[str, Any] = {**dict.fromkeys(added, ""), "known_cost_usd": None, "tags": {}}
    assert aged.calls() == [call | unknown for call in before]
    assert set(DailyUsage.objects.values_list("time_le_1280", flat=True)) == {1}
    call_command("check_usage")


def test_the_list_says_what_is_where() -> None:
    aged.fill()
    sums = [
        sum(call[name] or 0 for call in aged.calls(usage_date__gte=MAY))
        for name in ("prompt_tokens", "completion_tokens", "total_tokens", "cost_usd", "cost_rub")
    ]
    aged.archive()
    file = ArchiveFile.objects.get(month=MAY)
    path = storage.path_of(file)
    assert (file.part, file.path, file.state, file.calls, file.by) == (
        1,
        "token_usage-2026-05.parquet",
        "archived",
        CALLS,
        "anna",
    )
    assert [
        file.prompt_tokens, file.completion_tokens, file.total_tokens, file.cost_usd, file.cost_rub,
    ] == sums  # fmt: skip
    assert (file.size, file.sha256, file.changed_ids) == (path.stat().st_size, parquet.sha256(path), [])


def test_another_directory_is_listed_in_full(tmp_path: Path) -> None:
    aged.fill()
    call_command("archive_usage", "--before", "2026-04-01", "--to", str(tmp_path / "elsewhere"))
    file = ArchiveFile.objects.get()
    assert file.path == str(tmp_path / "elsewhere" / "token_usage-2026-03.parquet")
    call_command("check_usage")
    call_command("restore_usage", "--month", "2026-03")


# ── What is due ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_whole_months_before_the_day_are_due() -> None:
    aged.fill()
    now = datetime(2026, 11, 22, tzinfo=UTC)
    assert archiving.due(date(2026, 5, 31), now) == [MARCH, APRIL]
    assert archiving.due(JUNE, now) == [MARCH, APRIL, MAY]
    assert archiving.due(MARCH, now) == []


def test_the_running_month_is_never_due() -> None:
    aged.fill()
    # The first of June has not begun in the last time zone.
    assert archiving.due(date(2027, 1, 1), datetime(2026, 6, 1, 11, 59, tzinfo=UTC)) == [MARCH, APRIL]
    assert archiving.due(date(2027, 1, 1), datetime(2026, 6, 1, 12, 0, tzinfo=UTC)) == [MARCH, APRIL, MAY]


def test_pending_calls_stay_and_are_completed_in_the_ledger() -> None:
    org = factories.organization()
    factories.rate(MAY)
    at = datetime(2026, 5, 10, tzinfo=UTC)
    begun = factories.event(org=org, at=at, status="pending", flavour="responses", usage={}, request_id="resp_1")
    writer.add([begun, factories.event(org=org, at=at)])
    aged.archive()
    assert UsageRecord.objects.get().request_id == "resp_1"
    answer = factories.event(
        org=org,
        at=at + timedelta(hours=1),
        request_id="resp_1",
        completes=True,
        url="https://api.openai.com/v1/responses/resp_1",
    )
    writer.add([answer])
    assert UsageRecord.objects.get().status == "succeeded"
    call_command("check_usage")
    aged.archive()
    assert not UsageRecord.objects.exists()
    assert list(ArchiveFile.objects.values_list("path", "calls")) == [
        ("token_usage-2026-05.parquet", 1),
        ("token_usage-2026-05.2.parquet", 1),
    ]
    call_command("check_usage")
    # Its answer, fetched again, is known although the call is archived.
    assert writer.add([answer]) == 0
    call_command("check_usage")


# ── Interrupted ──────────────────────────────────────────────────────────────────────────────────────────────────


def kill(moment: str, database_url: str, directory: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-m", "tests.support.killed_archiving", moment],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": database_url,
            "USAGE_ARCHIVE_DIR": str(directory),
            "DEBUG": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("moment", ARCHIVING)
def test_killed_and_run_again_it_is_as_if_never_killed(database_url: str, directory: Path, moment: str) -> None:
    aged.fill()
    UsageRecord.objects.filter(usage_date__lt=MAY).delete()
    DailyUsage.objects.filter(usage_date__lt=MAY).delete()
    DailyTagUsage.objects.filter(usage_date__lt=MAY).delete()
    before, totals = aged.calls(), aged.totals()
    by_content = aged.by_content()
    ids = [call["id"] for call in before]

    kill(moment, database_url, directory)
    assert aged.by_content() == by_content

    here = [call["id"] for call in aged.calls()]
    assert set(here) | set(aged.in_files()) == set(ids)
    removed = {
        "before calls are removed for good": 3,
        "between two batches": 6,
        "before the file is finished": 20,
    }
    assert len(here) == len(ids) - removed.get(moment, 0)

    aged.archive()

    assert (aged.calls(), aged.in_files(), aged.totals()) == ([], ids, totals)
    assert aged.by_content() == by_content
    assert [path for path in directory.iterdir() if path.suffix == ".parquet"] == [
        storage.path_of(ArchiveFile.objects.get())
    ]
    call_command("check_usage")
    call_command("restore_usage", "--month", "2026-05")
    assert aged.calls() == before
    assert aged.by_content() == by_content
    assert not ArchivedUsage.objects.exists()


@pytest.mark.parametrize("moment", RESTORING)
def test_a_restoration_killed_and_run_again_is_exact(database_url: str, directory: Path, moment: str) -> None:
    aged.fill()
    of_may = aged.calls(usage_date__gte=MAY)
    totals, by_content = aged.totals(), aged.by_content()
    aged.archive()

    kill(moment, database_url, directory)
    assert aged.by_content() == by_content

    back = {
        "before calls are back for good": 2,
        "between two batches of them": 4,
        "before the file is off the list": 20,
    }
    assert len(aged.calls()) == back[moment]
    with pytest.raises(CommandError, match="is being restored"):
        aged.archive(JUNE)
    call_command("restore_usage", "--month", "2026-05")
    assert (aged.calls(), aged.totals()) == (of_may, totals)
    assert aged.by_content() == by_content
    assert not ArchiveFile.objects.filter(month=MAY).exists()
    call_command("check_usage")


def test_a_day_larger_than_a_batch_comes_back_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BATCH", 1)
    aged.fill()
    of_may, by_content = aged.calls(usage_date__gte=MAY), aged.by_content()
    archive()
    restore_batch, parts = archiving._restore_batch, list[int]()

    def stopped(table: Any, *arguments: Any) -> int:
        if len(parts) == 3:
            raise KeyboardInterrupt
        parts.append(len(table))
        return restore_batch(table, *arguments)

    monkeypatch.setattr(archiving, "_restore_batch", stopped)
    with pytest.raises(CommandError, match="Interrupted"):
        call_command("restore_usage", "--month", "2026-05")
    assert (parts, len(aged.calls(usage_date__gte=MAY))) == ([1, 1, 1], 3)
    assert aged.by_content() == by_content
    monkeypatch.setattr(archiving, "_restore_batch", restore_batch)
    monkeypatch.setattr(parquet, "BATCH", 1000)
    call_command("restore_usage", "--month", "2026-05")
    assert aged.calls(usage_date__gte=MAY) == of_may
    assert aged.by_content() == by_content
    assert not ArchivedUsage.objects.exists()


def test_drafts_of_killed_runs_go_when_they_are_old(directory: Path) -> None:
    aged.fill()
    directory.mkdir()
    old, new = (directory / f"token_usage-2026-05.1.{name}.unfinished" for name in ("old", "new"))
    for draft in (old, new):
        draft.touch()
    os.utime(old, (0, 0))
    archive()
    assert (old.exists(), new.exists()) == (False, True)


def test_what_was_left_of_a_kill_is_not_taken_for_the_file(directory: Path) -> None:
    aged.fill()
    directory.mkdir()
    (directory / "token_usage-2026-05.parquet").write_bytes(b"somebody else's")
    archive()
    assert ArchiveFile.objects.get().path == "token_usage-2026-05-2.parquet"
    assert (directory / "token_usage-2026-05.parquet").read_bytes() == b"somebody else's"


# ── Changed meanwhile ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def changed_before_removal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Change the first call of May after the file was written. Returns its id."""
    remove, ids = archiving._remove, list[int]()

    def changed(*arguments: Any) -> Any:
        ids.append(UsageRecord.objects.filter(usage_date__gte=MAY).order_by("id").values_list("id", flat=True)[0])
        writer.apply_changes(ids, lambda call: call | {"cost_usd": Decimal(7), "cost_rub": Decimal("560.4984")})
        return remove(*arguments)

    monkeypatch.setattr(archiving, "_remove", changed)
    yield ids
    monkeypatch.setattr(archiving, "_remove", remove)


def test_a_call_that_changed_meanwhile_stays(changed_before_removal: list[int]) -> None:
    aged.fill()
    outcome = archive()
    assert (outcome.removed, outcome.stayed) == (CALLS - 1, 1)
    (call,) = aged.calls(usage_date__gte=MAY)
    assert (call["id"], call["cost_usd"]) == (changed_before_removal[0], Decimal(7))
    call_command("check_usage")


def test_it_goes_the_next_time_and_comes_back_as_it_became(
    changed_before_removal: list[int], monkeypatch: pytest.MonkeyPatch, directory: Path, settings: Settings
) -> None:
    aged.fill()
    archive()
    monkeypatch.undo()
    configure(settings, ARCHIVE_DIR=str(directory))
    archive()
    assert not UsageRecord.objects.filter(usage_date__gte=MAY).exists()
    assert [file.calls for file in ArchiveFile.objects.all()] == [CALLS, 1]
    call_command("check_usage")
    call_command("restore_usage", "--month", "2026-05")
    may = aged.calls(usage_date__gte=MAY)
    assert len(may) == CALLS
    assert may[0]["cost_usd"] == Decimal(7)
    call_command("check_usage")


def test_two_that_archive_the_same_month_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    aged.fill()
    rename = archiving._rename

    def overtaken(*arguments: Any) -> Path:
        monkeypatch.setattr(archiving, "_rename", rename)
        archive()
        return rename(*arguments)

    monkeypatch.setattr(archiving, "_rename", overtaken)
    with pytest.raises(archived.ArchivedError, match="Another process archived 2026-05 first"):
        archive()
    assert ArchiveFile.objects.get().calls == CALLS
    assert len(aged.in_files()) == CALLS
    call_command("check_usage")


def test_a_restoration_begins_while_calls_are_removed(monkeypatch: pytest.MonkeyPatch, small_batches: None) -> None:
    aged.fill()
    compared = archiving._compared

    def restored_by_somebody(table: Any) -> Any:
        ArchiveFile.objects.update(state="restoring")
        return compared(table)

    monkeypatch.setattr(archiving, "_compared", restored_by_somebody)
    with pytest.raises(archived.ArchivedError, match="Another process is working"):
        archive()
    monkeypatch.setattr(archiving, "_compared", compared)
    call_command("restore_usage", "--month", "2026-05")
    assert UsageRecord.objects.count() == 3 * CALLS
    call_command("check_usage")


def test_a_file_whose_last_group_has_no_calls_can_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row group is written when it is full, which may be at the last call."""
    monkeypatch.setattr(parquet, "ROW_GROUP", CALLS)
    aged.fill()
    aged.archive()
    call_command("check_usage")
    call_command("restore_usage", "--month", "2026-05")
    call_command("check_usage")


@pytest.mark.django_db(transaction=True)
def test_calls_that_come_in_and_come_again_meanwhile(small_batches: None) -> None:
    """All calls of a month, and late ones, are delivered again while it is archived and restored."""
    org = factories.organization()
    factories.rate(MAY)
    at = datetime(2026, 5, 10, tzinfo=UTC)
    known = [factories.event(org=org, at=at + timedelta(hours=n), request_id=f"known {n}") for n in range(12)]
    late = [factories.event(org=org, at=at + timedelta(hours=n), request_id=f"late {n}") for n in range(12)]
    writer.add(known)
    errors: list[BaseException] = []
    is_over = threading.Event()

    def deliver() -> None:
        try:
            number = 0
            while not is_over.is_set() or number < 12:
                writer.add([known[number % 12], late[number % 12]])
                number += 1
                is_over.wait(0.02)  # SQLite has no queue: who writes without a pause lets nobody else in
        except BaseException as error:  # noqa: BLE001 - shown below, in the test's own thread
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=deliver)
    thread.start()
    try:
        aged.archive()
        call_command("check_usage")
        call_command("restore_usage", "--month", "2026-05")
        aged.archive()
    finally:
        is_over.set()
        thread.join()
    assert errors == []
    call_command("check_usage")
    ids = aged.in_files() + [call["id"] for call in aged.calls()]
    assert len(ids) == len(set(ids)) == 24
    assert sum(DailyUsage.objects.filter(grain="total").values_list("requests_count", flat=True)) == 24


# ── It refuses ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_day_with_wrong_totals_is_not_archived(directory: Path) -> None:
    aged.fill()
    DailyUsage.objects.filter(grain="total", usage_date=date(2026, 5, 4)).update(prompt_tokens=F("prompt_tokens") + 1)
    with pytest.raises(archiving.InexactArchiveError, match="2026-05-04"):
        archive()
    assert (list(directory.iterdir()), UsageRecord.objects.count()) == ([], 3 * CALLS)


def test_a_file_that_does_not_read_back_is_not_kept(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    aged.fill()
    write = parquet.write

    def without_the_last(path: Path, tables: Any) -> None:
        write(path, (table.slice(0, len(table) - 1) for table in tables))

    monkeypatch.setattr(parquet, "write", without_the_last)
    with pytest.raises(archiving.InexactArchiveError, match="does not read back"):
        archive()
    assert (list(directory.iterdir()), UsageRecord.objects.count()) == ([], 3 * CALLS)
    assert not ArchiveFile.objects.exists()


def test_a_full_disk_removes_nothing(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    aged.fill()

    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CommandError, match="No space left on device"):
        aged.archive()
    assert (list(directory.iterdir()), UsageRecord.objects.count()) == ([], 3 * CALLS)


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_a_file_that_is_not_what_it_was_is_not_restored(harm: str) -> None:
    aged.fill()
    aged.archive()
    path = storage.path_of(ArchiveFile.objects.get(month=MAY))
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CommandError, match=f"{path}.*(No such file|not the file that was archived)"):
        call_command("restore_usage", "--month", "2026-05")
    assert not UsageRecord.objects.exists()
    assert ArchiveFile.objects.get(month=MAY).state == "archived"


def test_restore_refuses_when_the_ledger_has_another_call_in_its_place() -> None:
    aged.fill()
    (first, *_) = aged.calls(usage_date__gte=MAY)
    aged.archive()
    UsageRecord.objects.create(**{**first, "agent_id": "another"})
    with pytest.raises(CommandError, match="other calls under the ids"):
        call_command("restore_usage", "--month", "2026-05")
    assert UsageRecord.objects.count() == 1


def test_restore_of_what_is_not_archived() -> None:
    with pytest.raises(CommandError, match="2026-05 is not archived"):
        call_command("restore_usage", "--month", "2026-05")
    with pytest.raises(CommandError, match="is not a month"):
        call_command("restore_usage", "--month", "May")


# ── Totals by what rollups leave out ─────────────────────────────────────────────────────────────────────────────


def test_totals_by_workflow_and_content_outlive_the_calls() -> None:
    org, other = aged.fill()
    owner, member = factories.owner(org), factories.member(org)
    post, in_may = {"content_id": "post-7"}, datetime(2026, 5, 9, tzinfo=UTC)
    enter(
        row(org, **post, workflow_id="0042", created_at=in_may - timedelta(days=30)),
        row(org, **post, workflow_id="0042", created_at=in_may),
        row(org, **post, workflow_id="0042", user_id=member.pk, created_at=in_may),
        row(other, **post, created_at=in_may),
        row(org, **post),
    )

    def asked() -> list[Any]:
        found: list[Any] = []
        for person in (factories.superadmin(), owner, member):
            with scoped(person) as scope:
                found += [
                    reports.totals(scope, filters={"content_id": "post-7"}),
                    reports.totals(scope, by=["workflow_id"], period=Period(MARCH, JUNE)),
                    reports.totals(scope, by=["usage_date", "ai_model"], filters={"workflow_id": "0042"}),
                    reports.workflow_totals(scope, "content_id", Period(APRIL)),
                ]
        return found

    before = asked()
    assert [found[0]["requests_count"] for found in (before[0], before[4], before[8])] == [5, 4, 1]
    aged.archive()
    assert asked() == before
    call_command("check_usage")
    ArchivedUsage.objects.filter(content_id="post-7").delete()
    with pytest.raises(CommandError, match="2 differences"):
        call_command("check_usage")


def test_totals_by_tag_and_anything_else_outlive_the_calls() -> None:
    aged.fill()
    calls = [(call["org_id"], call["tags"], call["content_id"], call["status"]) for call in aged.calls()]
    expected = Counter(
        (org_id, *tag, content, status) for org_id, tags, content, status in calls for tag in tags.items()
    )
    assert len(expected) > 10

    def in_archive() -> Counter[Any]:
        found: Counter[Any] = Counter()
        for sums in ArchivedUsage.objects.all():
            for tag in sums.tags.items():
                found[sums.org_id, *tag, sums.content_id, sums.status] += sums.requests_count
        return +found

    aged.archive()
    assert in_archive() == expected
    call_command("restore_usage", "--month", "2026-05")
    assert in_archive().total() == expected.total() * 2 / 3
    call_command("check_usage")


def test_a_wrong_rollup_of_tags_is_found_in_an_archived_month(capsys: pytest.CaptureFixture[str]) -> None:
    aged.fill()
    aged.archive()
    assert DailyTagUsage.objects.filter(grain="org_tag", tag_key="среда").first() is not None
    DailyTagUsage.objects.filter(grain="org_tag", tag_key="среда").update(requests_count=F("requests_count") + 1)
    with pytest.raises(CommandError, match="differences"):
        call_command("check_usage")
    assert "tag_key=среда" in capsys.readouterr().err
