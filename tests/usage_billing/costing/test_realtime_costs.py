"""What is said over OpenAI's websockets costs what its pages say."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from usage_billing.costing import pricing
from usage_billing.costing.metering import Tokens, compact, meter
from usage_billing.costing.pricing import Price
from usage_billing.recording.event import Flavour

AT = datetime(2026, 11, 20, tzinfo=UTC)

CONVERSATION = {
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


def priced(flavour: Flavour, model: str, block: dict[str, Any], said: dict[str, str] | None = None) -> Price:
    return pricing.price("openai", model, meter(flavour, compact(block)), said or {}, at=AT)


def test_conversation_is_billed_by_text_audio_and_cache() -> None:
    """OpenAI, Managing costs (Realtime). Model page gpt-realtime: text $4, cached $0.40, output $16; audio $32, $64."""
    cost = priced("realtime", "gpt-realtime", CONVERSATION).usd
    assert cost == (55 * 4 + 64 * Decimal("0.4") + 13 * 32 + 30 * 16 + 91 * 64) / 10**6
    assert meter("realtime", CONVERSATION).tokens == Tokens(132, 121, cached=64)


def test_cached_audio_and_images_have_prices_of_their_own() -> None:
    """Model page gpt-realtime-mini: cached text $0.06, cached audio $0.30, image $0.80, cached image $0.08."""
    block = {
        "input_tokens": 3000,
        "input_token_details": {
            "text_tokens": 1000,
            "audio_tokens": 1000,
            "image_tokens": 1000,
            "cached_tokens": 1500,
            "cached_tokens_details": {"text_tokens": 500, "audio_tokens": 500, "image_tokens": 500},
        },
    }
    # 500 × (0.60 + 0.06 + 10 + 0.30 + 0.80 + 0.08) per million
    assert priced("realtime", "gpt-realtime-mini", block).usd == Decimal("0.00592")


@pytest.mark.parametrize(
    "change",
    [
        {"input_token_details": {"text_tokens": 119}},
        {"output_token_details": {}},
        {"input_token_details": CONVERSATION["input_token_details"] | {"cached_tokens_details": None}},  # type: ignore[operator]
        {"input_tokens": 133},
        {"output_tokens": "121"},
    ],
)
def test_conversation_whose_modalities_are_not_told_is_unpriced(change: dict[str, Any]) -> None:
    """Audio costs four to eight times as much as text: to take one for the other would be a guess."""
    price = priced("realtime", "gpt-realtime", CONVERSATION | change)
    assert (price.usd, price.source) == (None, "unpriced:unreadable-usage")


def test_live_session_is_billed_by_the_second() -> None:
    """OpenAI, Cost optimization: “billed per second”; model page gpt-live-1: $0.05 per minute."""
    assert priced("realtime", "gpt-live-1", {"seconds": 90.0}).usd == Decimal("0.075")


def test_live_session_that_was_only_observed_is_unpriced() -> None:
    """OpenAI, Cost optimization: a WebRTC session on standby costs less, and its usage does not tell for how long."""
    assert priced("realtime", "gpt-live-1", {"seconds": 90.0}, {"live": "observed"}).usd is None


@pytest.mark.parametrize(
    ("model", "cost"),
    [("gpt-realtime-whisper", "0.0085"), ("gpt-live-transcribe", "0.0085"), ("whisper-1", "0.003"),
     ("gpt-transcribe", "0.00225")],
)  # fmt: skip
def test_transcription_of_a_session_is_billed_by_its_duration(model: str, cost: str) -> None:
    """Model pages, per minute of audio: GPT-Realtime-Whisper, GPT-Live-Transcribe $0.017; whisper-1 $0.006;
    gpt-transcribe $0.0045."""
    assert priced("realtime", model, {"type": "duration", "seconds": 30.0}).usd == Decimal(cost)


def test_transcription_of_a_session_is_billed_like_one_over_http() -> None:
    block = {
        "type": "tokens",
        "input_tokens": 64,
        "output_tokens": 22,
        "total_tokens": 86,
        "input_token_details": {"audio_tokens": 64, "text_tokens": 0},
    }
    assert meter("realtime", block) == meter("transcription", block)
    assert priced("realtime", "gpt-4o-transcribe", block).usd == priced("transcription", "gpt-4o-transcribe", block).usd


def test_translation_session_is_unpriced() -> None:
    """Model page GPT-Realtime-Translate: $0.034 per minute of audio; no event of the session tells how many."""
    price = priced("realtime", "gpt-realtime-translate", {})
    assert (price.usd, price.source) == (None, "unpriced:no-usage")
