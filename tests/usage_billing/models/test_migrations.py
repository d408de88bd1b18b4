"""A database of 0.2.0 with records, migrated: nothing changes, and old processes may go on inserting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from pytest_django import Settings

from tests.support import aged, factories
from tests.support.rows import enter, row
from usage_billing.ledger import writer
from usage_billing.models import ArchiveFile, DailyTagUsage, DailyUsage, Organization, UsageRecord
from usage_billing.models.daily_usage import DIMENSIONS
from usage_billing.models.durations import DURATION_COUNTS
from usage_billing.recording.event import ACCOUNT_COLUMNS

ADDED = (*ACCOUNT_COLUMNS.values(), "known_cost_usd", "tags")

UNKNOWN: dict[str, Any] = {**dict.fromkeys(ADDED[:-2], ""), "known_cost_usd": None, "tags": {}}


@pytest.fixture
def at_0_2_0(transactional_db: None) -> Iterator[Any]:
    """Migrate back to 0.2.0's tables, and afterwards forward again. Returns the executor's apps of 0.2.0."""
    factories.organization("Acme")
    call_command("migrate", "usage_billing", "0002", verbosity=0)
    yield MigrationExecutor(connection).loader.project_state([("usage_billing", "0002_postgresql")]).apps
    call_command("migrate", verbosity=0)


def columns() -> set[str]:
    with connection.cursor() as cursor:
        return {column.name for column in connection.introspection.get_table_description(cursor, "token_usage")}


def test_records_of_0_2_0_stay_and_processes_of_0_2_0_go_on_inserting(at_0_2_0: Any) -> None:
    record, organization = at_0_2_0.get_model("usage_billing", "UsageRecord"), Organization.objects.get()
    assert not columns() & {*ADDED}
    values = {name: value for name, value in row(organization).items() if name not in ADDED}
    record.objects.create(**values)
    before = list(record.objects.values(*values))
    call_command("migrate", verbosity=0)
    assert columns() >= {*ADDED}
    assert list(record.objects.values(*values)) == before
    assert UsageRecord.objects.values(*ADDED).get() == UNKNOWN
    # The old process knows neither the columns nor their defaults.
    record.objects.create(**values | {"request_id": "from-an-old-process"})
    assert list(UsageRecord.objects.values(*ADDED)) == [UNKNOWN, UNKNOWN]
    enter(row(organization))
    call_command("rebuild_daily", "--from", "2026-05-20", "--to", "2026-05-20")
    call_command("check_usage")
    assert {*ADDED} <= {*writer.COLUMNS}
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM openai_api_logs")
        assert cursor.fetchone() == (3,)


@pytest.fixture
def forward_again(transactional_db: None) -> Iterator[None]:
    yield
    call_command("migrate", verbosity=0)


@pytest.mark.usefixtures("forward_again")
def test_rollups_get_the_durations_of_calls_in_the_ledger(settings: Settings, tmp_path: Path) -> None:
    aged.use(settings, tmp_path)
    # Earlier versions know no calls that a budget stopped.
    aged.fill(status="succeeded")
    UsageRecord.objects.update(tags={})
    DailyTagUsage.objects.all().delete()
    aged.archive(before=aged.MAY)
    counts = ("grain", "usage_date", *DIMENSIONS, *DURATION_COUNTS)
    before = list(DailyUsage.objects.order_by("pk").values(*counts))
    assert sum(row["time_le_1280"] for row in before if row["usage_date"] < aged.MAY)
    assert sum(row["time_le_5120"] for row in before if row["usage_date"] >= aged.MAY)

    call_command("migrate", "usage_billing", "0005", verbosity=0)
    call_command("migrate", verbosity=0)

    unknown = dict.fromkeys(DURATION_COUNTS, 0)
    assert list(DailyUsage.objects.order_by("pk").values(*counts)) == [
        row if row["usage_date"] >= aged.MAY else row | unknown for row in before
    ]
    assert not ArchiveFile.objects.filter(has_durations=True).exists()
    call_command("check_usage")
    call_command("restore_usage", "--month", "2026-04")
    call_command("check_usage")
