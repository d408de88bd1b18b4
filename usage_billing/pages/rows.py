"""Tables of a breakdown: named rows, each with the links of its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from usage_billing.api.filters import EXCLUDES, MOST_VALUES
from usage_billing.pages.colors import color_of
from usage_billing.pages.dimensions import MODEL, Dimension
from usage_billing.pages.page import CALLS, EXPLORE, Page
from usage_billing.reports import Breakdown
from usage_billing.reports.figures import is_new
from usage_billing.reports.totals import Totals, total_of
from usage_billing.templatetags.amounts import common_places


@dataclass(frozen=True)
class Row:
    """A row of a breakdown. calls: the address of its calls; narrowed: of this page, narrowed to it.

    change: against the whole days of the previous period; calls_before: the address of its calls then.
    """

    key: tuple[Any, ...]
    name: str
    color: str
    sums: Totals
    calls: str
    calls_before: str | None
    narrowed: str
    is_named: bool = True
    second: str = ""
    change: Decimal | None = None
    is_new: bool = False


@dataclass(frozen=True)
class Panel:
    """The table of a breakdown. other: the totals of all rows that are not shown; places: decimals of its amounts.

    other_calls: the address of the calls that no shown row counts; None where no filter tells them.
    """

    dimension: Dimension
    rows: list[Row]
    other: Totals | None
    places: int
    explore: str
    other_calls: str | None


def panel(page: Page, dimension: Dimension, found: Breakdown, most: int, measures: Sequence[str]) -> Panel:
    """The first rows of a breakdown, and the sum of all others."""
    # Show a single row more rather than “all others” for it alone.
    cut = len(found.items) if len(found.items) == most + 1 and not found.other else most
    page.names.look_up_rows(dimension, found.items[:cut])
    names = Counter(item["ai_model"] for item in found.items) if dimension == MODEL else Counter[str]()
    of_several = {name for name, count in names.items() if count > 1}
    rows = [row(page, dimension, item, of_several) for item in found.items[:cut]]
    column = f"cost_{page.parameters.currency}"
    others = [*found.items[cut:], *([found.other] if found.other else [])]
    return Panel(
        dimension,
        rows,
        total_of(others, measures) if others else None,
        common_places(each.sums[column] for each in rows),
        page.to(EXPLORE, group=dimension.name),
        _calls_of_others(page, dimension, found.items[:cut], found.items[cut:]),
    )


def _calls_of_others(page: Page, dimension: Dimension, shown: Sequence[Totals], others: Sequence[Totals]) -> str | None:
    changes = excluding(page, dimension, shown, others)
    return None if changes is None else page.to(CALLS, changes)


def excluding(
    page: Page, dimension: Dimension, shown: Sequence[Totals], others: Sequence[Totals]
) -> dict[str, list[str]] | None:
    """The URL parameters that exclude the shown rows, besides what the page excludes; None where no filter can.

    Filters exclude values of one parameter at a time, so not one of two models of the same name. others: the known
    rows that must remain.
    """
    name = dimension.parameters[-1]
    excluded = dict.fromkeys(dimension.narrowing(dimension.key(row))[name] for row in shown)
    remaining = {dimension.narrowing(dimension.key(row))[name] for row in others}
    if not shown or len(excluded) > MOST_VALUES or not remaining.isdisjoint(excluded):
        return None
    given = page.parameters.given(name + EXCLUDES)
    return {name + EXCLUDES: [*dict.fromkeys((*given, *excluded))]}


def row(page: Page, dimension: Dimension, item: Totals, of_several: Collection[str] = ()) -> Row:
    """A row of the table. of_several: names of models that several providers have."""
    cost = f"cost_{page.parameters.currency}"
    key = dimension.key(item)
    narrowing = dimension.narrowing(key)
    before = page.previous_days()
    return Row(
        key=key,
        name=page.names.of(dimension, key),
        color=color_of(dimension.name, str(key[-1])),
        sums=item,
        calls=page.to(CALLS, narrowing),
        calls_before=page.to(CALLS, {**before, **narrowing}) if before else None,
        narrowed=page.link(narrowing),
        is_named=bool(key[-1]),
        second=str(item["ai_provider"]) if dimension == MODEL and item["ai_model"] in of_several else "",
        change=(item["change"] or {}).get(cost),
        is_new=item["before"] is not None and is_new(item[cost], item["before"][cost]),
    )
