"""Adds up the calls that leave the ledger, and those that come back, by every dimension (`ArchivedUsage`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import date
from typing import Any

from usage_billing.ledger import rollup
from usage_billing.models import ArchivedUsage, ArchiveFile, UsageRecord
from usage_billing.models.archived_usage import KEY
from usage_billing.models.daily_usage import ROLLUP_MEASURES
from usage_billing.models.database import connection


def add_calls(file: ArchiveFile, ids: Sequence[int]) -> None:
    """Add the ledger's calls with these ids, which are being archived into the file. In the caller's transaction."""
    _insert(file, ids, "")


def subtract_calls(file: ArchiveFile, ids: Sequence[int]) -> None:
    """Subtract calls of the file that have been restored. In the caller's transaction."""
    _insert(file, ids, "-")


def delete_days(file: ArchiveFile, days: Collection[date]) -> None:
    """Delete the sums of days whose calls are all restored: quicker than subtracting them."""
    ArchivedUsage.objects.filter(file=file, usage_date__in=days).delete()


def _insert(file: ArchiveFile, ids: Sequence[int], sign: str) -> None:
    """Let the database sum the calls up: 7 µs a call, against 100 in Python."""
    key, measures = ", ".join(KEY), ", ".join(ROLLUP_MEASURES)
    sums = ", ".join(f"{sign}{sql}" for sql in rollup.measures_sql(connection.vendor))
    calls, table = UsageRecord._meta.db_table, ArchivedUsage._meta.db_table
    given: tuple[str, Any] = ("id = ANY(%s)", [*ids])
    if connection.vendor == "sqlite":
        given = ("id IN (SELECT value FROM json_each(%s))", json.dumps([*ids]))
    found, values = given
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (file_id, {key}, {measures})"  # noqa: S608 - our own names
            f" SELECT %s, {key}, {sums} FROM {calls} WHERE {found} GROUP BY {key}",
            [file.pk, values],
        )
