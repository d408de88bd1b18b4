"""Corrections of the price list: valid entries, each needed still, and the costs that they give."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from genai_prices.types import TieredPrices
from genai_prices.units import _get_registry

from usage_billing.costing import corrections, model_names, pricing
from usage_billing.costing.corrections import Correction
from usage_billing.costing.metering import meter
from usage_billing.recording.event import Flavour

NOVEMBER = datetime(2026, 11, 28, tzinfo=UTC)
ALL = pytest.mark.parametrize("correction", corrections.load(), ids=lambda each: each.id)


@ALL
def test_entry_is_sound_and_says_where_it_comes_from(correction: Correction) -> None:
    assert correction.models
    assert correction.source
    assert correction.upstream
    assert correction.url.startswith("https://")
    assert bool(correction.prices) is (correction.factor is None)
    assert correction.prices.keys() <= _get_registry()._all_price_keys
    for price in correction.prices.values():
        assert (price.base if isinstance(price, TieredPrices) else price) > 0
    if correction.first and correction.end:
        assert correction.first < correction.end


def listed(correction: Correction, model: str, at: datetime) -> dict[str, Any]:
    """Return what the price list itself says for the correction's keys, at that moment."""
    found = model_names.find(correction.provider, model)
    if found is None or not pricing._is_priced(*found, correction.when, at):
        return {}
    return vars(found[1].get_prices(at, correction.when))


@ALL
def test_correction_is_still_needed(correction: Correction) -> None:
    """Delete the entry when this fails: the price list has caught up with it."""
    day = correction.end or correction.read_on
    at = datetime.combine(day, time(), UTC) if correction.end is None else datetime(2026, 10, 13, tzinfo=UTC)
    for model in correction.models:
        known = listed(correction, "claude-sonnet-5-5" if model == "*" else model, at)
        if correction.factor is not None:
            assert not known, f"{correction.id}: the price list has a price for {correction.when}"
        else:
            assert any(known.get(key) != price for key, price in correction.prices.items()), correction.id


def priced(
    provider: str,
    flavour: Flavour,
    model: str,
    usage: dict[str, Any],
    said: dict[str, str] | None = None,
    at: datetime = NOVEMBER,
) -> pricing.Price:
    return pricing.price(provider, model, meter(flavour, usage), pricing.context_of(said or {}, usage), at=at)


def heard(audio: int, out: int) -> dict[str, Any]:
    details = {"text_tokens": 0, "audio_tokens": audio}
    return {"input_tokens": audio, "output_tokens": out, "total_tokens": audio + out, "input_token_details": details}


def response(prompt: int, out: int, cached: int = 0, written: int = 0, longer: int = 0, **more: Any) -> dict[str, Any]:
    lifetimes = {"ttl_12h_tokens": longer, "ttl_30m_tokens": written - longer}
    details = {"cached_tokens": cached, "cache_write_tokens": written, "cache_write_tokens_details": lifetimes}
    total = {"total_tokens": prompt + out, "input_tokens_details": details}
    return {"input_tokens": prompt, "output_tokens": out, **total, **more}


MESSAGE = {"input_tokens": 1000, "output_tokens": 100, "cache_read_input_tokens": 1000}


# The comments work out each amount: tokens × USD per million tokens.
@pytest.mark.parametrize(
    ("provider", "flavour", "model", "usage", "said", "usd"),
    [
        # OpenAI, Pricing, Transcription models: 64 × 2.50 + 225 × 10; mini: 64 × 1.25 + 225 × 5
        ("openai", "transcription", "gpt-4o-transcribe", heard(64, 225), {}, "0.00241"),
        ("openai", "transcription", "gpt-4o-mini-transcribe", heard(64, 225), {}, "0.001205"),
        # OpenAI, Pricing, Specialized models, Batch
        ("openai", "embeddings", "text-embedding-3-small", {"prompt_tokens": 10**6}, {"processing": "batch"}, "0.01"),
        ("openai", "embeddings", "text-embedding-3-large", {"prompt_tokens": 10**6}, {"processing": "batch"}, "0.065"),
        ("openai", "embeddings", "text-embedding-ada-002", {"prompt_tokens": 10**6}, {"processing": "batch"}, "0.05"),
        # OpenAI, Ultrafast mode: 30,000 × 60 + 60,000 × 6 + 10,000 × 75 + 1000 × 300
        (
            "openai",
            "responses",
            "gpt-6-astra",
            response(100_000, 1000, cached=60_000, written=10_000),
            {"service_tier": "ultrafast"},
            "3.21",
        ),
        # OpenAI, GPT-6.1 Terra: 50,000 × 1 + 30,000 × 1.25 + 20,000 × 2.50 + 1000 × 5
        ("openai", "responses", "gpt-6.1-terra", response(100_000, 1000, written=50_000, longer=20_000), {}, "0.1425"),
        # OpenAI, Pricing, Tools: 328 × 2 + 100 × 8, and 25 USD a thousand searches
        (
            "openai",
            "responses",
            "gpt-4.1",
            response(328, 100, units={"web_searches": 2}),
            {"search": "preview"},
            "0.051456",
        ),
        # … and 10 USD on models that reason, also behind a gateway: 1000 × 0.25 + 100 × 2
        (
            "openai",
            "responses",
            "openai/gpt-5-mini",
            response(1000, 100, units={"web_searches": 1}),
            {"search": "preview"},
            "0.01045",
        ),
        # OpenAI, Decisions: input at 0.10, cached or not; output is free
        ("openai-decisions", "decisions", "gpt-6-luna", response(5000, 10), {}, "0.0005"),
        ("openai-decisions", "decisions", "gpt-6-luna", response(5000, 10, cached=4000), {}, "0.0005"),
        # Anthropic, Pricing, Model pricing: 1000 × 10 + 1000 × 1 (5.1: 0.25) + 100 × 50
        ("anthropic", "messages", "claude-mythos-5", MESSAGE, {}, "0.016"),
        ("anthropic", "messages", "claude-mythos-5-1", MESSAGE, {}, "0.01525"),
        ("openai", "messages", "anthropic/claude-mythos-5", MESSAGE, {}, "0.016"),
        ("anthropic", "messages", "claude-mythos-5-1-20260901", MESSAGE, {"processing": "batch"}, "0.007625"),
    ],
)
def test_corrected_cost(
    provider: str, flavour: Flavour, model: str, usage: dict[str, Any], said: dict[str, str], usd: str
) -> None:
    assert priced(provider, flavour, model, usage, said).usd == Decimal(usd)


def test_source_names_the_correction_only_where_it_was_used() -> None:
    plain = priced("openai", "responses", "gpt-6.1-terra", response(1000, 100))
    longer = priced("openai", "responses", "gpt-6.1-terra", response(1000, 100, written=500, longer=500))
    assert "correction" not in plain.source
    assert longer.source.endswith("openai/gpt-6.1-terra + correction:gpt-6-1-terra-12-hour-writes")


def test_correction_holds_from_its_first_day_on() -> None:
    """OpenAI, Pricing, Transcription and speech generation, on 7 February 2026: audio tokens at 6 USD."""
    early = priced("openai", "transcription", "gpt-4o-transcribe", heard(64, 225), at=datetime(2026, 2, 7, tzinfo=UTC))
    assert early.usd == Decimal("0.002634")


def test_longer_cache_writes_without_a_price_are_unknown() -> None:
    price = priced("openai", "responses", "gpt-6.1-sol", response(100_000, 1000, written=50_000, longer=20_000))
    # The rest is known: 50,000 × 2 + 30,000 × 2.50 + 1000 × 10
    assert (price.usd, price.source) == (None, "unpriced:no-price-for:cache_write_12h_tokens")
    assert price.known_usd == Decimal("0.185")


@pytest.mark.parametrize("tier", ["ultrafast", "flex"])
def test_a_correction_is_for_its_own_context_alone(tier: str) -> None:
    usage = response(1000, 100, written=500, longer=500)
    price = priced("openai", "responses", "gpt-6.1-terra", usage, {"service_tier": tier})
    assert price.usd is None


def test_override_precedes_a_correction() -> None:
    class Everything:
        def find(self, *_: Any) -> tuple[Any, str]:
            found = model_names.find("openai", "gpt-4.1")
            assert found is not None
            return found[1].get_prices(NOVEMBER), "override:1"

    usage = response(1000, 100)
    metered = meter("responses", usage)
    price = pricing.price("anthropic", "claude-mythos-5", metered, {}, at=NOVEMBER, overrides=Everything())  # type: ignore[arg-type]
    assert (price.usd, price.source) == (Decimal("0.0028"), "override:1")
