"""Tables of a breakdown: named rows, each with the links of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from usage_billing.pages.colors import color_of
from usage_billing.pages.dimensions import MODEL, Dimension
from usage_billing.pages.page import CALLS, EXPLORE, Page
from usage_billing.reports import Breakdown
from usage_billing.reports.totals import NO_CALLS, Totals, without_unknown_amounts
from usage_billing.templatetags.amounts import common_places


@dataclass(frozen=True)
class Row:
    """A row of a breakdown. calls: the address of its calls; narrowed: of this page, narrowed to it."""

    key: tuple[Any, ...]
    name: str
    color: str
    sums: Totals
    calls: str
    narrowed: str
    is_named: bool = True
    second: str = ""


@dataclass(frozen=True)
class Panel:
    """The table of a breakdown. other: the totals of all rows that are not shown; places: decimals of its amounts.

    other_calls: the address of the calls that no shown row counts.
    """

    dimension: Dimension
    rows: list[Row]
    other: Totals | None
    places: int
    explore: str
    other_calls: str


def panel(page: Page, dimension: Dimension, found: Breakdown, most: int, measures: Sequence[str]) -> Panel:
    """The first rows of a breakdown, and the sum of all others."""
    # Show a single row more rather than “all others” for it alone.
    cut = len(found.items) if len(found.items) == most + 1 and not found.other else most
    page.names.look_up_rows(dimension, found.items[:cut])
    rows = [row(page, dimension, item) for item in found.items[:cut]]
    column = f"cost_{page.parameters.currency}"
    return Panel(
        dimension,
        rows,
        together([*found.items[cut:], *([found.other] if found.other else [])], measures),
        common_places(each.sums[column] for each in rows),
        page.to(EXPLORE, group=dimension.name),
        page.to(CALLS, without(dimension, [each.key for each in rows])),
    )


def without(dimension: Dimension, keys: Sequence[tuple[Any, ...]]) -> dict[str, list[str]]:
    """The URL parameters that exclude these rows."""
    name = dimension.parameters[-1]
    return {f"{name}!": [dimension.narrowing(key)[name] for key in keys]}


def row(page: Page, dimension: Dimension, item: Totals) -> Row:
    key = dimension.key(item)
    narrowing = dimension.narrowing(key)
    return Row(
        key=key,
        name=page.names.of(dimension, key),
        color=color_of(dimension.name, str(key[-1])),
        sums=item,
        calls=page.to(CALLS, narrowing),
        narrowed=page.link(narrowing),
        is_named=bool(key[-1]),
        second=str(item["ai_provider"]) if dimension == MODEL else "",
    )


def together(rows: Sequence[Totals], measures: Sequence[str]) -> Totals | None:
    """The sum of rows; None without rows."""
    if not rows:
        return None
    return without_unknown_amounts(
        {name: sum((row[name] or 0 for row in rows), start=NO_CALLS[name]) for name in measures}
    )


def share(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    return part / whole if part is not None and whole else None
