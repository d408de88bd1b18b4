"""Counts what the writer of this process meets, for `/metrics`: the drain notes it beside the outbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

IDS_KEPT_APART = "ids_kept_apart"
IN_ANOTHER_ORGANIZATION = "in_another_organization"
UNPRICED = "unpriced:"
"""Begins the names of the counts of unpriced calls, by the kind of their reason."""

counts: Counter[str] = Counter()
"""Name → how many calls since this process began."""


def count_unpriced(price_sources: Iterable[Any]) -> None:
    """Count inserted calls without a cost, by the kind of the reason (`unpriced:no-price-for`)."""
    counts.update(UNPRICED + source.removeprefix(UNPRICED).partition(":")[0] for source in price_sources)
