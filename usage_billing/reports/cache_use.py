"""How much of the input came from the providers' cache, what that saved, and what it could have saved at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from usage_billing.reports.figures import sent_calls
from usage_billing.reports.token_prices import token_prices
from usage_billing.reports.token_totals import grouped
from usage_billing.reports.totals import Totals

CACHEABLE_FROM = 1024
"""OpenAI, Prompt caching: prompts of 1,024 tokens or more. Anthropic, Prompt caching: 1,024 for many models, more for
some."""


@dataclass(frozen=True)
class CacheUse:
    """prompt_tokens: of which `cached_tokens` came from the cache. saved_usd: by them.

    missed_usd: the most that the cache could have saved besides: as if every other input token had come from it.
    models: (provider, model) of the counted calls.
    """

    calls: int
    prompt_tokens: int
    cached_tokens: int
    saved_usd: Decimal
    missed_usd: Decimal
    models: frozenset[tuple[str, str]]

    @property
    def share(self) -> Decimal | None:
        """The cached part of the input, 0 to 1; None without input."""
        return Decimal(self.cached_tokens) / self.prompt_tokens if self.prompt_tokens else None

    @property
    def tokens_per_call(self) -> int:
        return round(self.prompt_tokens / self.calls) if self.calls else 0

    @property
    def is_too_short(self) -> bool:
        """Whether the average prompt is too short for the cache."""
        return self.tokens_per_call < CACHEABLE_FROM


def cache_use(rows: Sequence[Totals], day: date) -> CacheUse:
    """The sum over the rows by provider and model, at the list prices of that day; models without one are left out."""
    saved = missed = Decimal(0)
    calls = prompt = cached = 0
    models = set()
    for row in rows:
        prices = token_prices(row["ai_provider"], row["ai_model"], day)
        if prices is None:
            continue
        models.add((row["ai_provider"], row["ai_model"]))
        calls += sent_calls(row)
        prompt, cached = prompt + row["prompt_tokens"], cached + row["cached_tokens"]
        saved += prices.saved_by_cache(row)
        missed += prices.missed_by_cache(row)
    return CacheUse(calls, prompt, cached, saved, missed, frozenset(models))


def cache_use_by(rows: Sequence[Totals], columns: Sequence[str], day: date) -> list[tuple[tuple[Any, ...], CacheUse]]:
    """The same for each combination of the columns; those that missed the most come first."""
    found = [(key, cache_use(group, day)) for key, group in grouped(rows, columns).items()]
    return sorted(((key, use) for key, use in found if use.prompt_tokens), key=lambda each: -each[1].missed_usd)
