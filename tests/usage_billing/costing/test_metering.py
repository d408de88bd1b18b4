"""Usage blocks become units of the price list."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.factories import chat_usage
from usage_billing.costing import pricing
from usage_billing.costing.metering import Tokens, compact, meter
from usage_billing.recording.event import FLAVOURS, Flavour


@pytest.mark.parametrize(
    ("flavour", "block", "tokens"),
    [
        ("chat", chat_usage(10, 5, cached=4, reasoning=3), Tokens(10, 5, cached=4, reasoning=3)),
        (
            "messages",
            {
                "input_tokens": 7,
                "cache_read_input_tokens": 20,
                "cache_creation_input_tokens": 3,
                "output_tokens": 9,
                "output_tokens_details": {"thinking_tokens": 4},
            },
            Tokens(30, 9, cached=20, cache_write=3, reasoning=4),
        ),
        ("embeddings", {"prompt_tokens": 8, "total_tokens": 8}, Tokens(8, 0)),
        # The images extractor refuses a block without details; its two counts are kept.
        ("images", {"input_tokens": 5, "output_tokens": 6}, Tokens(5, 6)),
        ("chat", {"prompt_tokens": -5, "completion_tokens": 6}, Tokens(0, 6)),
        ("chat", {"prompt_tokens": True, "completion_tokens": "6"}, Tokens()),
        ("chat", {}, Tokens()),
    ],
)
def test_tokens_of_a_usage_block(flavour: Flavour, block: Any, tokens: Tokens) -> None:
    assert meter(flavour, block).tokens == tokens


def test_compact_usage_keeps_every_unit_that_was_used() -> None:
    block = {
        "prompt_tokens": 3,
        "completion_tokens": 0,
        "cost": 0.0,
        "fee": 0.0,
        "details": {"a": 0, "b": None, "c": 2},
        "empty": {"x": 0},
        "tier": "standard",
        "iterations": [{"input_tokens": 1}],
    }
    assert compact(block) == {
        "prompt_tokens": 3,
        "cost": 0.0,  # the host says that the call was free
        "details": {"c": 2},
        "tier": "standard",
        "iterations": [{"input_tokens": 1}],
    }


@pytest.mark.parametrize(
    ("flavour", "usage", "problem"),
    [
        ("chat", {}, "no-usage"),
        ("chat", {"prompt_tokens": 5, "units": {"no_such_unit": 1}}, "unknown-unit:no_such_unit"),
        ("chat", {"prompt_tokens": 5, "units": {"web_searches": -1}}, "unreadable-usage"),
        (
            "responses",
            {"input_tokens": 5, "parts": [{"model": "", "api": "images", "usage": {}}]},
            "no-model-of-a-tool",
        ),
        ("chat", {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}}, "contradictory-usage"),
        (
            "messages",
            {
                "input_tokens": 5,
                "cache_creation_input_tokens": 9,
                "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 3},
            },
            "contradictory-usage",
        ),
    ],
)
def test_unmeterable_usage_has_a_problem(flavour: Flavour, usage: dict[str, Any], problem: str) -> None:
    assert meter(flavour, usage).problem == problem


def test_cache_writes_after_the_start_of_a_stream_last_as_long_as_the_first() -> None:
    """`message_delta` reports 900 written tokens; the breakdown of `message_start` has 300, all for an hour."""
    usage = {
        "input_tokens": 10,
        "output_tokens": 1,
        "cache_creation_input_tokens": 900,
        "cache_creation": {"ephemeral_1h_input_tokens": 300},
    }
    (line,) = meter("messages", usage).lines
    assert line.usage.reported_value("cache_write_1h_tokens") == 900


# Names that occur in blocks, and some that do not.
NAMES = [
    "prompt_tokens",
    "completion_tokens",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "seconds",
    "cached_tokens",
    "audio_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "text_tokens",
    "image_tokens",
    "ephemeral_5m_input_tokens",
    "ephemeral_1h_input_tokens",
    "web_search_requests",
    "thinking_tokens",
    "type",
    "model",
    "api",
    "usage",
    "other",
    "prompt_tokens_details",
    "completion_tokens_details",
    "input_tokens_details",
    "output_tokens_details",
    "input_token_details",
    "cache_creation",
    "server_tool_use",
    "cache_write_tokens_details",
    "iterations",
    "units",
    "parts",
    "cost",
    "is_byok",
    "inputTokens",
    "outputTokens",
    "cached_tokens_details",
    "output_token_details",
    "ttl_12h_tokens",
    "odd_tokens",
    "web_searches",
    "input_characters",
]
leaves = st.one_of(
    st.integers(-5, 10**6),
    st.sampled_from([0, 1, 2**63, True, None, "7", 1.5, float("nan"), float("inf"), "gpt-4.1", "images"]),
)
blocks = st.recursive(
    leaves,
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=20,
)


@settings(max_examples=800)
@given(
    flavour=st.sampled_from([*sorted(set(FLAVOURS.values())), "realtime", "unknown"]),
    usage=st.dictionaries(st.sampled_from(NAMES), blocks, max_size=8),
    model=st.sampled_from(["gpt-4.1", "gpt-image-1.5", "claude-haiku-4-5", "whisper-1", "tts-1", "gpt-99", "", "a/b"]),
    provider=st.sampled_from(["openai", "anthropic", "x-ai", "perplexity", "openrouter", "aws", "google", "a.example"]),
)
def test_no_block_breaks_metering_or_pricing(
    flavour: Flavour, usage: dict[str, Any], model: str, provider: str
) -> None:
    stored = compact(usage)
    metered = meter(flavour, stored, provider, model)
    tokens = metered.tokens
    assert min(msgspec.structs.astuple(tokens)) >= 0
    assert tokens.cached + tokens.cache_write <= tokens.prompt
    assert tokens.reasoning <= tokens.completion
    price = pricing.price(provider, model, metered, {}, at=datetime(2026, 11, 18, tzinfo=UTC), usage=stored)
    if price.usd is None:
        assert price.source.startswith("unpriced:")
        assert price.known_usd is None or price.known_usd > 0
    else:
        assert price.usd >= 0
        assert price.known_usd is None
        assert not price.parts or sum(price.parts.values()) == pytest.approx(price.usd, abs=Decimal("1e-10"))


@pytest.mark.parametrize(
    ("block", "kept"),
    [
        ({"type": "duration", "seconds": 0}, {"type": "duration", "seconds": 0}),
        ({"prompt_tokens": 0, "details": {"cached_tokens": 0}, "x": None}, {"prompt_tokens": 0}),
        ({"units": {"audio_seconds": 0}}, {"units": {"audio_seconds": 0}}),
        ({"prompt_tokens": 0, "units": {"web_searches": 1}}, {"units": {"web_searches": 1}}),
        ({"input_tokens": 0, "cache_creation_input_tokens": 9}, {"cache_creation_input_tokens": 9}),
        ({}, {}),
        ({"usage": None}, {}),
    ],
)
def test_compact_usage_of_nothing_keeps_its_zeros(block: Any, kept: Any) -> None:
    assert compact(block) == kept
    assert compact(kept) == kept


@pytest.mark.parametrize(
    ("flavour", "usage", "problem"),
    [
        ("transcription", {"type": "duration", "seconds": 0}, ""),
        ("transcription", {"type": "tokens", "input_tokens": 0, "output_tokens": 0}, ""),
        ("transcription", {"units": {"audio_seconds": 0, "input_audio_seconds": 0}}, ""),
        ("embeddings", {"prompt_tokens": 0, "total_tokens": 0}, ""),
        ("messages", {"cache_creation_input_tokens": 10_000}, ""),
        ("messages", {"cache_read_input_tokens": 10_000}, ""),
        ("messages", {"input_tokens": 0, "output_tokens": 0}, "no-usage"),
        ("chat", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, "no-usage"),
        ("responses", {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, "no-usage"),
        ("images", {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, "no-usage"),
        ("speech", {"input_tokens": 0, "output_tokens": 0}, "no-usage"),
        # What tools used is not the whole usage of an answer without a block.
        ("responses", {"units": {"web_searches": 1}}, "no-usage"),
        ("responses", {"containers": {"cntr_1": "1g"}}, "no-usage"),
        ("containers", {"containers": {"cntr_1": "1g"}}, ""),
        ("speech", {"units": {"input_characters": 5}}, ""),
    ],
)
def test_zero_usage_is_known_where_nothing_may_have_been_used(flavour: Flavour, usage: Any, problem: str) -> None:
    assert meter(flavour, usage).problem == problem


def test_sessions_of_an_event_of_an_earlier_version_are_containers_of_one_gigabyte() -> None:
    usage = {"input_tokens": 5, "output_tokens": 1, "units": {"code_interpreter_sessions": 2}}
    assert [line.containers for line in meter("responses", usage).lines] == [(), ("1g", "1g")]


def test_free_turns_keep_their_tokens_and_have_no_line() -> None:
    turn = {"type": "message", "model": "claude-fable-5", "input_tokens": 535}
    served = {"type": "fallback_message", "model": "claude-opus-4-8", "input_tokens": 412, "output_tokens": 264}
    metered = meter("messages", {"input_tokens": 412, "iterations": [turn, served]}, free_turns={"0"})
    assert [line.model for line in metered.lines] == ["claude-opus-4-8"]
    assert metered.tokens == Tokens(535 + 412, 264)


def test_turn_that_used_nothing_is_left_out() -> None:
    turns = [{"type": "message", "model": "m"}, {"type": "message", "input_tokens": 7}]
    metered = meter("messages", {"input_tokens": 7, "iterations": turns})
    assert (len(metered.lines), metered.tokens, metered.problem) == (1, Tokens(7), "")
