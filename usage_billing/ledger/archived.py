"""Tells which months are archived, so that the ledger neither counts an archived call twice nor misses it in a sum.

Writers check this last in their transaction. A file is listed before its first call is removed, so a writer that finds
a call missing also finds its file listed, without a lock.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, timedelta
from typing import Any

from django.db.models import QuerySet

from usage_billing.models import ArchiveFile
from usage_billing.models.database import connection

READ_AGAIN_FOR = timedelta(days=92)
"""How long after a call its answer may still be fetched again: three times as long as OpenAI keeps responses and batch
output (30 days) and Anthropic batch results (29 days)."""


class ArchivedError(Exception):
    """Raised for an operation that needs archived calls, or an archive that another process is changing."""


class UnreadableError(Exception):
    """Raised for an archive file that is unreadable here or has changed."""


def months(since: date | None = None, until: date | None = None) -> list[date]:
    """Return the first days of archived months that overlap `since <= day < until`."""
    return [month for (month,) in listed_months(since, until)]


def listed_months(since: date | None, until: date | None) -> QuerySet[ArchiveFile, tuple[date]]:
    """Return the query of `months`, with one column."""
    files = ArchiveFile.objects.order_by("month").values_list("month").distinct()
    if since is not None:
        files = files.filter(month__gte=since.replace(day=1))
    return files if until is None else files.filter(month__lt=until)


def after(month: date) -> date:
    """Return the first day of the next month."""
    return (month + timedelta(days=31)).replace(day=1)


def expect_none(first: date, last: date) -> None:
    """Raise `ArchivedError` if calls of these days, `last` included, are archived."""
    if found := months(first, last + timedelta(days=1)):
        raise ArchivedError(
            f"Calls of {found[0]:%Y-%m} are archived, so their rollups cannot be rebuilt from the ledger. "
            f"Restore them first: `manage.py restore_usage --month {found[0]:%Y-%m}`."
        )


Finder = Callable[[ArchiveFile, Collection[str]], Iterable[tuple[int, str, str]]]
"""(file, request ids) → organisation, request id and provider of the file's calls with one of these ids."""

finders: list[Finder] = []
"""`usage_billing.archive` registers its finder here, because the ledger must not import it."""


def without_known(inserted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Delete those of the inserted rows whose call is archived. Returns the other rows.

    Only the files of a row's month are read, and of earlier months for an answer that may be fetched again. Raises
    `UnreadableError`: then the row cannot be inserted, and the drain rejects its event.
    """
    listed = months() if inserted else []
    known: set[tuple[int, str]] = set()
    for month in listed:
        if rows := [row for row in inserted if _may_be_of(month, row)]:
            known |= _known(month, rows)
    if not known:
        return list(inserted)
    with connection.cursor() as cursor:
        cursor.executemany("DELETE FROM token_usage WHERE org_id = %s AND request_id = %s", sorted(known))
    return [row for row in inserted if (row["org_id"], row["request_id"]) not in known]


def _is_read_again(row: dict[str, Any]) -> bool:
    """Return whether the same answer can come with another date: a line of a batch's output, which has no duration, or
    a response fetched by its URL."""
    return bool(row["execution_time_ms"] == 0 or _is_fetched(row))


def _is_fetched(row: dict[str, Any]) -> bool:
    return bool(row["response_metadata"].get("origin"))


def _may_be_of(month: date, row: dict[str, Any]) -> bool:
    day: date = row["usage_date"]
    since = day - READ_AGAIN_FOR if _is_read_again(row) else day
    return since < after(month) and month <= day


def _known(month: date, rows: Iterable[dict[str, Any]]) -> set[tuple[int, str]]:
    """Return organisation and request id of the rows that the month's files contain.

    An organisation may fetch a response that another one created and was charged for; another provider may use the
    same ids.
    """
    by_id: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_id[row["request_id"]].append(row)
    known: set[tuple[int, str]] = set()
    for file in ArchiveFile.objects.filter(month=month):
        for org_id, request_id, provider in _find(file, by_id):
            for row in by_id[request_id]:
                if row["org_id"] == org_id or (_is_fetched(row) and row["ai_provider"] == provider):
                    known.add((row["org_id"], request_id))
    return known


def _find(file: ArchiveFile, request_ids: Collection[str]) -> Iterable[tuple[int, str, str]]:
    if not finders:
        raise UnreadableError(
            "Calls are archived, and no reader of the archive is registered: is usage_billing installed?"
        )
    return itertools.chain.from_iterable(find(file, request_ids) for find in finders)
