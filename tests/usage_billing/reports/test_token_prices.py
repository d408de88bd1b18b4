"""Prices per token by the list: of the standard tier, of batches and of flex."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from usage_billing.reports.token_prices import BATCH, FLEX, token_prices

DAY = date(2026, 11, 18)
ROW = {
    "prompt_tokens": 1_000_000,
    "cached_tokens": 400_000,
    "cache_write_tokens": 100_000,
    "completion_tokens": 200_000,
}


def test_tokens_cost_what_the_price_list_says() -> None:
    # gpt-4.1-mini: $0.40 a million in, $0.10 cached, $1.60 out; it has no price of its own for writing to the cache.
    prices = token_prices("openai", "gpt-4.1-mini", DAY)
    assert prices is not None
    assert prices.cost(ROW) == Decimal("0.20") + Decimal("0.04") + Decimal("0.04") + Decimal("0.32")
    assert prices.saved_by_cache(ROW) == Decimal("0.4") * Decimal("0.3")
    assert prices.missed_by_cache(ROW) == Decimal("0.5") * Decimal("0.3")


def test_writing_to_the_cache_has_its_price_where_the_list_has_one() -> None:
    # Claude Haiku 4.5: $1 a million in, $0.10 cached, $1.25 written, $5 out.
    prices = token_prices("anthropic", "claude-haiku-4-5", DAY)
    assert prices is not None
    assert prices.cost(ROW) == Decimal("0.5") + Decimal("0.04") + Decimal("0.125") + Decimal(1)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-99"),
        ("openai", "text-embedding-3-small"),
        ("openai", "gpt-image-2"),
        ("openai", "gpt-realtime"),
        ("openai", "whisper-1"),
        ("nobody", "gpt-4.1"),
        ("", ""),
    ],
)
def test_what_is_not_text_or_not_known_has_no_price(provider: str, model: str) -> None:
    assert token_prices(provider, model, DAY) is None


@pytest.mark.parametrize(
    ("provider", "model", "batch", "flex"),
    [
        ("openai", "gpt-5", "0.5", "0.5"),
        ("openai", "gpt-4.1", "0.5", None),
        ("anthropic", "claude-haiku-4-5", "0.5", None),
        ("openai", "gpt-5.3", None, None),
    ],
)
def test_batch_and_flex_have_a_price_where_the_list_has_one(
    provider: str, model: str, batch: str | None, flex: str | None
) -> None:
    standard = token_prices(provider, model, DAY)
    assert standard is not None
    for tier, part in ((BATCH, batch), (FLEX, flex)):
        found = token_prices(provider, model, DAY, tier)
        assert (found and found.completion) == (part and standard.completion * Decimal(part))
