"""Cost of tokens already used, had they gone to another model or come from the cache, by the price list."""

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

PROVIDERS = ("anthropic", "openai")
SAMPLE = 1000
"""Tokens to price: fewer than any threshold above which long prompts cost more."""
GENERAL = frozenset({"input_mtok", "output_mtok", "cache_read_mtok"})
"""Prices that a model needs to take part in a comparison: text in, text out, a cache."""
NOT_OF_TEXT = ("audio", "image", "video")


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


def token_prices(provider: str, model: str, day: date) -> TokenPrices | None:
    """List prices on that day, without surcharges for long prompts; None for models that are not text to text."""
    return _token_prices(provider, model, day, price_list.generation())


@functools.lru_cache(maxsize=1024)
def _token_prices(provider: str, model: str, day: date, _generation: int) -> TokenPrices | None:
    if not _is_of_text(provider, model, day):
        return None
    prompt = _usd(provider, model, day, input_tokens=SAMPLE)
    completion = _usd(provider, model, day, output_tokens=SAMPLE)
    if prompt is None or completion is None:
        return None
    cached = _usd(provider, model, day, input_tokens=SAMPLE, cache_read_tokens=SAMPLE)
    written = _usd(provider, model, day, input_tokens=SAMPLE, cache_write_tokens=SAMPLE)
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
    return not any(word in key for key in _keys(found, day) for word in NOT_OF_TEXT)


def _keys(model: ModelInfo, day: date) -> set[str]:
    """Names of the prices that the list has for a model."""
    prices = model.get_prices(datetime.combine(day, time(), UTC), {})
    return {key for key, value in vars(prices).items() if value is not None}


def _usd(provider: str, model: str, day: date, **tokens: int) -> Decimal | None:
    metered = Metered(lines=(Line(Usage(**tokens)),))
    usd = pricing.price(provider, model, metered, {}, at=datetime.combine(day, time(), UTC)).usd
    return usd / SAMPLE if usd is not None else None


def choices(day: date) -> tuple[tuple[str, str], ...]:
    """(provider, model) of the models to compare with; by provider, newer models first."""
    return _choices(day, price_list.generation())


@functools.lru_cache(maxsize=8)
def _choices(day: date, _generation: int) -> tuple[tuple[str, str], ...]:
    found = [
        (provider.id, model.id)
        for provider in get_snapshot().providers
        if provider.id in PROVIDERS
        for model in provider.models
        if model.context_window and _keys(model, day) >= GENERAL and token_prices(provider.id, model.id, day)
    ]
    return tuple(sorted(found, key=lambda each: (each[0], _by_age(each[1]))))


def _by_age(name: str) -> tuple[int, str]:
    """Sort key: larger numbers are newer models, so `gpt-6.1` comes before `gpt-5`, and both before `o3`."""
    digits = "".join(char if char.isdigit() else " " for char in name).split()
    number = int(digits[0]) * 100 + (int(digits[1]) if len(digits) > 1 and len(digits[1]) < 3 else 0) if digits else 0
    return (-number, name)
