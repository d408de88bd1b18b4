"""Bodies as the providers send them, built from the SDKs' own types."""

from __future__ import annotations

import itertools
import json
from typing import Any

from anthropic.types import Message
from anthropic.types.beta import BetaMessage
from openai.types import CompletionUsage, CreateEmbeddingResponse, ImagesResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

_numbers = itertools.count(1)


def an_id(prefix: str) -> str:
    return f"{prefix}{next(_numbers):040d}"


def sse(*events: dict[str, Any] | str, named: bool = False) -> bytes:
    lines = []
    for event in events:
        name = f"event: {event['type']}\n" if named and isinstance(event, dict) else ""
        lines.append(f"{name}data: {event if isinstance(event, str) else json.dumps(event)}\n\n")
    return "".join(lines).encode()


# ── OpenAI, chat ─────────────────────────────────────────────────────────────────────────────────────────────────


def chat(model: str, usage: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
    completion = ChatCompletion.model_validate(
        {
            "id": an_id("chatcmpl-"),
            "object": "chat.completion",
            "created": 1790000000,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "logprobs": None,
                    "message": {"role": "assistant", "content": 'It says "usage":{"prompt_tokens":1}', "refusal": None},
                }
            ],
            "usage": usage and CompletionUsage.model_validate(usage),
            **fields,
        }
    )
    return completion.model_dump(mode="json", exclude_unset=True)


def chat_stream(completion: dict[str, Any]) -> bytes:
    """The same answer as a stream whose request asked for usage. A chunk with null usage follows the usage chunk."""
    head = {name: completion[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    if "service_tier" in completion:
        head["service_tier"] = completion["service_tier"]

    def chunk(delta: dict[str, Any], finish: str | None, usage: Any) -> dict[str, Any]:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}] if finish != "none" else []
        whole = ChatCompletionChunk.model_validate({**head, "choices": choices, "usage": usage})
        return whole.model_dump(mode="json", exclude_unset=True)

    return sse(
        chunk({"role": "assistant", "content": ""}, None, None),
        chunk({"content": completion["choices"][0]["message"]["content"]}, None, None),
        chunk({}, "stop", None),
        chunk({}, "none", completion["usage"]),
        "[DONE]",
    )


# ── OpenAI, responses ────────────────────────────────────────────────────────────────────────────────────────────


def response(
    model: str, usage: dict[str, Any] | None, output: list[Any] | None = None, **fields: Any
) -> dict[str, Any]:
    details = {"input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}}
    details |= {"output_tokens_details": {"reasoning_tokens": 0}}
    whole = Response.model_validate(
        {
            "id": an_id("resp_"),
            "object": "response",
            "created_at": 1790000000,
            "model": model,
            "status": "completed",
            "error": None,
            "output": output or [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": usage and {**details, "total_tokens": usage["input_tokens"] + usage["output_tokens"], **usage},
            **fields,
        }
    )
    return whole.model_dump(mode="json", exclude_unset=True)


def response_stream(whole: dict[str, Any]) -> bytes:
    """The same answer as a stream. Its `created` event has another tier and no usage."""
    created = {**whole, "status": "in_progress", "usage": None, "service_tier": "auto", "output": []}
    created.pop("tool_usage", None)
    return sse(
        {"type": "response.created", "sequence_number": 0, "response": created},
        {"type": "response.in_progress", "sequence_number": 1, "response": created},
        {
            "type": "response.output_text.delta",
            "sequence_number": 2,
            "item_id": "i",
            "output_index": 0,
            "content_index": 0,
            "delta": '"usage":{"input_tokens":1} response.completed',
            "logprobs": [],
        },
        {"type": f"response.{whole['status']}", "sequence_number": 3, "response": whole},
        named=True,
    )


def search_call(number: int, action: str = "search") -> dict[str, Any]:
    told = {
        "search": {"query": "q"},
        "open_page": {"url": "https://e.com"},
        "find_in_page": {"url": "u", "pattern": "p"},
    }
    return {
        "id": f"ws_{number}",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": action, **told[action]},
    }


def file_search_call(number: int) -> dict[str, Any]:
    return {"id": f"fs_{number}", "type": "file_search_call", "status": "completed", "queries": ["q"], "results": None}


def code_call(number: int, container: str) -> dict[str, Any]:
    return {
        "id": f"ci_{number}",
        "type": "code_interpreter_call",
        "status": "completed",
        "container_id": container,
        "code": "1+1",
        "outputs": None,
    }


def tool_usage(searches: int = 0, image: dict[str, Any] | None = None) -> dict[str, Any]:
    nothing = {
        "input_tokens": 0,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
        "output_tokens": 0,
        "total_tokens": 0,
    }
    return {"image_gen": image or nothing, "web_search": {"num_requests": searches}}


# ── OpenAI, the rest ─────────────────────────────────────────────────────────────────────────────────────────────


def embeddings(model: str, tokens: int) -> dict[str, Any]:
    return CreateEmbeddingResponse.model_validate(
        {
            "object": "list",
            "model": model,
            "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    ).model_dump(mode="json", exclude_unset=True)


def images(usage: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
    return ImagesResponse.model_validate(
        {"created": 1790000000, "data": [{"b64_json": "aGk="}], "usage": usage, **fields}
    ).model_dump(mode="json", exclude_unset=True)


def images_stream(usage: dict[str, Any]) -> bytes:
    about = {"b64_json": "aGk=", "created_at": 1, "size": "1024x1024", "quality": "low", "output_format": "png"}
    about["background"] = "opaque"
    return sse(
        {"type": "image_generation.partial_image", "partial_image_index": 0, **about},
        {"type": "image_generation.completed", **about, "usage": usage},
        named=True,
    )


# ── Anthropic ────────────────────────────────────────────────────────────────────────────────────────────────────


def message(model: str, usage: dict[str, Any], **fields: Any) -> dict[str, Any]:
    kind: Any = BetaMessage if "iterations" in usage else Message
    whole = kind.model_validate(
        {
            "id": an_id("msg_01"),
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": 'Hello "message_delta" {"usage":{"input_tokens":1}}'}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": usage,
            **fields,
        }
    )
    body: dict[str, Any] = whole.model_dump(mode="json", exclude_unset=True)
    return body


def message_stream(whole: dict[str, Any], *, until: str = "") -> bytes:
    """The same answer as a stream. Its start has the cache breakdown, tier and region; its deltas are cumulative."""
    usage = whole["usage"]
    start = {**usage, "output_tokens": 1}
    for name in ("server_tool_use", "iterations", "output_tokens_details"):
        start.pop(name, None)
    late = {
        name: usage[name]
        for name in (
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
            "server_tool_use",
            "iterations",
            "output_tokens_details",
            "output_tokens",
        )
        if name in usage
    }
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None, "usage": start}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": '"usage":{"x":1}'}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": late},
        {"type": "message_stop"},
    ]
    if until:
        events = events[: [event["type"] for event in events].index(until) + 1]
    return sse(*events, named=True)
