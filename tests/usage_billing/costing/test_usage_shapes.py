"""Usage blocks are read by whoever answered; a sum that does not add up, or a count nobody knows, is no cost."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from usage_billing.costing import pricing
from usage_billing.costing.metering import Tokens, compact, meter
from usage_billing.recording.event import Flavour

AT = datetime(2026, 11, 28, tzinfo=UTC)


def priced(provider: str, flavour: Flavour | None, model: str, usage: dict[str, Any]) -> pricing.Price:
    """Price a block as it is stored."""
    stored = compact(usage)
    metered = meter(flavour, stored, provider, model)
    return pricing.price(provider, model, metered, pricing.context_of({}, stored), at=AT)


def chat(prompt: int, completion: int, total: int | None, reasoning: int = 0, **more: Any) -> dict[str, Any]:
    block = {"prompt_tokens": prompt, "completion_tokens": completion, **more}
    if total is not None:
        block["total_tokens"] = total
    if reasoning:
        block["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return block


GROK = {"prompt_tokens_details": {"cached_tokens": 128}}


# USD per million tokens: grok-4.20 1.25, cached 0.20, out 2.50; gemini-2.5-flash 0.30, 2.50; gpt-5-mini 0.25, 2.
@pytest.mark.parametrize(
    ("provider", "model", "block", "usd"),
    [
        # xAI, Chat completions: reasoning beside the completion: 9992 × 1.25 + 128 × 0.20 + 4308 × 2.50
        ("x-ai", "grok-4.20", chat(10_120, 1499, 14_428, 2809, **GROK), "0.0232856"),
        ("x-ai", "grok-4.20", chat(10_120, 1499, None, 2809, **GROK), "0.0232856"),
        # … or within it, if the total says so: 100 × 1.25 + 100 × 2.50
        ("x-ai", "grok-4.20", chat(100, 100, 200, 50), "0.000375"),
        # Gateways with reasoning beside: 21 × 0.30 + 60 × 2.50
        ("google", "gemini-2.5-flash", chat(21, 0, 81, 60), "0.0001563"),
        ("openai", "gemini-2.5-flash", chat(21, 0, 81, 60), "0.0001563"),
        # OpenAI, CompletionUsage: reasoning within: 100 × 0.25 + 100 × 2
        ("openai", "gpt-5-mini", chat(100, 100, 200, 60), "0.000225"),
        ("openai", "gpt-5-mini", chat(100, 100, None, 60), "0.000225"),
        ("openai", "gpt-5-mini", chat(100, 100, 0, 60), "0.000225"),
        # Moonshot, DeepSeek and Mistral name cached tokens at the top: 100 × 0.25 + 900 × 0.025 + 100 × 2
        ("openai", "gpt-5-mini", chat(1000, 100, 1100, cached_tokens=900), "0.0002475"),
        ("openai", "gpt-5-mini", chat(1000, 100, 1100, prompt_cache_hit_tokens=900), "0.0002475"),
    ],
)
def test_reasoning_is_counted_once_wherever_it_stands(
    provider: str, model: str, block: dict[str, Any], usd: str
) -> None:
    assert priced(provider, "chat", model, block).usd == Decimal(usd)


def test_perplexity_bills_reasoning_and_citations_on_top_of_its_total() -> None:
    """Perplexity, Pricing, Sonar Deep Research: its own extractor adds what stands beside."""
    block = chat(33, 7163, 7196, citation_tokens=20_016, reasoning_tokens=73_997, num_search_queries=18)
    tokens = meter("chat", block, "perplexity").tokens
    assert tokens == Tokens(33, 7163 + 20_016 + 73_997, reasoning=73_997)


@pytest.mark.parametrize(
    ("flavour", "block", "known"),
    [
        # More than the parts: at least these were used. 20 × 0.25 + 198 × 2
        ("chat", chat(20, 198, 623), "0.000401"),
        ("responses", {"input_tokens": 20, "output_tokens": 198, "total_tokens": 623}, "0.000401"),
        # Less than the parts: one of them is wrong.
        ("chat", chat(20, 198, 100), None),
        ("chat", chat(20, 198, 300, 60), "0.000401"),
        ("embeddings", {"prompt_tokens": 8, "total_tokens": 5}, None),
        ("messages", {"input_tokens": 10, "output_tokens": 5, "total_tokens": 14}, None),
    ],
)
def test_a_total_that_is_not_the_sum_makes_the_cost_unknown(
    flavour: Flavour, block: dict[str, Any], known: str | None
) -> None:
    price = priced("openai", flavour, "gpt-5-mini", block)
    assert (price.usd, price.source) == (None, "unpriced:contradictory-usage")
    assert price.known_usd == (known and Decimal(known))


@pytest.mark.parametrize("total", [1100, 1150])
def test_a_messages_block_with_a_total_may_leave_the_cache_out(total: int) -> None:
    block = {"input_tokens": 1000, "output_tokens": 100, "cache_read_input_tokens": 50, "total_tokens": total}
    assert priced("anthropic", "messages", "claude-haiku-4-5", block).usd == Decimal("0.001505")


# ── Fields that nobody knows ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("flavour", "more", "field"),
    [
        ("chat", {"prompt_tokens_details": {"video_tokens": 5}}, "prompt_tokens_details.video_tokens"),
        ("chat", {"completion_tokens_details": {"image_tokens": 5}}, "completion_tokens_details.image_tokens"),
        ("chat", {"num_sources_used": 3}, "num_sources_used"),
        ("chat", {"prompt_audio_seconds": 2.5}, "prompt_audio_seconds"),
        ("responses", {"input_tokens_details": {"audio_tokens": 5}}, "input_tokens_details.audio_tokens"),
        ("messages", {"server_tool_use": {"code_execution_requests": 1}}, "server_tool_use.code_execution_requests"),
        ("messages", {"thinking_budget_tokens": 9}, "thinking_budget_tokens"),
    ],
)
def test_an_unknown_count_leaves_a_lower_bound(flavour: Flavour, more: dict[str, Any], field: str) -> None:
    counts = chat(1000, 100, 1100) if flavour == "chat" else {"input_tokens": 1000, "output_tokens": 100}
    price = priced("openai", flavour, "gpt-5-mini", {**counts, **more})
    assert (price.usd, price.source) == (None, f"unpriced:unknown-usage-field:{field}")
    assert price.known_usd == Decimal("0.00045")


@pytest.mark.parametrize(
    ("flavour", "more"),
    [
        ("chat", {"unheard_of_tokens": 0, "odd_tokens": None, "odd": 5, "new_object": {"a_tokens": 0}}),
        ("chat", {"queue_time": 0.1, "total_time": 0.5, "tier": "on_demand", "extra_properties": {"google": {}}}),
        ("chat", {"prompt_tokens_details": {"text_tokens": 900, "image_tokens": 100}}),
        ("chat", {"completion_tokens_details": {"accepted_prediction_tokens": 9, "rejected_prediction_tokens": 3}}),
        ("responses", {"context_details": {"input_tokens": 5, "odd_tokens": 7}}),
        ("messages", {"server_tool_use": {"web_fetch_requests": 5, "tool_search_requests": 2}}),
        ("messages", {"output_tokens_details": {"thinking_tokens": 50}, "service_tier": "standard"}),
    ],
)
def test_harmless_fields_do_not_cost_the_price(flavour: Flavour, more: dict[str, Any]) -> None:
    counts = chat(1000, 100, 1100) if flavour == "chat" else {"input_tokens": 1000, "output_tokens": 100}
    assert priced("openai", flavour, "gpt-5-mini", {**counts, **more}).usd == Decimal("0.00045")


@pytest.mark.parametrize("status", [{"type": "redeemed"}, {"type": "not_applied", "reason": "expired"}])
def test_the_usage_already_shows_a_fallback_credit(status: dict[str, str]) -> None:
    """Anthropic, Fallback credit: “The refund is visible in the retry's `usage`”: fewer written, more read tokens.

    1000 × 5 + 2000 × 6.25 + 48,000 × 0.50 + 100 × 25
    """
    usage = {
        "input_tokens": 1000,
        "output_tokens": 100,
        "cache_creation_input_tokens": 2000,
        "cache_read_input_tokens": 48_000,
        "fallback_credit": {"status": status, "moved_tokens": 48_000},
    }
    assert priced("anthropic", "messages", "claude-opus-4-8", usage).usd == Decimal("0.044")


# ── Endpoints that nobody knows ──────────────────────────────────────────────────────────────────────────────────

REALTIME = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}
"""OpenAI, RealtimeResponseUsage."""


@pytest.mark.parametrize("flavour", [None, "unknown"])
@pytest.mark.parametrize(
    ("provider", "model", "block", "usd"),
    [
        ("openai", "gpt-4.1-mini", chat(1000, 100, 1100), "0.00056"),
        ("openai", "gpt-5-mini", {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}, "0.00045"),
        ("anthropic", "claude-haiku-4-5", {"input_tokens": 1000, "output_tokens": 100}, "0.0015"),
        # Bedrock, InvokeModel: the block is Anthropic's. 1000 × 1.10 + 2000 × 0.11 + 100 × 5.50
        (
            "aws",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            {"input_tokens": 1000, "output_tokens": 100, "cache_read_input_tokens": 2000},
            "0.00187",
        ),
        # Bedrock, Converse
        (
            "aws",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 3100, "cacheReadInputTokens": 2000},
            "0.00187",
        ),
        # 55 × 4 + 64 × 0.40 + 13 × 32 + 30 × 16 + 91 × 64
        ("openai", "gpt-realtime", REALTIME, "0.0069656"),
    ],
)
def test_block_of_an_unknown_endpoint_is_read_by_its_shape(
    flavour: Flavour | None, provider: str, model: str, block: dict[str, Any], usd: str
) -> None:
    assert priced(provider, flavour, model, block).usd == Decimal(usd)


def test_realtime_response_is_metered_by_kind() -> None:
    assert priced("openai", "realtime", "gpt-realtime", REALTIME).usd == Decimal("0.0069656")


def test_cached_tokens_of_a_realtime_response_without_their_kinds_are_unknown() -> None:
    details = {"text_tokens": 119, "audio_tokens": 13, "cached_tokens": 64}
    price = priced("openai", "realtime", "gpt-realtime", {**REALTIME, "input_token_details": details})
    assert (price.usd, price.source) == (None, "unpriced:unreadable-usage")


@pytest.mark.parametrize(
    ("usage", "reason"),
    [({}, "unknown-endpoint"), ({"unheard_of": 5}, "unreadable-usage"), ({"units": {}}, "unknown-endpoint")],
)
def test_unknown_endpoint_without_a_block_stays_unknown(usage: dict[str, Any], reason: str) -> None:
    assert meter(None, usage, "openai", "gpt-5-mini").problem == reason


def test_a_gateway_may_answer_with_another_apis_block() -> None:
    block = {"input_tokens": 1000, "output_tokens": 100}
    assert priced("openai", "chat", "gpt-5-mini", block).usd == Decimal("0.00045")
