"""Adds up the calls that leave the ledger, and those that come back, by every dimension (`ArchivedUsage`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import add, itemgetter
from typing import Any

from usage_billing.ledger import rollup
from usage_billing.models import ArchivedUsage, ArchiveFile
from usage_billing.models.archived_usage import KEY
from usage_billing.models.daily_usage import MEASURES

_key = itemgetter(*KEY)
_summed = itemgetter(*rollup.SUMMED)


def add_calls(file: ArchiveFile, calls: Iterable[Mapping[str, Any]]) -> None:
    """Add calls, rows of `token_usage`, that are being archived into the file. In the caller's transaction."""
    _insert(file, calls, 1)


def subtract_calls(file: ArchiveFile, calls: Iterable[Mapping[str, Any]]) -> None:
    """Subtract calls of the file that are being restored. In the caller's transaction."""
    _insert(file, calls, -1)


def _insert(file: ArchiveFile, calls: Iterable[Mapping[str, Any]], sign: int) -> None:
    sums: dict[tuple[Any, ...], tuple[Any, ...]] = defaultdict(lambda: (0,) * len(MEASURES))
    for call in calls:
        usd, rub = call["cost_usd"], call["cost_rub"]
        counts = 1, int(call["status"] == "failed"), int(usd is None), int(rub is None)
        key = _key(call)
        sums[key] = tuple(map(add, sums[key], (*counts, *(value or 0 for value in _summed(call)))))
    ArchivedUsage.objects.bulk_create(
        [
            ArchivedUsage(
                file=file,
                **dict(zip(KEY, key, strict=True)),
                **{name: sign * value for name, value in zip(MEASURES, values, strict=True)},
            )
            for key, values in sums.items()
        ]
    )
