"""What the rest of the house must know of the archive: calls whose month is in files and not in the ledger any more.

Who changes the ledger looks here last, in the same transaction: a file is on the list before its first call is
removed, so a change that found a call missing finds the file listed too, and no lock is needed between the two.
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
"""How long after a call its answer may be fetched once more, as if new: three times as long as OpenAI keeps responses
and the output of batches (30 days) and Anthropic a batch's results (29)."""


class ArchivedError(Exception):
    """What is asked for needs calls that are archived."""


class UnreadableError(Exception):
    """A file of the archive cannot be read here, or is not what it was."""


def months(since: date | None = None, until: date | None = None) -> list[date]:
    """The first days of the months of which calls are archived, as far as they reach into `since <= day < until`."""
    return [month for (month,) in listed_months(since, until)]


def listed_months(since: date | None, until: date | None) -> QuerySet[ArchiveFile, tuple[date]]:
    """Their query, one column."""
    files = ArchiveFile.objects.order_by("month").values_list("month").distinct()
    if since is not None:
        files = files.filter(month__gte=since.replace(day=1))
    return files if until is None else files.filter(month__lt=until)


def after(month: date) -> date:
    """The first day of the next month."""
    return (month + timedelta(days=31)).replace(day=1)


def expect_none(first: date, last: date) -> None:
    """Raises `ArchivedError` if calls of these days, `last` included, are archived."""
    if found := months(first, last + timedelta(days=1)):
        raise ArchivedError(
            f"Calls of {found[0]:%Y-%m} are archived, so their totals cannot be made from the ledger. "
            f"`manage.py restore_usage --month {found[0]:%Y-%m}` brings them back."
        )


Finder = Callable[[ArchiveFile, Collection[str]], Iterable[tuple[int, str, str]]]
"""Organisation, request id and provider of the calls in a file that have one of these request ids."""

finders: list[Finder] = []
"""`usage_billing.archive` registers its own here, so that the ledger does not import it."""


# ── None is counted twice ────────────────────────────────────────────────────────────────────────────────────────


def without_known(inserted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of `token_usage` just inserted, but for those that are archived: these are taken out again.

    Looks into files only for calls of an archived month, and for answers that were fetched again; files of any other
    month cannot have them. Raises `UnreadableError`: then nothing may be entered, and the drain sets the call aside.
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
    """Whether the same answer can come with another date: a line of a batch's output, which takes no time of its own,
    or a response that was begun by somebody else and fetched by its address."""
    return bool(row["execution_time_ms"] == 0 or _is_fetched(row))


def _is_fetched(row: dict[str, Any]) -> bool:
    return bool(row["endpoint"].endswith(f"/{row['request_id']}"))


def _may_be_of(month: date, row: dict[str, Any]) -> bool:
    day: date = row["usage_date"]
    since = day - READ_AGAIN_FOR if _is_read_again(row) else day
    return since < after(month) and month <= day


def _known(month: date, rows: Iterable[dict[str, Any]]) -> set[tuple[int, str]]:
    """Organisation and request id of those of the rows that the month's files have.

    Who fetches a response may be another organisation than the one that began it, and was charged; another provider
    may use the same ids.
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
