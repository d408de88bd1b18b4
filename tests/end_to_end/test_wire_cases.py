"""Every kind of answer costs what the provider charges: from the wire to the record, exact tokens and exact cost.

The working stands beside each case: tokens × USD for a million tokens, as the providers' pricing pages give it (OpenAI, API
pricing; Anthropic, Pricing; both as of November 2026). Amounts here are millionths of a dollar.
"""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from ai_clients import Anthropic, OpenAI
from tests.support import factories, wire_cases
from tests.support.scripted import Provider, plain, streamed
from usage_billing import usage_context
from usage_billing.models import UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("explained_costs")]

PROMPT: Any = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True)
class Case:
    """An answer of a provider, and the record that it must lead to.

    millionths: the cost in millionths of a dollar; or, as text, the reason why it is not known.
    tokens: prompt, completion, cached, cache-written, reasoning.
    """

    api: str
    body: Any
    millionths: str | int | Decimal
    tokens: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    host: str = ""
    asked: dict[str, Any] = field(default_factory=dict)
    provider: str = ""


def chat_usage(prompt: int, completion: int, **details: Any) -> dict[str, Any]:
    inputs = {"cached_tokens": "cached_tokens", "cache_write_tokens": "cache_write_tokens", "audio_in": "audio_tokens"}
    outputs = {"reasoning_tokens": "reasoning_tokens", "audio_out": "audio_tokens"}
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
    usage["total_tokens"] = prompt + completion
    for field_, names in (("prompt_tokens_details", inputs), ("completion_tokens_details", outputs)):
        if told := {name: details[key] for key, name in names.items() if key in details}:
            usage[field_] = told
    return usage


def response_usage(
    prompt: int, completion: int, cached: int = 0, written: int = 0, reasoning: int = 0
) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": reasoning},
    }


def message_usage(prompt: int, completion: int, **fields: Any) -> dict[str, Any]:
    return {"input_tokens": prompt, "output_tokens": completion, **fields}


def written(five_minutes: int = 0, one_hour: int = 0) -> dict[str, Any]:
    return {
        "cache_creation_input_tokens": five_minutes + one_hour,
        "cache_creation": {"ephemeral_5m_input_tokens": five_minutes, "ephemeral_1h_input_tokens": one_hour},
    }


def turn(kind: str, prompt: int, completion: int, model: str | None = None) -> dict[str, Any]:
    about = {"type": kind, "cache_creation": None, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return about | {"input_tokens": prompt, "output_tokens": completion} | ({"model": model} if model else {})


def image_usage(text: int, image: int, output: int, **details: Any) -> dict[str, Any]:
    inputs = {"text_tokens": text, "image_tokens": image}
    usage = {"input_tokens": text + image, "input_tokens_details": inputs, "output_tokens": output}
    return usage | {"total_tokens": text + image + output} | details


HAIKU, SONNET, OPUS = "claude-haiku-4-5-20251001", "claude-sonnet-4-6", "claude-opus-4-8"

# fmt: off
BOTH_WAYS = {
    # ── OpenAI, chat completions ──
    # 1000 × 0.40 + 100 × 1.60
    "chat": Case("chat", wire_cases.chat("gpt-4.1-mini", chat_usage(1000, 100)), 560, (1000, 100, 0, 0, 0)),
    # The answer's dated snapshot costs what its model does.
    "chat snapshot": Case("chat", wire_cases.chat("gpt-4.1-mini-2025-04-14", chat_usage(1000, 100)), 560, (1000, 100, 0, 0, 0)),
    # 600 × 0.40 + 400 × 0.10 + 100 × 1.60: cached tokens are within the prompt, and counted once.
    "chat cached": Case("chat", wire_cases.chat("gpt-4.1-mini", chat_usage(1000, 100, cached_tokens=400)), 440, (1000, 100, 400, 0, 0)),
    # 1000 × 2 + 300 × 8: reasoning is within the completion.
    "chat reasoning": Case("chat", wire_cases.chat("o3", chat_usage(1000, 300, reasoning_tokens=256)), 4400, (1000, 300, 0, 0, 256)),
    # Priority: 1000 × 0.70 + 100 × 2.80
    "chat priority": Case("chat", wire_cases.chat("gpt-4.1-mini", chat_usage(1000, 100), service_tier="priority"), 980, (1000, 100, 0, 0, 0)),
    # Flex: 1000 × 0.125 + 100 × 1
    "chat flex": Case("chat", wire_cases.chat("gpt-5-mini", chat_usage(1000, 100), service_tier="flex"), 225, (1000, 100, 0, 0, 0)),
    "chat default tier": Case("chat", wire_cases.chat("gpt-4.1-mini", chat_usage(1000, 100), service_tier="default"), 560, (1000, 100, 0, 0, 0)),
    # Above 272,000 tokens all tokens cost more: 300,000 × 5 + 1000 × 22.50
    "chat long context": Case("chat", wire_cases.chat("gpt-5.4", chat_usage(300_000, 1000)), 1_522_500, (300_000, 1000, 0, 0, 0)),
    # 272,000 exactly is not above: 272,000 × 2.50 + 1000 × 15
    "chat at the threshold": Case("chat", wire_cases.chat("gpt-5.4", chat_usage(272_000, 1000)), 695_000, (272_000, 1000, 0, 0, 0)),
    # 500 × 1 + 300 × 0.05 + 200 × 1.25 + 100 × 5
    "chat cache written": Case("chat", wire_cases.chat("gpt-6.1-terra", chat_usage(1000, 100, cached_tokens=300, cache_write_tokens=200)), 1265, (1000, 100, 300, 200, 0)),
    "chat audio without an audio price": Case("chat", wire_cases.chat("gpt-4o-audio-preview", chat_usage(100, 50, audio_out=40)), "no-price-for:output_audio_tokens", (100, 50, 0, 0, 0)),
    # 60 × 2.50 + 40 × 32 + 10 × 10 + 40 × 64
    "chat audio": Case("chat", wire_cases.chat("gpt-audio", chat_usage(100, 50, audio_in=40, audio_out=40)), 4090, (100, 50, 0, 0, 0)),
    "chat unknown model": Case("chat", wire_cases.chat("gpt-99-turbo", chat_usage(1000, 100)), "unknown-model", (1000, 100, 0, 0, 0)),
    "chat unknown tier": Case("chat", wire_cases.chat("gpt-4.1-mini", chat_usage(1000, 100), service_tier="flex"), "unknown-context:service_tier=flex", (1000, 100, 0, 0, 0)),
    "chat contradiction": Case("chat", wire_cases.chat("gpt-4.1-mini", chat_usage(100, 10, cached_tokens=101)), "contradictory-usage", (100, 10, 100, 0, 0)),
    "chat that searches": Case("chat", wire_cases.chat("gpt-4o-search-preview", chat_usage(1000, 100)), "no-price-for:web_searches", (1000, 100, 0, 0, 0)),
    # Fine-tuned: 1000 × 0.30 + 100 × 1.20
    "chat fine-tuned": Case("chat", wire_cases.chat("ft:gpt-4o-mini-2024-07-18:acme::abc", chat_usage(1000, 100)), 420, (1000, 100, 0, 0, 0)),
    # Azure's host names the provider: 1000 × 0.40 + 100 × 1.60
    "chat Azure": Case("chat", wire_cases.chat("gpt-4.1-mini", chat_usage(1000, 100)), 560, (1000, 100, 0, 0, 0), host="https://acme.openai.azure.com/openai/v1", provider="azure"),
    "chat unknown host": Case("chat", wire_cases.chat("gpt-4.1-mini", chat_usage(1000, 100)), "unknown-model", (1000, 100, 0, 0, 0), host="https://llm.example.com/v1", provider="llm.example.com"),
    # Regional processing adds a tenth to newer models: 1.1 × (1000 × 2.50 + 100 × 15)
    "chat regional, newer": Case("chat", wire_cases.chat("gpt-5.4", chat_usage(1000, 100)), 4400, (1000, 100, 0, 0, 0), host="https://eu.api.openai.com/v1", provider="openai"),
    "chat regional, older": Case("chat", wire_cases.chat("gpt-4.1-mini", chat_usage(1000, 100)), 560, (1000, 100, 0, 0, 0), host="https://us.api.openai.com/v1", provider="openai"),
    # ── OpenAI, responses ──
    # 1000 × 0.25 + 100 × 2
    "response": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 100)), 450, (1000, 100, 0, 0, 0)),
    # 600 × 0.25 + 400 × 0.025 + 100 × 2
    "response cached, reasoning": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 100, cached=400, reasoning=64)), 360, (1000, 100, 400, 0, 64)),
    # The terminal event's tier beats the one that was created: 1000 × 0.45 + 100 × 3.60
    "response priority": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 100), service_tier="priority"), 810, (1000, 100, 0, 0, 0)),
    # Cut by max_output_tokens, and billed: 1000 × 0.25 + 100 × 2
    "response incomplete": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 100), status="incomplete", incomplete_details={"reason": "max_output_tokens"}), 450, (1000, 100, 0, 0, 0)),
    # Failed after it had used something: 1000 × 0.25
    "response failed and billed": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 0), status="failed", error={"code": "server_error", "message": "m"}), 250, (1000, 0, 0, 0, 0)),
    "response failed": Case("responses", wire_cases.response("gpt-5-mini", None, status="failed", error={"code": "server_error", "message": "m"}), 0),
    # Searches really made, at 10 USD a thousand: 450 + 2 × 10,000
    "response searched": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 100), [wire_cases.search_call(1), wire_cases.search_call(2, "open_page")], tool_usage=wire_cases.tool_usage(searches=2)), 20_450, (1000, 100, 0, 0, 0)),
    # Without tool_usage, the items that searched: one of three
    "response searched, by its items": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 100), [wire_cases.search_call(1), wire_cases.search_call(2, "open_page"), wire_cases.search_call(3, "find_in_page")]), 10_450, (1000, 100, 0, 0, 0)),
    # The preview tool costs the same on a model that reasons: 450 + 10,000; on others (OpenAI, Pricing, Tools) 25 USD a
    # thousand: 1000 × 2 + 100 × 8 + 25,000
    "response searched, preview": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 100), [wire_cases.search_call(1)], tools=[{"type": "web_search_preview"}]), 10_450, (1000, 100, 0, 0, 0)),
    "response searched, preview, no reasoning": Case("responses", wire_cases.response("gpt-4.1", response_usage(1000, 100), [wire_cases.search_call(1)], tools=[{"type": "web_search_preview"}]), 27_800, (1000, 100, 0, 0, 0)),
    # OpenAI, Pricing, Tools: on these models, results are billed as a block of 8,000 tokens, which the usage contains:
    # 8508 × 0.15 + 463 × 0.60 + 10,000
    "response searched, with its block": Case("responses", wire_cases.response("gpt-4o-mini", response_usage(8508, 463), [wire_cases.search_call(1)]), 11_554, (8508, 463, 0, 0, 0)),
    # Fewer tokens than the block has: it is not within them
    "response searched, billed by the block": Case("responses", wire_cases.response("gpt-4.1-mini", response_usage(1000, 100), tool_usage=wire_cases.tool_usage(searches=1)), "no-price-for:web_search_content", (1000, 100, 0, 0, 0)),
    # A container with 4 GB costs 0.12 USD: 450 + 120,000
    "response code interpreter, larger": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 100), [wire_cases.code_call(1, "c1")], tools=[{"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}}]), 120_450, (1000, 100, 0, 0, 0)),
    "response image tool without a model": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 100), tools=[{"type": "image_generation"}], tool_usage=wire_cases.tool_usage(image=image_usage(20, 0, 1000))), "no-model-of-a-tool", (1000, 100, 0, 0, 0)),
    "response with a tool that did not run": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 100), tools=[{"type": "web_search"}], tool_usage=wire_cases.tool_usage()), 450, (1000, 100, 0, 0, 0)),
    # File search, 2.50 USD a thousand: 450 + 2 × 2500
    "response file search": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 100), [wire_cases.file_search_call(1), wire_cases.file_search_call(2)]), 5450, (1000, 100, 0, 0, 0)),
    # Code interpreter, 0.03 USD a session: three calls in two containers: 450 + 2 × 30,000
    "response code interpreter": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 100), [wire_cases.code_call(1, "c1"), wire_cases.code_call(2, "c1"), wire_cases.code_call(3, "c2")]), 60_450, (1000, 100, 0, 0, 0)),
    # An image made by a tool, at the image model's price: 450 + 20 × 5 + 1000 × 40
    "response image tool": Case("responses", wire_cases.response("gpt-5-mini", response_usage(1000, 100), tools=[{"type": "image_generation", "model": "gpt-image-1"}], tool_usage=wire_cases.tool_usage(image=image_usage(20, 0, 1000))), 40_550, (1020, 1100, 0, 0, 0)),
    # ── OpenAI, images ──
    # 20 × 5 + 1000 × 40
    "image": Case("images", wire_cases.images(image_usage(20, 0, 1000)), 40_100, (20, 1000, 0, 0, 0), asked={"model": "gpt-image-1"}),
    # Text and picture in: 20 × 5 + 300 × 8 + 1000 × 32: what an image endpoint puts out is image
    "image with a picture": Case("images", wire_cases.images(image_usage(20, 300, 1000)), 34_500, (320, 1000, 0, 0, 0), asked={"model": "gpt-image-1.5"}),
    # 20 × 5 + 100 × 10 text + 900 × 32 image
    "image with text out": Case("images", wire_cases.images(image_usage(20, 0, 1000, output_tokens_details={"text_tokens": 100, "image_tokens": 900})), 29_900, (20, 1000, 0, 0, 0), asked={"model": "gpt-image-1.5"}),
    # ── Anthropic, messages ──
    # 1000 × 1 + 100 × 5
    "message": Case("messages", wire_cases.message(HAIKU, message_usage(1000, 100)), 1500, (1000, 100, 0, 0, 0)),
    # Read beside the input: 1000 × 1 + 2000 × 0.10 + 100 × 5
    "message cache read": Case("messages", wire_cases.message(HAIKU, message_usage(1000, 100, cache_read_input_tokens=2000)), 1700, (3000, 100, 2000, 0, 0)),
    # 5-minute write: 1000 × 1 + 400 × 1.25 + 100 × 5
    "message 5-minute write": Case("messages", wire_cases.message(HAIKU, message_usage(1000, 100, **written(five_minutes=400))), 2000, (1400, 100, 0, 400, 0)),
    # A one-hour write has a price of its own: 1000 × 1 + 400 × 2 + 100 × 5
    "message one-hour write": Case("messages", wire_cases.message(HAIKU, message_usage(1000, 100, **written(one_hour=400))), 2300, (1400, 100, 0, 400, 0)),
    # 1000 × 1 + 2000 × 0.10 + 300 × 1.25 + 100 × 2 + 100 × 5
    "message all sorts of cache": Case("messages", wire_cases.message(HAIKU, message_usage(1000, 100, cache_read_input_tokens=2000, **written(300, 100))), 2275, (3400, 100, 2000, 400, 0)),
    # Thinking is within the output: 1000 × 1 + 100 × 5
    "message thinking": Case("messages", wire_cases.message(HAIKU, message_usage(1000, 100, output_tokens_details={"thinking_tokens": 60})), 1500, (1000, 100, 0, 0, 60)),
    "message standard tier": Case("messages", wire_cases.message(HAIKU, message_usage(1000, 100, service_tier="standard", inference_geo="not_available")), 1500, (1000, 100, 0, 0, 0)),
    "message priority tier": Case("messages", wire_cases.message(HAIKU, message_usage(1000, 100, service_tier="priority")), "unknown-context:service_tier=priority", (1000, 100, 0, 0, 0)),
    # Fast mode: 1000 × 10 + 100 × 50
    "message fast": Case("messages", wire_cases.message(OPUS, message_usage(1000, 100, speed="fast")), 15_000, (1000, 100, 0, 0, 0)),
    "message fast on a model without": Case("messages", wire_cases.message(HAIKU, message_usage(1000, 100, speed="fast")), "unknown-context:speed=fast", (1000, 100, 0, 0, 0)),
    # US-only inference: 1.1 × (1000 × 3 + 100 × 15)
    "message US only": Case("messages", wire_cases.message(SONNET, message_usage(1000, 100, inference_geo="us")), 4950, (1000, 100, 0, 0, 0)),
    "message somewhere unknown": Case("messages", wire_cases.message(SONNET, message_usage(1000, 100, inference_geo="moon")), "unknown-context:inference_geo=moon", (1000, 100, 0, 0, 0)),
    # US-only fast mode, and the search costs the same: 1.1 × (1000 × 10 + 100 × 50) + 10,000
    "message US only, fast, searched": Case("messages", wire_cases.message(OPUS, message_usage(1000, 100, inference_geo="us", speed="fast", server_tool_use={"web_search_requests": 1, "web_fetch_requests": 3})), 26_500, (1000, 100, 0, 0, 0)),
    # Searches at 10 USD a thousand; fetching is free: 1500 + 2 × 10,000
    "message searched": Case("messages", wire_cases.message(HAIKU, message_usage(1000, 100, server_tool_use={"web_search_requests": 2, "web_fetch_requests": 5})), 21_500, (1000, 100, 0, 0, 0)),
    # Above 100,000 tokens the prompt and the answer cost five times as much: 150,000 × 0.50 + 100 × 2.50
    "message long context": Case("messages", wire_cases.message("claude-haiku-5-5", message_usage(150_000, 100)), 75_250, (150_000, 100, 0, 0, 0)),
    # The prompt's length counts what was cached: 10,000 × 0.50 + 140,000 × 0.05 + 100 × 2.50
    "message long context, cached": Case("messages", wire_cases.message("claude-haiku-5-5", message_usage(10_000, 100, cache_read_input_tokens=140_000)), 12_250, (150_000, 100, 140_000, 0, 0)),
    "message unknown model": Case("messages", wire_cases.message("claude-99", message_usage(1000, 100)), "unknown-model", (1000, 100, 0, 0, 0)),
    "message contradiction": Case("messages", wire_cases.message(HAIKU, message_usage(1000, 10, output_tokens_details={"thinking_tokens": 60})), "contradictory-usage", (1000, 10, 0, 0, 10)),
    # Compaction is a turn of its own, left out of the top: (23,000 + 180,000) × 3 + (1000 + 3500) × 15
    "message compacted": Case("beta", wire_cases.message(SONNET, message_usage(23_000, 1000, iterations=[turn("compaction", 180_000, 3500), turn("message", 23_000, 1000)])), 676_500, (203_000, 4500, 0, 0, 0)),
    # The advisor at its own model: 1000 × 1 + 100 × 5, and 2000 × 5 + 200 × 25
    "message advised": Case("beta", wire_cases.message(HAIKU, message_usage(1000, 100, iterations=[turn("message", 1000, 100), turn("advisor_message", 2000, 200, OPUS)])), 16_500, (3000, 300, 0, 0, 0)),
    # A declined turn, then the fallback at its own: 500 × 5 + 1 × 25, and 500 × 3 + 80 × 15
    "message fallen back": Case("beta", wire_cases.message(OPUS, message_usage(500, 80, iterations=[turn("message", 500, 1, OPUS), turn("fallback_message", 500, 80, SONNET)])), 5225, (1000, 81, 0, 0, 0)),
    "message advised by an unknown model": Case("beta", wire_cases.message(HAIKU, message_usage(1000, 100, iterations=[turn("message", 1000, 100), turn("advisor_message", 2000, 200, "claude-99")])), "unknown-model", (3000, 300, 0, 0, 0)),
}
# fmt: on

ONE_OF_THEM = {
    # 50 × 0.02
    "embedding": Case("embeddings", wire_cases.embeddings("text-embedding-3-small", 50), 1, (50, 0, 0, 0, 0)),
    # Legacy completions read as chat: 100 × 1.50 + 10 × 2
    "legacy completion": Case(
        "completions",
        {
            "id": wire_cases.an_id("cmpl-"),
            "object": "text_completion",
            "created": 1,
            "model": "gpt-3.5-turbo-instruct",
            "choices": [{"text": "x", "index": 0, "logprobs": None, "finish_reason": "stop"}],
            "usage": chat_usage(100, 10),
        },
        170,
        (100, 10, 0, 0, 0),
    ),
    # The compacted response does not name its model, the request does: 1000 × 0.25 + 100 × 2
    "compaction": Case(
        "compact",
        {
            "id": wire_cases.an_id("resp_"),
            "object": "response.compaction",
            "created_at": 1,
            "output": [],
            "usage": {**response_usage(1000, 100), "total_tokens": 1100},
        },
        450,
        (1000, 100, 0, 0, 0),
    ),
    # The model of a multipart form: 20 × 5 + 300 × 10 + 1000 × 40
    "image edit": Case("edit", wire_cases.images(image_usage(20, 300, 1000)), 43_100, (320, 1000, 0, 0, 0)),
    # 60 seconds of 0.36 USD an hour
    "transcription by seconds": Case(
        "transcription", {"text": "x", "usage": {"type": "duration", "seconds": 60}}, 6000, asked={"model": "whisper-1"}
    ),
    # OpenAI, Pricing, Transcription models: 10 text × 2.50 + 200 audio × 2.50 + 50 × 10
    "transcription by tokens": Case(
        "transcription",
        {
            "text": "x",
            "usage": {
                "type": "tokens",
                "input_tokens": 210,
                "input_token_details": {"text_tokens": 10, "audio_tokens": 200},
                "output_tokens": 50,
                "total_tokens": 260,
            },
        },
        1025,
        (210, 50, 0, 0, 0),
        asked={"model": "gpt-4o-transcribe"},
    ),
    # Two seconds of sound, told by the file alone: 2 / 3600 × 0.36 USD
    "transcription, silent answer": Case(
        "transcription", b"just text", 200, asked={"model": "whisper-1", "response_format": "text"}
    ),
    # 11 characters of 15 USD a million
    "speech by characters": Case("speech", b"RIFF\x00\x01", 165, asked={"model": "tts-1"}),
    "speech by tokens, silent answer": Case(
        "speech", b"RIFF\x00\x01", "no-price-for:input_characters", asked={"model": "gpt-4o-mini-tts"}
    ),
    "picture of a model without a price": Case(
        "images", wire_cases.images(None), "no-usage", asked={"model": "gpt-image-1"}
    ),
    "empty answer": Case("raw chat", b"", "no-usage"),
    "no JSON": Case("raw chat", b"<html>busy</html>", "no-usage"),
}


def recording(stream: bool) -> bytes:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\x00\x00" * 16000)
    return sound.getvalue()


def call(case: Case, openai: OpenAI, anthropic: Anthropic, *, stream: bool) -> None:
    """Make the call by the SDK, and read the whole answer."""
    options: dict[str, Any] = {"stream": True} if stream else {}
    model = case.body["model"] if isinstance(case.body, dict) and "model" in case.body else "gpt-5-mini"
    asked: dict[str, Any] = {"model": model, **options, **case.asked}
    sound = ("two-seconds.wav", recording(stream))
    calls: dict[str, Callable[[], Any]] = {
        "chat": lambda: openai.chat.completions.create(messages=PROMPT, **asked),
        "raw chat": lambda: openai.chat.completions.with_raw_response.create(messages=PROMPT, **asked),
        "responses": lambda: openai.responses.create(input="Hello", **asked),
        "compact": lambda: openai.responses.compact(input="Hello", **asked),
        "embeddings": lambda: openai.embeddings.create(input="Hello", **asked),
        "completions": lambda: openai.completions.create(prompt="Hello", **asked),
        "images": lambda: openai.images.generate(prompt="A desk", **asked),
        "edit": lambda: openai.images.edit(prompt="A desk", image=b"PNG", model="gpt-image-1"),
        "transcription": lambda: openai.audio.transcriptions.create(file=sound, **asked),
        "speech": lambda: openai.audio.speech.create(input="Hello world", voice="alloy", **asked).read(),
        "messages": lambda: anthropic.messages.create(max_tokens=100, messages=PROMPT, **asked),
        "beta": lambda: anthropic.beta.messages.create(max_tokens=100, messages=PROMPT, **asked),
    }
    answer = calls[case.api]()
    if stream:
        for _ in answer:
            pass


def answering(case: Case, *, stream: bool) -> httpx2.Response:
    if not stream:
        kind = "audio/mpeg" if case.api == "speech" else "application/json"
        return plain(case.body, headers={"content-type": kind})
    makers: dict[str, Callable[[Any], bytes]] = {
        "chat": wire_cases.chat_stream,
        "responses": wire_cases.response_stream,
        "images": lambda body: wire_cases.images_stream(body["usage"]),
        "messages": wire_cases.message_stream,
        "beta": wire_cases.message_stream,
    }
    body = makers[case.api](case.body)
    return streamed(*(body[start : start + 100] for start in range(0, len(body), 100)))


def check(case: Case, drained: Callable[[], int], *, stream: bool) -> None:
    org = factories.organization()
    transport = Provider(lambda _request: answering(case, stream=stream))
    http_client = httpx2.Client(transport=transport)
    openai = OpenAI(
        api_key="k", http_client=http_client, max_retries=0, base_url=case.host or "https://api.openai.com/v1"
    )
    anthropic = Anthropic(
        api_key="k", http_client=http_client, max_retries=0, base_url=case.host or "https://api.anthropic.com"
    )
    with usage_context(org=org):
        call(case, openai, anthropic, stream=stream)

    assert drained() == 1
    record = UsageRecord.objects.get(org=org)
    tokens = (
        record.prompt_tokens,
        record.completion_tokens,
        record.cached_tokens,
        record.cache_write_tokens,
        record.reasoning_tokens,
    )
    if isinstance(case.millionths, str):
        assert (record.cost_usd, record.price_source) == (None, f"unpriced:{case.millionths}")
    else:
        assert record.cost_usd == Decimal(case.millionths) / 1_000_000, record.price_source
        parts = record.response_metadata.get("cost_parts")
        assert parts is None or sum(map(Decimal, parts.values())) == record.cost_usd
    assert tokens == case.tokens
    whose = "anthropic" if case.api in ("messages", "beta") else "openai"
    assert record.ai_provider == (case.provider or whose)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("name", BOTH_WAYS)
def test_answer_costs_what_the_provider_charges(name: str, stream: bool, drained: Callable[[], int]) -> None:
    check(BOTH_WAYS[name], drained, stream=stream)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ONE_OF_THEM)
def test_answer_of_one_kind_costs_what_the_provider_charges(name: str, drained: Callable[[], int]) -> None:
    check(ONE_OF_THEM[name], drained, stream=False)


def test_cases_are_many_and_each_is_its_own() -> None:
    cases = [*BOTH_WAYS.values(), *ONE_OF_THEM.values()]
    assert 2 * len(BOTH_WAYS) + len(ONE_OF_THEM) >= 60
    bodies = [json.dumps(case.body, default=repr, sort_keys=True) + case.host + repr(case.asked) for case in cases]
    assert len(set(bodies)) == len(bodies)


@pytest.mark.parametrize(("until", "completion"), [("message_start", 1), ("ping", 1), ("content_block_delta", 1)])
def test_a_message_cut_short_keeps_what_went_in_and_its_cost_is_not_known(
    until: str, completion: int, drained: Callable[[], int]
) -> None:
    org = factories.organization()
    body = wire_cases.message_stream(wire_cases.message(HAIKU, message_usage(1000, 100)), until=until)
    client = Anthropic(api_key="k", http_client=httpx2.Client(transport=Provider(lambda _request: streamed(body))))
    with usage_context(org=org):
        for _ in client.messages.create(model=HAIKU, max_tokens=100, messages=PROMPT, stream=True):
            pass
    drained()
    record = UsageRecord.objects.get(org=org)
    assert (record.status, record.prompt_tokens, record.completion_tokens) == ("aborted", 1000, completion)
    assert (record.cost_usd, record.price_source) == (None, "unpriced:cut-short")
