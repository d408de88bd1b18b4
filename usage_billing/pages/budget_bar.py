"""The bar of a budget: what is spent, what is reserved, the limit, and a mark at each threshold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

LONGEST = Decimal(2)
"""How many times its limit a bar can be long; beyond it ends at its edge."""
WHOLE = Decimal(100)
ROOM = Decimal(14)
"""Per cent of the bar's length that the text of a mark needs."""
NEAR = Decimal("0.8")
"""From this share of the limit on a bar has the colour of a warning."""


@dataclass(frozen=True)
class Mark:
    """A threshold: its place on the bar in per cent. anchor: of its text; empty where the text has no room."""

    at: str
    share: int
    anchor: str


@dataclass(frozen=True)
class Bar:
    """Places and widths in per cent of the bar's length. kind: `good`, `warn` or `bad`. share: taken of the limit."""

    kind: str
    share: Decimal
    spent_share: Decimal
    spent: str
    reserved: str
    limit_at: str
    marks: list[Mark]


def bar(limit: Decimal, spent: Decimal, reserved: Decimal, thresholds: Iterable[int]) -> Bar:
    parts = [(Decimal(each) / WHOLE, each) for each in thresholds]
    share = (spent + reserved) / limit
    length = min(LONGEST, max(Decimal(1), share, *(part for part, _ in parts)))

    def at(part: Decimal) -> str:
        return f"{WHOLE * min(max(part, Decimal(0)) / length, Decimal(1)):.2f}"

    return Bar(
        "bad" if share >= 1 else "warn" if share >= NEAR else "good",
        share,
        spent / limit,
        at(spent / limit),
        at(reserved / limit),
        at(Decimal(1)),
        _marks([(WHOLE * part / length, each) for part, each in parts if part <= length]),
    )


def _marks(places: Iterable[tuple[Decimal, int]]) -> list[Mark]:
    """The marks, with a text where the one before it leaves room."""
    found, last = [], -ROOM
    for at, share in places:
        has_room = at - last >= ROOM
        last = at if has_room else last
        found.append(Mark(f"{at:.2f}", share, ("end" if at > WHOLE - ROOM / 2 else "middle") if has_room else ""))
    return found
