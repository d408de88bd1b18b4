"""Usage + model + moment → USD; an unknown price stays unknown."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.support.factories import chat_usage
from usage_billing.costing import pricing, providers
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


# ── Variants, by the day of the call ─────────────────────────────────────────────────────────────────────────────

FIRST_OF_OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
"""Before the days on which the price list begins to know tiers (12 October) and batches (14 October)."""


@pytest.mark.parametrize("day", [FIRST_OF_OCTOBER, datetime(2026, 10, 14, tzinfo=UTC), AT])
def test_anthropics_batches_cost_half_on_any_day(day: datetime) -> None:
    """Anthropic, Batch processing, Pricing: 50 % of the standard prices; 10 USD a thousand searches stay."""
    block = {"input_tokens": 10**6, "output_tokens": 0, "service_tier": "batch"}
    searched = {**block, "server_tool_use": {"web_search_requests": 1}}
    assert priced(ANTHROPIC, "messages", "claude-sonnet-5-5", block, at=day).usd == 1
    assert priced(ANTHROPIC, "messages", "claude-sonnet-5-5", searched, at=day).usd == Decimal("1.01")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("gpt-4.1-mini", {"service_tier": "priority"}),
        ("gpt-4.1-mini", {"processing": "batch"}),
        ("gpt-6-sol", {"service_tier": "flex"}),
        ("gpt-6-sol", {"service_tier": "fast"}),
    ],
)
def test_a_variant_is_unknown_before_the_list_knows_it_and_never_the_standard_price(
    model: str, said: dict[str, str]
) -> None:
    context = ",".join(f"{key}={value}" for key, value in said.items())
    early = priced(OPENAI, "chat", model, chat_usage(1000, 100), said, at=FIRST_OF_OCTOBER)
    assert early == Price(None, f"unpriced:unknown-context:{context}")
    assert priced(OPENAI, "chat", model, chat_usage(1000, 100), said).usd is not None


# ── Steps for long prompts, in a loop of server tools ────────────────────────────────────────────────────────────


def searched(prompt: int, completion: int, searches: int, **more: Any) -> dict[str, Any]:
    tools = {"web_search_requests": searches}
    return {"input_tokens": prompt, "output_tokens": completion, "server_tool_use": tools, **more}


def test_a_step_counts_for_each_request_of_a_loop_and_not_for_their_sum() -> None:
    """Anthropic, Pricing, Long context pricing: “requests” beyond 200,000 tokens cost more.

    404,500 × 3 + 943 × 15, and 10 searches.
    """
    found = priced(ANTHROPIC, "messages", "claude-sonnet-4-5", searched(404_500, 943, 10))
    assert found.usd == Decimal("1.327645")
    # Beyond 100,000 tokens, Haiku 5.5 costs five times as much: 150,000 × 0.10 + 100 × 0.50, and 5 searches.
    found = priced(ANTHROPIC, "messages", "claude-haiku-5-5", searched(150_000, 100, 5))
    assert found.usd == Decimal("0.06505")


def test_a_loop_whose_requests_may_have_reached_the_step_is_unknown() -> None:
    found = priced(ANTHROPIC, "messages", "claude-haiku-5-5", searched(150_000, 100, 1))
    assert (found.usd, found.source) == (None, "unpriced:long-context-in-a-loop")
    assert found.known_usd == Decimal("0.02505")


def test_one_request_beyond_the_step_pays_it() -> None:
    found = priced(ANTHROPIC, "messages", "claude-haiku-5-5", message_usage(input_tokens=150_000))
    assert found.usd == Decimal("0.07525")


def test_a_breakdown_by_request_decides_each_step() -> None:
    """Anthropic, BetaUsage.iterations: 40,000 × 0.10 + 110,000 × 0.50 + 50 × 0.50 + 50 × 2.50, and 1 search."""
    turns = [{"type": "message", "input_tokens": each, "output_tokens": 50} for each in (40_000, 110_000)]
    found = priced(ANTHROPIC, "messages", "claude-haiku-5-5", searched(150_000, 100, 1, iterations=turns))
    assert found.usd == Decimal("0.06915")


# ── Lower bounds ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "usage", "said", "reason", "parts"),
    [
        # An image of an unknown model: 1000 × 0.25 + 100 × 2 are known.
        (
            "gpt-5-mini",
            {"parts": [{"model": "", "api": "images", "usage": {}}]},
            {},
            "no-model-of-a-tool",
            {"input": "0.00025", "output": "0.0002"},
        ),
        # A model without a price among the parts, and one with it: 1000 × 40 image tokens.
        (
            "gpt-5-mini",
            {
                "parts": [
                    {"model": "gpt-image-99", "api": "images", "usage": {"output_tokens": 1}},
                    {"model": "gpt-image-1", "api": "images", "usage": {"output_tokens": 1000}},
                ]
            },
            {},
            "unknown-model",
            {"input": "0.00025", "output": "0.0402"},
        ),
        # Searches whose number is not told, and a container of a size that has no price.
        (
            "gpt-5-mini",
            {},
            {"search": "unknown-number"},
            "unknown-context:search=unknown-number",
            {"input": "0.00025", "output": "0.0002"},
        ),
        (
            "gpt-5-mini",
            {"containers": {"cntr_1": "2g"}},
            {},
            "no-price-for:container",
            {"input": "0.00025", "output": "0.0002"},
        ),
    ],
)  # fmt: skip
def test_known_part_of_an_unknown_cost(
    model: str, usage: dict[str, Any], said: dict[str, str], reason: str, parts: dict[str, str]
) -> None:
    block = {"input_tokens": 1000, "output_tokens": 100, **usage}
    found = priced(OPENAI, "responses", model, block, said)
    assert (found.usd, found.source) == (None, f"unpriced:{reason}")
    assert found.parts == {kind: Decimal(usd) for kind, usd in parts.items()}
    assert found.known_usd == sum(found.parts.values())


def test_units_without_a_price_are_left_out_of_the_lower_bound() -> None:
    block = chat_usage(1000, 100)
    block["completion_tokens_details"]["audio_tokens"] = 40
    found = priced(OPENAI, "chat", "gpt-4o-audio-preview", block)
    assert found.source == "unpriced:no-price-for:output_audio_tokens"
    # 1000 × 2.50 + 60 × 10
    assert found.known_usd == Decimal("0.0031")


@pytest.mark.parametrize("said", [{"service_tier": "scale"}, {"processing": "batch"}])
def test_the_standard_price_is_no_lower_bound_of_another_tier(said: dict[str, str]) -> None:
    found = priced(OPENAI, "chat", "gpt-4.1-mini", chat_usage(1000, 100), said, at=FIRST_OF_OCTOBER)
    assert (found.known_usd, found.parts) == (None, {})


# ── Places ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "at", "usd"),
    [
        # Anthropic, Pricing, Cloud platform pricing: a tenth more from the 4.5 models on.
        ("claude-sonnet-4-5", AT, "0.00495"),
        ("claude-haiku-4-5@20251001", AT, "0.00165"),
        ("claude-sonnet-4@20250514", AT, "0.0045"),
        ("claude-opus-4-1@20250805", AT, "0.0225"),
        ("claude-3-5-sonnet-v2@20241022", AT, "0.0045"),
        # Google Cloud, Agent Platform pricing: from Gemini 3 on, since July 2026.
        ("gemini-2.5-flash", AT, "0.00055"),
    ],
)
def test_price_at_a_location_of_google_cloud(model: str, at: datetime, usd: str) -> None:
    block = {"input_tokens": 1000, "output_tokens": 100}
    assert priced("google", "messages", model, block, {"location": "us-east5"}, at=at).usd == Decimal(usd)


def test_gemini_3_costs_a_tenth_more_at_a_location_since_july() -> None:
    def cost(at: datetime, **said: str) -> Decimal:
        usd = priced("google", "chat", "gemini-3-flash-preview", chat_usage(1000, 100), said, at=at).usd
        assert usd is not None
        return usd

    june, july = datetime(2026, 6, 30, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
    assert cost(june, location="europe-west4") == cost(june)
    assert cost(july, location="europe-west4") == cost(july) * Decimal("1.1")


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
    assert providers.provider_of(origin, flavour) == provider
