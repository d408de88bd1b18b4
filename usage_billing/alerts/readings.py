"""What a budget or a rule says at a moment: a value, its bound, and whether it crosses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

LARGEST = Decimal(10**12) - Decimal("0.000000000001")
"""The largest number that a column for money holds."""


@dataclass(frozen=True)
class Reading:
    """value: None if it is unknown now. is_open: whether its window still runs; values of earlier windows change too,
    by imports, late records and repricing. is_news: whether a crossing begins an alert, or only keeps one going."""

    value: Decimal | None
    bound: Decimal
    crosses: bool
    is_open: bool = True
    is_news: bool = True


@dataclass(frozen=True)
class Readings:
    """by_key: what is watched → its reading. windows: first days of the windows that run; empty if keys have none.

    absent_is_below: whether a key that is not here is below its bound, because it has no or too few calls now; else
    nothing watches it.
    """

    by_key: Mapping[str, Reading]
    windows: frozenset[str] = field(default=frozenset())
    absent_is_below: bool = False

    def has_ended(self, key: str) -> bool:
        """Whether the key's window is over."""
        return bool(self.windows) and key.partition("/")[0] not in self.windows


def at_least(value: Decimal, bound: Decimal, *, is_open: bool = True) -> Reading:
    """A reading that crosses from the bound on; nothing at all never does."""
    return Reading(min(value, LARGEST), min(bound, LARGEST), value > 0 and value >= bound, is_open)


def above(value: Decimal, bound: Decimal) -> Reading:
    """A reading that crosses beyond the bound."""
    return Reading(min(value, LARGEST), min(bound, LARGEST), value > bound)
