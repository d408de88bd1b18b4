"""A ledger of three closed months, for tests of the archive."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management import call_command
from pytest_django import Settings

from tests.support import factories
from tests.support.configure import configure
from tests.support.rows import enter, row
from usage_billing import reports
from usage_billing.archive import parquet, storage
from usage_billing.conf import conf
from usage_billing.models import ArchiveFile, DailyTagUsage, DailyUsage, Organization, UsageRecord
from usage_billing.tenancy.scope import EVERYTHING

MARCH, APRIL, MAY, JUNE = (date(2026, month, 1) for month in (3, 4, 5, 6))
CALLS = 20
"""The number of calls per month that `fill` creates."""


def fill() -> list[Organization]:
    """Create two organisations with ten calls each in March, April and May. No column has the same value everywhere."""
    orgs = [factories.organization("East", "Asia/Vladivostok"), factories.organization("West", "America/New_York")]
    calls: list[dict[str, Any]] = []
    for month in (MARCH, APRIL, MAY):
        # In UTC, the start of an organisation's month falls in another month.
        begins = [datetime(month.year, month.month, 1, tzinfo=org.zone) for org in orgs]
        for number in range(CALLS // 2):
            for org, at in zip(orgs, begins, strict=True):
                calls.append(row(org, **_columns(number), created_at=(at + timedelta(days=3 * number)).astimezone(UTC)))
    enter(*calls)
    return orgs


def _columns(number: int) -> dict[str, Any]:
    unpriced = number % 4 == 3
    return {
        "user_id": number % 3 or None,
        "content_id": "post" if number % 2 else None,
        "agent_id": f"agent {number % 2}",
        "ai_model": f"model {number % 3}",
        "prompt_tokens": 100 + number,
        "usage": {"prompt_tokens": 100 + number, "вложено": {"глубоко": [1, 2.5, None, True]}},
        "cost_usd": None if unpriced else Decimal("0.000000006257") * (number + 1),
        "cost_rub": None if unpriced else Decimal("0.000000501") * (number + 1),
        "price_source": "unpriced:unknown-model" if unpriced else "test",
        "usd_rub_rate": Decimal("80.0712"),
        "status": {3: "refused", 4: "failed"}.get(number % 5, "succeeded"),
        "request_metadata": {"participant_id": f"{number}"},
        "execution_time_ms": 400 * number,
        "tags": {"feature": f"feature {number % 3}", "среда": "тест"} if number % 2 else {},
    }


def calls(**lookup: Any) -> list[dict[str, Any]]:
    return [dict(call) for call in UsageRecord.objects.filter(**lookup).order_by("id").values()]


def totals() -> list[dict[str, Any]]:
    rows = [*DailyUsage.objects.values(), *DailyTagUsage.objects.values()]
    return sorted(map(dict, rows), key=str)


def by_content() -> list[Any]:
    """Return the totals by content, which no rollup keeps."""
    return reports.totals(EVERYTHING, by=["content_id"])


def in_files() -> list[int]:
    """Return the ids of the calls in listed files, without void rows."""
    found: list[int] = []
    for file in ArchiveFile.objects.all():
        for table in parquet.read(storage.path_of(file)):
            found += parquet.unchanged(table, file)["id"].to_pylist()
    return sorted(found)


def archive(before: date = JUNE) -> None:
    call_command("archive_usage", "--before", str(before), "--by", "anna")


def use(settings: Settings, tmp_path: Path) -> Path:
    """Set and return the archive's directory for this test."""
    configure(settings, ARCHIVE_DIR=str(tmp_path / "archive"))
    return Path(conf.ARCHIVE_DIR)
