"""A database of 0.2.0 with records, migrated: nothing changes, and old processes may go on inserting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests.support import factories
from tests.support.rows import enter, row
from usage_billing.ledger import writer
from usage_billing.models import Organization, UsageRecord
from usage_billing.recording.event import ACCOUNT_COLUMNS

ADDED = (*ACCOUNT_COLUMNS.values(), "known_cost_usd")


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
    assert UsageRecord.objects.values(*ADDED).get() == {**dict.fromkeys(ADDED[:-1], ""), "known_cost_usd": None}
    # The old process knows neither the columns nor their defaults.
    record.objects.create(**values | {"request_id": "from-an-old-process"})
    assert set(UsageRecord.objects.values_list(*ADDED)) == {("", "", "", "", None)}
    enter(row(organization))
    call_command("rebuild_daily", "--from", "2026-05-20", "--to", "2026-05-20")
    call_command("check_usage")
    assert {*ADDED} <= {*writer.COLUMNS}
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM openai_api_logs")
        assert cursor.fetchone() == (3,)
