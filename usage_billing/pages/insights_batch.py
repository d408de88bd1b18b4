"""Batch and flex: what the calls would have cost, had their answers been allowed to come later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from usage_billing.pages.dimensions import Dimension
from usage_billing.pages.insights_amounts import Shown
from usage_billing.pages.insights_rows import Links, calls_of_models
from usage_billing.pages.page import Page
from usage_billing.reports.batch_savings import BatchSaving, batch_saving, batch_savings_by
from usage_billing.reports.totals import Totals

ROWS = 10


@dataclass(frozen=True)
class Row:
    """Amounts in the shown currency. cost: now; in_batch: of the same calls by the Batch API."""

    name: str
    is_named: bool
    calls: int
    cost: Decimal | None
    in_batch: Decimal | None
    saved: Decimal | None
    saved_by_flex: Decimal | None
    links: Links


@dataclass(frozen=True)
class Section:
    """total: None if no call is of a model with a batch price. more: rows that are left out.

    unpriced: calls of these models that have no cost, so save nothing here.
    """

    dimension: Dimension
    total: Row | None
    rows: list[Row]
    more: int
    unpriced: int
    unpriced_links: Links


def section(page: Page, rows: Sequence[Totals], by: Dimension, shown: Shown) -> Section:
    """rows: of `reports.token_totals`."""
    total = batch_saving(rows, page.today)
    models = total.models if total else ()
    found = batch_savings_by(rows, by.columns, page.today)
    return Section(
        by,
        None if total is None else _row(total, shown, calls_of_models(page, models, rows)),
        [
            _row(
                saving,
                shown,
                calls_of_models(page, saving.models, rows, by.narrowing(key)),
                page.names.of(by, key),
                is_named=bool(key[-1]),
            )
            for key, saving in found[:ROWS]
        ],
        max(0, len(found) - ROWS),
        total.unpriced if total else 0,
        calls_of_models(page, models, rows, {"unpriced": "usd"}),
    )


def _row(saving: BatchSaving, shown: Shown, links: Links, name: str = "", *, is_named: bool = True) -> Row:
    return Row(
        name,
        is_named,
        saving.calls,
        shown.of(saving.cost_usd),
        shown.of(saving.cost_usd - saving.batch_usd),
        shown.of(saving.batch_usd),
        shown.of(saving.flex_usd),
        links,
    )
