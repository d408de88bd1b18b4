"""The providers' cache: how much of the input came from it, what that saved, and what it could save at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from usage_billing.pages.dimensions import MODEL, Dimension
from usage_billing.pages.insights_amounts import Shown
from usage_billing.pages.insights_rows import of_models
from usage_billing.pages.page import Page
from usage_billing.reports.cache_use import CacheUse, cache_use, cache_use_by
from usage_billing.reports.totals import Totals

ROWS = 8


@dataclass(frozen=True)
class Row:
    """saved, missed: in the shown currency. link: the row's calls."""

    name: str
    is_named: bool
    use: CacheUse
    saved: Decimal | None
    missed: Decimal | None
    link: str


@dataclass(frozen=True)
class Section:
    """link: the calls that `use` counts. tables: by model, and by request type or agent, and how many rows each leaves
    out."""

    use: CacheUse
    saved: Decimal | None
    missed: Decimal | None
    link: str
    tables: list[tuple[Dimension, list[Row], int]]


def section(page: Page, rows: Sequence[Totals], by: Dimension, shown: Shown) -> Section:
    """rows: of `reports.token_totals`."""
    use = cache_use(rows, page.today)
    return Section(
        use,
        shown.of(use.saved_usd),
        shown.of(use.missed_usd),
        page.calls(of_models(use.models)),
        [(dimension, *_rows(page, rows, dimension, shown)) for dimension in (MODEL, by)] if use.prompt_tokens else [],
    )


def _rows(page: Page, rows: Sequence[Totals], dimension: Dimension, shown: Shown) -> tuple[list[Row], int]:
    found = cache_use_by(rows, dimension.columns, page.today)
    shown_rows = [
        Row(
            page.names.of(dimension, key),
            bool(key[-1]),
            use,
            shown.of(use.saved_usd),
            shown.of(use.missed_usd),
            page.calls({**of_models(use.models), **dimension.narrowing(key)}),
        )
        for key, use in found[:ROWS]
    ]
    return shown_rows, max(0, len(found) - ROWS)
