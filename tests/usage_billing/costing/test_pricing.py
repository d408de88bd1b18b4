"""Usage + model + moment → USD; an unknown price stays unknown."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.support.factories import chat_usage
from usage_billing.costing import pricing
from usage_billing.costing.metering import meter
from usage_billing.costing.pricing import Price
from usage_billing.recording.event import Flavour

AT = datetime(2026, 11, 18, tzinfo=UTC)
OPENAI, ANTHROPIC = "openai", "anthropic"


def priced(
    provider: str, flavour: Flavour, model: str, block: Any, said: dict[str, str] | None = None, at: datetime = AT
) -> Price:
    context = pricing.context_of(said or {}, block)
    return pricing.price(provider, model, meter(flavour, block), context, at=at)


def message_usage(**fields: Any) -> dict[str, Any]:
    return {"input_tokens": 1000, "output_tokens": 100, **fields}


# The comments work out each amount: tokens × USD per million tokens (providers' pricing pages).
@pytest.mark.parametrize(
    ("provider", "flavour", "model", "block", "usd"),
    [
        # 1000 × 0.40 + 100 × 1.60 = 560
        (OPENAI, "chat", "gpt-4.1-mini", chat_usage(1000, 100), "0.00056"),
        # A dated snapshot costs the same as its model.
        (OPENAI, "chat", "gpt-4.1-mini-2025-04-14", chat_usage(1000, 100), "0.00056"),
        # 600 × 0.40 + 400 cached × 0.10 + 100 × 1.60 = 440
        (OPENAI, "chat", "gpt-4.1-mini", chat_usage(1000, 100, cached=400), "0.00044"),
        # Reasoning tokens are part of the completion: 1000 × 2 + 100 × 8 = 2800
        (OPENAI, "chat", "o3", chat_usage(1000, 100, reasoning=64), "0.0028"),
        # 1000 × 0.25 + 100 × 2 = 450
        (OPENAI, "responses", "gpt-5-mini", {"input_tokens": 1000, "output_tokens": 100}, "0.00045"),
        # 50 × 0.02 = 1: one token is 2e-8 USD
        (OPENAI, "embeddings", "text-embedding-3-small", {"prompt_tokens": 50, "total_tokens": 50}, "0.000001"),
        # 20 text × 5 + 100 image × 10 + 1000 × 40 = 41,100
        (
            OPENAI,
            "images",
            "gpt-image-1",
            {
                "input_tokens": 120,
                "input_tokens_details": {"text_tokens": 20, "image_tokens": 100},
                "output_tokens": 1000,
            },
            "0.0411",
        ),
        # 1000 × 1 + 100 × 5 = 1500
        (ANTHROPIC, "messages", "claude-haiku-4-5", message_usage(), "0.0015"),
        # Cached and written tokens stand beside `input_tokens`: 1000 × 1 + 2000 × 0.10 + 400 × 1.25 + 100 × 5 = 2200
        (
            ANTHROPIC,
            "messages",
            "claude-haiku-4-5",
            message_usage(cache_read_input_tokens=2000, cache_creation_input_tokens=400),
            "0.0022",
        ),
        # One-hour cache writes have another price: 1000 × 1 + 300 × 1.25 + 100 × 2 + 100 × 5 = 2075
        (
            ANTHROPIC,
            "messages",
            "claude-haiku-4-5",
            message_usage(
                cache_creation_input_tokens=400,
                cache_creation={"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 100},
            ),
            "0.002075",
        ),
        # Two web searches at 10 USD a thousand: 1500e-6 + 0.02
        (
            ANTHROPIC,
            "messages",
            "claude-haiku-4-5",
            message_usage(server_tool_use={"web_search_requests": 2}),
            "0.0215",
        ),
    ],
)
def test_price_of_ordinary_usage(provider: str, flavour: Flavour, model: str, block: Any, usd: str) -> None:
    found = priced(provider, flavour, model, block)
    assert found.usd == Decimal(usd)
    assert found.source.startswith("genai-prices ")


@pytest.mark.parametrize(
    ("provider", "model", "block", "said", "usd"),
    [
        # Priority: 1000 × 0.70 + 100 × 2.80 = 980
        (OPENAI, "gpt-4.1-mini", chat_usage(1000, 100), {"service_tier": "priority"}, "0.00098"),
        (OPENAI, "gpt-4.1-mini", chat_usage(1000, 100), {"service_tier": "default"}, "0.00056"),
        # Batch is half: 1000 × 0.5 + 100 × 2.5 = 750
        (ANTHROPIC, "claude-haiku-4-5", message_usage(service_tier="batch"), {}, "0.00075"),
        (ANTHROPIC, "claude-haiku-4-5", message_usage(service_tier="standard"), {}, "0.0015"),
        # Fast mode: 1000 × 10 + 100 × 50 = 15,000
        (ANTHROPIC, "claude-opus-4-8", message_usage(speed="fast"), {}, "0.015"),
    ],
)
def test_price_follows_the_tier_of_the_answer(
    provider: str, model: str, block: Any, said: dict[str, str], usd: str
) -> None:
    flavour: Flavour = "chat" if provider == OPENAI else "messages"
    assert priced(provider, flavour, model, block, said).usd == Decimal(usd)


@pytest.mark.parametrize(
    ("provider", "model", "block", "said", "reason"),
    [
        (OPENAI, "gpt-99", chat_usage(), {}, "unpriced:unknown-model"),
        (OPENAI, "", chat_usage(), {}, "unpriced:no-model"),
        ("llm.example.com", "gpt-4.1-mini", chat_usage(), {}, "unpriced:unknown-model"),
        (OPENAI, "gpt-4.1-mini", {}, {}, "unpriced:no-usage"),
        (OPENAI, "gpt-4.1-mini", {"prompt_tokens": "many"}, {}, "unpriced:unreadable-usage"),
        (OPENAI, "gpt-4.1-mini", {"unheard_of_tokens": 5}, {}, "unpriced:unreadable-usage"),
        (OPENAI, "gpt-4.1-mini", chat_usage(100, 10, cached=101), {}, "unpriced:contradictory-usage"),
        (
            OPENAI,
            "gpt-4.1-mini",
            chat_usage(),
            {"service_tier": "scale"},
            "unpriced:unknown-context:service_tier=scale",
        ),
        (
            ANTHROPIC,
            "claude-haiku-4-5",
            message_usage(inference_geo="moon"),
            {},
            "unpriced:unknown-context:inference_geo=moon",
        ),
    ],
)
def test_an_unknown_price_has_a_reason(
    provider: str, model: str, block: Any, said: dict[str, str], reason: str
) -> None:
    flavour: Flavour = "messages" if provider == ANTHROPIC else "chat"
    assert priced(provider, flavour, model, block, said) == Price(None, reason)


def test_price_is_that_of_the_moment() -> None:
    # The price of o3 fell from 10 and 40 to 2 and 8 USD per million on 10 June 2025.
    before, after = datetime(2025, 6, 9, tzinfo=UTC), datetime(2025, 6, 10, tzinfo=UTC)
    assert priced(OPENAI, "chat", "o3", chat_usage(1000, 100), at=before).usd == Decimal("0.014")
    assert priced(OPENAI, "chat", "o3", chat_usage(1000, 100), at=after).usd == Decimal("0.0028")


def test_price_of_a_free_model_is_zero_and_not_unknown() -> None:
    assert priced(OPENAI, "chat", "omni-moderation-latest", chat_usage()).usd == Decimal(0)


@pytest.mark.parametrize(
    ("origin", "flavour", "provider"),
    [
        ("https://api.openai.com", "chat", "openai"),
        ("https://api.anthropic.com", "messages", "anthropic"),
        ("https://api.anthropic.com", "chat", "anthropic"),
        ("https://openrouter.ai", "chat", "openrouter"),
        ("http://127.0.0.1:8001", "chat", "openai"),
        ("http://localhost:8001", "messages", "anthropic"),
        ("https://llm.example.com", "chat", "llm.example.com"),
    ],
)
def test_provider_is_named_by_the_host(origin: str, flavour: Flavour, provider: str) -> None:
    assert pricing.provider_of(origin, flavour) == provider
