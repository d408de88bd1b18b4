"""The usage that a span tells becomes the provider's own block, and nothing is guessed in silence."""

from __future__ import annotations

from typing import Any

import pytest

from usage_billing.ingest.otlp import names, usage
from usage_billing.ingest.otlp.emitters import UNKNOWN, Habit, habit_of
from usage_billing.ingest.otlp.usage import INCLUSIVE_OR_EXCLUSIVE, Told
from usage_billing.ingest.otlp.values import Attributes
from usage_billing.ingest.provider_names import CACHE_WRITE_LIFETIME

INCLUSIVE, EXCLUSIVE = Habit("a", counts_cache="included"), Habit("a", counts_cache="excluded")
LIFETIMES = {
    "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": 0,
    "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 30,
}


def told(counts: Attributes, *, habit: Habit = UNKNOWN, **fields: Any) -> Told:
    given: dict[str, Any] = {"api": "chat", "provider": "openai", "model": "gpt-4.1-mini"}
    return usage.told(counts, habit=habit, **given | fields)


def message(input_: int = 100, read: int = 0, write: int = 0, *, habit: Habit = UNKNOWN, **more: Any) -> Told:
    counts: dict[str, Any] = {
        "gen_ai.usage.input_tokens": input_,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": read,
        "gen_ai.usage.cache_write.input_tokens": write,
        **more,
    }
    return told(counts, habit=habit, provider="anthropic", model="claude-sonnet-4-5")


@pytest.mark.parametrize("unit", names.COUNTS)
def test_each_name_of_a_count_is_read(unit: names.Unit) -> None:
    for name in names.COUNTS[unit]:
        counts: dict[str, Any] = {
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 1000,
            **LIFETIMES,
            name: 7,
        }
        if unit in ("input", "output"):
            counts = {other: 1000 for each in ("input", "output") if each != unit for other in names.COUNTS[each][:1]}
            counts |= {name: 7}
        both = [told(counts), told(counts, provider="anthropic", model="claude-sonnet-4-5", habit=INCLUSIVE)]
        assert any("7" in repr(each.block) for each in both) or all(each.missing for each in both), name


def test_openai_s_block() -> None:
    counts: dict[str, Any] = {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": "50",
        "gen_ai.usage.cache_read.input_tokens": 40.0,
        "gen_ai.usage.reasoning.output_tokens": 30,
        "gen_ai.usage.audio.input_tokens": 5,
    }
    assert told(counts) == Told(
        "chat",
        {
            "prompt_tokens": 100,
            "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 5},
            "completion_tokens": 50,
            "completion_tokens_details": {"reasoning_tokens": 30},
            "total_tokens": 150,
        },
    )
    assert told(counts, api="responses").block == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 40, "audio_tokens": 5},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 30},
        "total_tokens": 150,
    }


def test_embeddings_have_input_alone() -> None:
    found = told({"gen_ai.usage.input_tokens": 3}, api="embeddings")

    assert found == Told("embeddings", {"prompt_tokens": 3, "total_tokens": 3})


@pytest.mark.parametrize(
    ("habit", "input_", "read", "write", "uncached", "missing"),
    [
        (INCLUSIVE, 100, 40, 30, 30, ()),
        (EXCLUSIVE, 100, 40, 30, 100, ()),
        # Arithmetic decides: more was cached than all the input.
        (INCLUSIVE, 10, 40, 30, 10, ()),
        (UNKNOWN, 10, 40, 30, 10, ()),
        (UNKNOWN, 100, 40, 30, 30, (INCLUSIVE_OR_EXCLUSIVE,)),
        (UNKNOWN, 100, 0, 0, 100, ()),
    ],
)
def test_anthropic_s_input_is_without_the_cached_tokens(
    habit: Habit, input_: int, read: int, write: int, uncached: int, missing: tuple[str, ...]
) -> None:
    found = message(input_, read, write, habit=habit, **LIFETIMES)

    assert found.missing == missing
    assert found.block == {
        "input_tokens": uncached,
        "output_tokens": 20,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": write,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 30},
    }


def test_a_cache_write_without_its_lifetime_has_no_price() -> None:
    assert message(100, 0, 30, habit=INCLUSIVE).missing == (CACHE_WRITE_LIFETIME,)
    assert message(100, 30, 0, habit=INCLUSIVE).missing == ()
    assert message(100, 0, 30).missing == (CACHE_WRITE_LIFETIME, INCLUSIVE_OR_EXCLUSIVE)


@pytest.mark.parametrize(
    ("scope", "version", "counts"),
    [
        ("com.anthropic.sdk.typescript", "0.70.0", "included"),
        ("opentelemetry.instrumentation.anthropic", "0.62.4", "included"),
        ("opentelemetry.instrumentation.anthropic", "0.30.0", "unknown"),
        ("openinference.instrumentation.anthropic", "0.1.2", "unknown"),
        ("pydantic-ai", "2.68.0", "included"),
        ("pydantic-ai", "", "unknown"),
        ("my.own", "1", "unknown"),
    ],
)
def test_an_emitter_s_habit_is_known_from_the_measured_version_on(scope: str, version: str, counts: str) -> None:
    assert habit_of(scope, version).counts_cache == counts


def test_bedrock_s_other_models_are_not_guessed_either() -> None:
    counts = {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read_input_tokens": 40,
    }
    assert told(counts, provider="aws", model="amazon.nova-pro-v1:0").missing == (INCLUSIVE_OR_EXCLUSIVE,)
    assert told(counts, provider="aws", model="us.anthropic.claude-sonnet-4-5-v1:0").api == "messages"
    assert told(counts).missing == ()


def test_the_provider_s_own_block_wins() -> None:
    block = '{"input_tokens": 6, "output_tokens": 200, "cache_creation": {"ephemeral_5m_input_tokens": 2800}}'
    raw: dict[str, Any] = {"gen_ai.usage.raw": block}
    found = message(2806, 0, 2800, **raw)

    assert found.api == "messages"
    assert found.block == {
        "input_tokens": 6,
        "output_tokens": 200,
        "cache_creation": {"ephemeral_5m_input_tokens": 2800},
    }
    assert found.missing == ()
    assert told({"gen_ai.usage.raw": '{"prompt_tokens": 6}'}, api="responses").api == "chat"
    assert told({"gen_ai.usage.raw": '{"input_tokens": 6}'}).api == "responses"
    assert told({"gen_ai.usage.raw": '{"promptTokenCount": 6}'}, provider="google").api == "unknown"
    assert told({"gen_ai.usage.raw": "{broken", "gen_ai.usage.input_tokens": 6}).block is not None


@pytest.mark.parametrize(
    ("counts", "missing"),
    [
        ({"gen_ai.usage.output_tokens": 5}, ("input-tokens",)),
        ({"gen_ai.usage.input_tokens": 5}, ("output-tokens",)),
        (
            {
                "gen_ai.usage.input_tokens": 5,
                "gen_ai.usage.output_tokens": 5,
                "gen_ai.usage.details.audio_tokens": 2,
            },
            ("modalities",),
        ),
        ({"gen_ai.usage.input_tokens": "many"}, ("unreadable-count:gen_ai.usage.input_tokens",)),
        ({"gen_ai.usage.input_tokens": -5}, ("unreadable-count:gen_ai.usage.input_tokens",)),
        ({"gen_ai.usage.input_tokens": True}, ("unreadable-count:gen_ai.usage.input_tokens",)),
        ({"gen_ai.usage.input_tokens": 1.5}, ("unreadable-count:gen_ai.usage.input_tokens",)),
        ({"gen_ai.usage.input_tokens": float("nan")}, ("unreadable-count:gen_ai.usage.input_tokens",)),
        ({}, ()),
    ],
)
def test_what_is_not_told_in_full_is_said(counts: Attributes, missing: tuple[str, ...]) -> None:
    assert told(counts).missing == missing
