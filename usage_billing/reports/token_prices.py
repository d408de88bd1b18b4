"""USD per token of a model by the price list, to work out what tokens already used would have cost otherwise."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from genai_prices import Usage
from genai_prices.types import ModelInfo

from usage_billing.costing import price_list, pricing
from usage_billing.costing.metering import Line, Metered
from usage_billing.costing.price_list import get_snapshot

SAMPLE = 1000
"""Tokens to price: fewer than any threshold above which long prompts cost more."""
NOT_OF_TEXT = ("audio", "image", "video")
BATCH, FLEX = "batch", "flex"
"""Service tiers that cost less than the standard one, where the price list has a price for them."""


@dataclass(frozen=True)
class TokenPrices:
    """USD per token. `prompt` is for tokens neither read from the cache nor written to it."""

    prompt: Decimal
    cached: Decimal
    cache_write: Decimal
    completion: Decimal

    def cost(self, row: Mapping[str, Any]) -> Decimal:
        """USD for the tokens of a row of totals, whose `prompt_tokens` include cached and cache-written tokens."""
        return (
            uncached_tokens(row) * self.prompt
            + int(row["cached_tokens"]) * self.cached
            + int(row["cache_write_tokens"]) * self.cache_write
            + int(row["completion_tokens"]) * self.completion
        )

    def saved_by_cache(self, row: Mapping[str, Any]) -> Decimal:
        return int(row["cached_tokens"]) * (self.prompt - self.cached)

    def missed_by_cache(self, row: Mapping[str, Any]) -> Decimal:
        """The most that could have been saved: as if every uncached prompt token had come from the cache."""
        return uncached_tokens(row) * (self.prompt - self.cached)


def uncached_tokens(row: Mapping[str, Any]) -> int:
    return int(row["prompt_tokens"] - row["cached_tokens"] - row["cache_write_tokens"])


def token_prices(provider: str, model: str, day: date, tier: str = "") -> TokenPrices | None:
    """List prices on that day, without surcharges for long prompts; None for models that are not text to text.

    tier: `BATCH`, `FLEX`, or empty for the standard one. None if the list has no price for it.
    """
    return _token_prices(provider, model, day, tier, price_list.generation())


@functools.lru_cache(maxsize=4096)
def _token_prices(provider: str, model: str, day: date, tier: str, _generation: int) -> TokenPrices | None:
    if not _is_of_text(provider, model, day):
        return None
    usd = functools.partial(_usd, provider, model, day, tier)
    prompt, completion = usd(input_tokens=SAMPLE), usd(output_tokens=SAMPLE)
    if prompt is None or completion is None:
        return None
    cached = usd(input_tokens=SAMPLE, cache_read_tokens=SAMPLE)
    written = usd(input_tokens=SAMPLE, cache_write_tokens=SAMPLE)
    return TokenPrices(
        prompt=prompt,
        cached=prompt if cached is None else cached,
        cache_write=prompt if written is None else written,
        completion=completion,
    )


def _is_of_text(provider: str, model: str, day: date) -> bool:
    try:
        found = get_snapshot().find_provider_model(model, None, provider, None)[1]
    except LookupError:
        return False
    return not any(word in key for key in price_keys(found, day) for word in NOT_OF_TEXT)


def price_keys(model: ModelInfo, day: date) -> set[str]:
    """Names of the prices that the list has for a model."""
    prices = model.get_prices(datetime.combine(day, time(), UTC), {})
    return {key for key, value in vars(prices).items() if value is not None}


def _usd(provider: str, model: str, day: date, tier: str, **tokens: int) -> Decimal | None:
    metered = Metered(lines=(Line(Usage(**tokens)),))
    context = {"service_tier": tier} if tier else {}
    usd = pricing.price(provider, model, metered, context, at=datetime.combine(day, time(), UTC)).usd
    return usd / SAMPLE if usd is not None else None
