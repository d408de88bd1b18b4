"""Adds up the calls that leave the ledger, and those that come back, by every dimension (`ArchivedUsage`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import add, itemgetter
from typing import Any

from usage_billing.ledger.summing import measured
from usage_billing.models import ArchivedUsage, ArchiveFile
from usage_billing.models.archived_usage import KEY
from usage_billing.models.daily_usage import ROLLUP_MEASURES

_words = itemgetter(*KEY[:-1])
"""The values of the key's columns but `tags`, the last one."""


def add_calls(file: ArchiveFile, calls: Iterable[Mapping[str, Any]]) -> None:
    """Add calls, rows of `token_usage`, that are being archived into the file. In the caller's transaction."""
    _insert(file, calls, 1)


def subtract_calls(file: ArchiveFile, calls: Iterable[Mapping[str, Any]]) -> None:
    """Subtract calls of the file that are being restored. In the caller's transaction."""
    _insert(file, calls, -1)


def _insert(file: ArchiveFile, calls: Iterable[Mapping[str, Any]], sign: int) -> None:
    sums: dict[tuple[Any, ...], tuple[Any, ...]] = defaultdict(lambda: (0,) * len(ROLLUP_MEASURES))
    for call in calls:
        key = (*_words(call), tuple(sorted(call["tags"].items())))
        sums[key] = tuple(map(add, sums[key], measured(call)))
    ArchivedUsage.objects.bulk_create(
        [
            ArchivedUsage(
                file=file,
                **dict(zip(KEY, (*words, dict(tags)), strict=True)),
                **{name: sign * value for name, value in zip(ROLLUP_MEASURES, values, strict=True)},
            )
            for (*words, tags), values in sums.items()
        ]
    )
