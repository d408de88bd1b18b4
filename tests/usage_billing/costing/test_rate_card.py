"""`amounts` adds up to what genai-prices itself calculates."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice
from hypothesis import given, settings
from hypothesis import strategies as st

from usage_billing.costing.rate_card import ContradictionError, amounts, prices_of

AT = datetime(2026, 11, 18, 12, tzinfo=UTC)
MODELS = [model for name in ("openai", "anthropic") for model in get_snapshot().find_provider(None, name, None).models]
UNITS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "output_reasoning_tokens",
    "web_searches",
    "audio_seconds",
)
NUMBERS = st.one_of(st.integers(0, 400_000), st.integers(0, 5), st.floats(0, 1000))


def of_the_library(price: ModelPrice, usage: Usage) -> Decimal | None:
    """Return the sum; None if the library refuses the usage."""
    try:
        return price.calc_price(usage)["total_price"]
    except ValueError:
        return None


def ours(price: ModelPrice, usage: Usage) -> Decimal | None:
    try:
        return sum(amounts(prices_of(price), usage, Decimal(1)).values(), Decimal(0))
    except ContradictionError:
        return None


@given(model=st.sampled_from(MODELS), units=st.dictionaries(st.sampled_from(UNITS), NUMBERS, max_size=6))
@settings(max_examples=500)
def test_any_usage_of_any_model_costs_what_the_library_says(model: ModelInfo, units: dict[str, Any]) -> None:
    price, usage = model.get_prices(AT), Usage(**units)
    assert ours(price, usage) == of_the_library(price, usage)


@pytest.mark.parametrize("tokens", [199_999, 200_000, 200_001, 272_001])
def test_a_price_that_rises_with_the_prompt(tokens: int) -> None:
    rising = [
        (model.get_prices(AT), Usage(input_tokens=tokens, output_tokens=10))
        for model in MODELS
        if any(hasattr(value, "tiers") for value in vars(model.get_prices(AT)).values())
    ]
    assert rising
    assert [ours(*each) for each in rising] == [of_the_library(*each) for each in rising]


def test_how_much_audio_was_cached_must_be_told_where_it_has_a_price_of_its_own() -> None:
    model = next(model for model in MODELS if model.id == "gpt-realtime")
    usage = Usage(input_tokens=2, cache_read_tokens=1, input_audio_tokens=1)
    with pytest.raises(ContradictionError):
        amounts(prices_of(model.get_prices(AT)), usage, Decimal(1))
    usage.cache_audio_read_tokens = 0
    # 1 × 0.40 + 1 × 32 USD per million
    assert sum(amounts(prices_of(model.get_prices(AT)), usage, Decimal(1)).values()) == Decimal("0.0000324")
