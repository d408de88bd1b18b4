"""Cost of tokens already used, had they gone to another model, by the price list."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from usage_billing.costing import price_list
from usage_billing.costing.price_list import get_snapshot
from usage_billing.reports.figures import sent_calls
from usage_billing.reports.token_prices import price_keys, token_prices
from usage_billing.reports.totals import Totals

PROVIDERS = ("anthropic", "openai")
GENERAL = frozenset({"input_mtok", "output_mtok", "cache_read_mtok"})
"""Prices that a model needs to take part in a comparison: text in, text out, a cache."""

Model = tuple[str, str]
"""Provider and model."""


@dataclass(frozen=True)
class ComparedModel:
    """The same tokens on one model: USD, and how much more that is than was paid, 0.25 for a quarter more."""

    model: Model
    usd: Decimal
    difference: Decimal | None


@dataclass(frozen=True)
class ModelComparison:
    """paid_usd: for the compared tokens, of `calls` calls. rows: cheapest first.

    unpriced: how many of the calls have tokens that are compared, and a cost that is unknown, so not in `paid_usd`.
    models: the models of the compared calls. left_out: calls of models that are not text to text, or lack a list price.
    """

    paid_usd: Decimal
    calls: int
    unpriced: int
    left_out: int
    models: frozenset[Model]
    rows: list[ComparedModel]


def compare_models(rows: Sequence[Totals], candidates: Sequence[Model], day: date) -> ModelComparison:
    """Cost of the tokens of these rows, which have provider and model, on each candidate that has a list price."""
    compared = [
        row
        for row in rows
        if row["cost_usd"] is not None and token_prices(row["ai_provider"], row["ai_model"], day) is not None
    ]
    paid = sum((row["cost_usd"] for row in compared), Decimal(0))
    found = []
    for model in dict.fromkeys(candidates) if compared else ():
        prices = token_prices(*model, day)
        if prices is not None:
            usd = sum((prices.cost(row) for row in compared), Decimal(0))
            found.append(ComparedModel(model, usd, usd / paid - 1 if paid else None))
    calls = sum(map(sent_calls, compared))
    return ModelComparison(
        paid_usd=paid,
        calls=calls,
        unpriced=sum(row["unpriced_usd_count"] for row in compared),
        left_out=sum(map(sent_calls, rows)) - calls,
        models=frozenset((row["ai_provider"], row["ai_model"]) for row in compared),
        rows=sorted(found, key=lambda each: each.usd),
    )


def choices(day: date) -> tuple[Model, ...]:
    """The models to compare with; by provider, newer models first."""
    return _choices(day, price_list.generation())


@functools.lru_cache(maxsize=8)
def _choices(day: date, _generation: int) -> tuple[Model, ...]:
    found = [
        (provider.id, model.id)
        for provider in get_snapshot().providers
        if provider.id in PROVIDERS
        for model in provider.models
        if model.context_window and price_keys(model, day) >= GENERAL and token_prices(provider.id, model.id, day)
    ]
    return tuple(sorted(found, key=lambda each: (each[0], _by_age(each[1]))))


def _by_age(name: str) -> tuple[int, str]:
    """Sort key: larger numbers are newer models, so `gpt-6.1` comes before `gpt-5`, and both before `o3`."""
    digits = re.findall(r"\d+(?!\d*b)", name)  # the 20b of an open model is its size
    number = int(digits[0]) * 100 + (int(digits[1]) if len(digits) > 1 and len(digits[1]) < 3 else 0) if digits else 0
    return (-number, name)
