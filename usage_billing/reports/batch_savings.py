"""Compute what calls would have cost by the providers' Batch API, or at the flex tier.

Rollups do not tell at which tier a call was made, and need not: the saving is what was paid beyond the batch price of
the same tokens. Of a row whose calls were partly made in batches, that is the saving on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from usage_billing.reports.figures import sent_calls
from usage_billing.reports.token_prices import BATCH, FLEX, token_prices
from usage_billing.reports.token_totals import grouped
from usage_billing.reports.totals import Totals

PROVIDERS = ("openai", "anthropic")
"""Providers whose batch prices hold for all their models of the list."""


@dataclass(frozen=True)
class BatchSaving:
    """Calls of models with a batch price: their cost now, and the part of it that batches and flex would have saved.

    unpriced: how many of the calls have no cost, so that they save nothing here; their tokens lower the saving of the
    others in their row. flex_usd: None if no model of them has a price for flex. models: (provider, model).
    """

    calls: int
    unpriced: int
    cost_usd: Decimal
    batch_usd: Decimal
    flex_usd: Decimal | None
    models: frozenset[tuple[str, str]]


def batch_saving(rows: Sequence[Totals], day: date) -> BatchSaving | None:
    """The sum over the rows by provider and model, at the list prices of that day; None if no model has a price."""
    calls, unpriced, cost, batch = 0, 0, Decimal(0), Decimal(0)
    flex: list[Decimal] = []
    models = set()
    for row in rows:
        saved = _saved(row, BATCH, day)
        if saved is None:
            continue
        calls, unpriced = calls + sent_calls(row), unpriced + row["unpriced_usd_count"]
        cost, batch = cost + (row["cost_usd"] or 0), batch + saved
        models.add((row["ai_provider"], row["ai_model"]))
        if (saved := _saved(row, FLEX, day)) is not None:
            flex.append(saved)
    if not calls:
        return None
    return BatchSaving(calls, unpriced, cost, batch, sum(flex, Decimal(0)) if flex else None, frozenset(models))


def batch_savings_by(
    rows: Sequence[Totals], columns: Sequence[str], day: date
) -> list[tuple[tuple[Any, ...], BatchSaving]]:
    """The same for each combination of the columns, the largest saving first; those that would save nothing are left
    out.
    """
    found = [(key, batch_saving(group, day)) for key, group in grouped(rows, columns).items()]
    known = [(key, saving) for key, saving in found if saving is not None and saving.batch_usd > 0]
    return sorted(known, key=lambda each: -each[1].batch_usd)


def _saved(row: Totals, tier: str, day: date) -> Decimal | None:
    """Return what was paid beyond the tier's price: at least 0, and at most the tier's discount on the list price.

    The upper bound keeps out what the tokens do not explain: tools, and prices above the list's.
    """
    if row["ai_provider"] not in PROVIDERS:
        return None
    standard = token_prices(row["ai_provider"], row["ai_model"], day)
    cheaper = token_prices(row["ai_provider"], row["ai_model"], day, tier)
    if standard is None or cheaper is None:
        return None
    paid: Decimal = row["cost_usd"] or Decimal(0)
    at_tier = cheaper.cost(row)
    return max(Decimal(0), min(paid - at_tier, standard.cost(row) - at_tier))
