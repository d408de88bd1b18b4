"""Writers and reports keep archived months exact: no call is counted twice, no sum is lost."""

from __future__ import annotations

import builtins
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.support import aged, factories
from tests.support.aged import APRIL, CALLS, MAY
from tests.support.configure import configure
from tests.support.factories import event
from usage_billing import reports
from usage_billing.ledger import archived, drain, writer
from usage_billing.models import ArchiveFile, DailyUsage, Organization, UsageRecord
from usage_billing.recording import record
from usage_billing.recording.outbox import Outbox
from usage_billing.reports import Period

pytestmark = pytest.mark.django_db

MID_MAY = datetime(2026, 5, 15, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def directory(settings: Settings, tmp_path: Path) -> Path:
    return aged.use(settings, tmp_path)


@pytest.fixture
def org() -> Organization:
    """Create an organisation with two archived calls of May."""
    org = factories.organization()
    factories.rate(date(2026, 4, 1))
    writer.add([event(org=org, at=MID_MAY, request_id="one"), event(org=org, at=MID_MAY, request_id="two")])
    aged.archive()
    assert not UsageRecord.objects.exists()
    return org


@pytest.fixture
def without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    imports = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "usage_billing.archive" and "parquet" in (arguments[2] or ()):
            raise ModuleNotFoundError("No module named 'pyarrow'")
        return imports(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)


def requests() -> int:
    return sum(DailyUsage.objects.filter(grain="total").values_list("requests_count", flat=True))


# ── None is counted twice ────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_that_comes_again_after_its_month_was_archived_is_not_counted_twice(org: Organization) -> None:
    other = factories.organization()
    again = event(org=org, at=MID_MAY, request_id="one")
    late = event(org=org, at=MID_MAY, request_id="three")
    of_another = event(org=other, at=MID_MAY, request_id="one")
    assert writer.add([again, late, of_another]) == 2
    assert sorted(UsageRecord.objects.values_list("request_id", "org")) == [("one", other.pk), ("three", org.pk)]
    assert requests() == 4
    call_command("check_usage")


def test_the_same_id_of_another_month_is_another_call(org: Organization) -> None:
    assert writer.add([event(org=org, at=MID_MAY + timedelta(days=31), request_id="one")]) == 1


@pytest.mark.parametrize(("days", "new"), [(30, 0), (100, 0), (150, 1)])
def test_a_line_of_a_batch_that_is_read_again_later_is_known(org: Organization, days: int, new: int) -> None:
    """A batch line comes with the day on which it is read; after three months the provider has deleted it."""
    line = event(org=org, at=MID_MAY + timedelta(days=days), request_id="one", context={"processing": "batch"})
    assert writer.add([msgspec.structs.replace(line, duration_ms=0)]) == new
    call_command("check_usage")


def test_a_response_fetched_by_somebody_else_is_known(org: Organization) -> None:
    fetched = event(
        org=factories.organization(),
        at=MID_MAY + timedelta(days=30),
        request_id="one",
        flavour="responses",
        url="https://api.openai.com/v1/responses/one",
        completes=True,
    )
    assert writer.add([fetched]) == 0
    call_command("check_usage")


def test_only_an_event_that_cannot_be_looked_up_is_rejected(org: Organization, outbox: Outbox, directory: Path) -> None:
    for path in directory.iterdir():
        path.rename(path.with_suffix(".away"))
    record(event(org=org, at=MID_MAY, request_id="one"), event(org=org, request_id="today"))
    drain.drain_all(outbox)
    assert list(UsageRecord.objects.values_list("request_id", flat=True)) == ["today"]
    assert outbox.read(10) == []
    for path in directory.iterdir():
        path.rename(path.with_suffix(".parquet"))
    call_command("drain_usage", "--retry")
    assert list(UsageRecord.objects.values_list("request_id", flat=True)) == ["today"]
    assert requests() == 3
    call_command("check_usage")


def test_without_pyarrow_a_late_call_is_rejected(org: Organization, outbox: Outbox, without_pyarrow: None) -> None:
    record(event(org=org, at=MID_MAY, request_id="one"))
    drain.drain_all(outbox)
    assert (UsageRecord.objects.count(), requests()) == (0, 2)


def test_a_call_that_is_brought_back_comes_once(org: Organization) -> None:
    writer.add([event(org=org, at=MID_MAY, request_id="one")])
    call_command("restore_usage", "--month", "2026-05")
    assert writer.add([event(org=org, at=MID_MAY, request_id="one")]) == 0
    assert sorted(UsageRecord.objects.values_list("request_id", flat=True)) == ["one", "two"]
    call_command("check_usage")


def test_calls_of_today_open_no_file(org: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_arguments: Any) -> Any:
        raise AssertionError("No file has calls of today.")

    monkeypatch.setattr(archived, "finders", [opened])
    assert writer.add([event(org=org), event(org=org)]) == 2


# ── Totals are kept ──────────────────────────────────────────────────────────────────────────────────────────────


def test_rebuild_daily_refuses_archived_days(org: Organization) -> None:
    with pytest.raises(CommandError, match=r"2026-05 are archived.*restore_usage --month 2026-05"):
        call_command("rebuild_daily", "--from", "2026-04-30", "--to", "2026-05-01")
    with pytest.raises(archived.ArchivedError):
        writer.rebuild_day(MID_MAY.date())
    assert requests() == 2
    call_command("rebuild_daily", "--from", "2026-06-01", "--to", "2026-06-02")
    call_command("rebuild_daily", "--from", "2026-04-29", "--to", "2026-04-30")


@pytest.mark.postgres
def test_the_function_refuses_archived_days_too(org: Organization) -> None:
    with connection.cursor() as cursor, pytest.raises(Exception, match="Calls of these days are archived"):
        cursor.execute("SELECT refresh_token_usage_daily('2026-05-31', '2026-06-30')")


def test_check_usage_finds_what_is_wrong_with_an_archived_day(
    org: Organization, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("check_usage")
    assert capsys.readouterr().out.endswith("The rollups equal the ledger and its archive: 2 calls, 16 grains.\n")
    DailyUsage.objects.filter(grain="org").update(prompt_tokens=F("prompt_tokens") + 7)
    DailyUsage.objects.filter(grain="agent").delete()
    with pytest.raises(CommandError, match=r"^2 differences"):
        call_command("check_usage")
    said = capsys.readouterr().err
    assert "prompt_tokens -7" in said
    assert "requests_count +2" in said


def test_check_usage_says_what_it_could_not_check(
    org: Organization, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer.add([event(org=org)])
    (path,) = directory.iterdir()
    path.unlink()
    capsys.readouterr()
    call_command("check_usage")
    said = capsys.readouterr()
    assert said.err == f"2026-05 was not checked: it is archived, and {path}: No such file or directory.\n"
    assert said.out == "The rollups equal the ledger: 1 calls, 16 grains.\n"


def test_reprice_leaves_archived_calls_out_and_says_so(org: Organization, capsys: pytest.CaptureFixture[str]) -> None:
    days = ("--from", "2026-05-01", "--to", "2026-06-30")
    call_command("reprice_usage", *days, "--reason", "a test")
    said = capsys.readouterr().out
    assert "0 records seen" in said
    assert "Archived calls keep their costs: 2026-05 left out." in said
    call_command("check_usage")


# ── It is said ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_archived_before_is_the_day_after_the_last_archived_month_of_the_period() -> None:
    aged.fill()
    assert reports.archived_before() is None
    aged.archive(MAY)
    assert reports.archived_before() == MAY
    assert reports.archived_before(Period(since=date(2026, 4, 30))) == MAY
    assert reports.archived_before(Period(since=MAY)) is None
    assert reports.archived_before(Period(until=APRIL)) == APRIL
    call_command("restore_usage", "--month", "2026-04")
    assert reports.archived_before() == APRIL


@pytest.mark.parametrize(
    ("query", "answer"), [("", "2026-06-01"), ("?from=2026-06-01", None), ("?from=2026-05-31", "2026-06-01")]
)
def test_detailed_says_before_which_day_calls_are_archived(org: Organization, query: str, answer: str | None) -> None:
    client = APIClient()
    client.force_authenticate(factories.member(org))
    found = client.get(f"/api/billing/usage/tokens/detailed{query}").json()["data"]
    assert (found["archived_before"], found["items"]) == (answer, [])


def test_the_page_says_so_below_the_list(org: Organization, client: Client, settings: Settings) -> None:
    settings.LANGUAGE_CODE = "en"
    writer.add([event(org=org)])
    client.force_login(factories.owner(org))
    said = "Calls before 1 Jun 2026 are archived"
    assert said in client.get("/usage/?from=2026-05-01").content.decode()
    assert said not in client.get("/usage/?from=2026-06-01").content.decode()


def test_the_admins_list_says_so(org: Organization, client: Client, settings: Settings) -> None:
    settings.LANGUAGE_CODE = "en"
    client.force_login(factories.superadmin())
    address = reverse("admin:usage_billing_usagerecord_changelist")
    assert "Calls before 1 Jun 2026 are archived" in client.get(address).content.decode()
    call_command("restore_usage", "--month", "2026-05")
    assert "are archived" not in client.get(address).content.decode()


def test_an_organisation_of_archived_calls_alone_is_not_deleted(org: Organization, client: Client) -> None:
    client.force_login(factories.superadmin())
    address = reverse("admin:usage_billing_organization_delete", args=[org.pk])
    client.post(address, {"post": "yes"})
    assert Organization.objects.filter(pk=org.pk).exists()
    empty = factories.organization()
    client.post(reverse("admin:usage_billing_organization_delete", args=[empty.pk]), {"post": "yes"})
    assert not Organization.objects.filter(pk=empty.pk).exists()


# ── The commands ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_archive_usage_says_what_it_did(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aged.fill()
    call_command("archive_usage", "--before", "2026-04-10", "--dry-run")
    assert capsys.readouterr().out == "2026-03: 20 calls would be archived.\n"
    assert UsageRecord.objects.count() == 3 * CALLS
    aged.archive(APRIL)
    said = capsys.readouterr().out
    assert said.startswith(f"2026-03: 20 calls, $0.000000538102, are in {directory}/token_usage-2026-03.parquet (0.")
    aged.archive(APRIL)
    assert capsys.readouterr().out == "Archived nothing: there is no call of a closed month before 2026-04-01.\n"


def test_retention_is_off_until_it_is_set(settings: Settings) -> None:
    aged.fill()
    configure(settings, RETENTION_MONTHS=None)
    with pytest.raises(CommandError, match="retention is off"):
        call_command("archive_usage")
    configure(settings, RETENTION_MONTHS=0)
    call_command("archive_usage")
    assert not UsageRecord.objects.exists()
    assert ArchiveFile.objects.count() == 3


def test_retention_keeps_so_many_months_before_the_running_one() -> None:
    from usage_billing.archive import archiving

    assert archiving.kept_since(0, datetime(2026, 7, 3, tzinfo=UTC)) == date(2026, 7, 1)
    assert archiving.kept_since(2, datetime(2026, 7, 3, tzinfo=UTC)) == MAY
    assert archiving.kept_since(12, datetime(2026, 7, 1, 1, tzinfo=UTC)) == date(2025, 6, 1)


@pytest.mark.parametrize(
    "command", [("archive_usage", "--before", "2026-06-01"), ("restore_usage", "--month", "2026-05")]
)
def test_without_pyarrow_the_commands_say_what_to_install(command: tuple[str, ...], without_pyarrow: None) -> None:
    with pytest.raises(CommandError, match="pip install 'pyarrow>=26'"):
        call_command(*command)
