"""Bodies built from the SDKs' own types, as on the wire, and the events that they should produce."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
from openai.types import CreateEmbeddingResponse, ImagesResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseUsage
from pydantic import BaseModel

from ai_clients import Anthropic, AsyncOpenAI, OpenAI
from tests.support.recorded import Recorded
from tests.support.scripted import Provider
from usage_billing.recording.event import Event

RESPONSE_ID = "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b"
CHAT_ID = "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT"
TOKENS = ResponseUsage(
    input_tokens=36,
    input_tokens_details={"cached_tokens": 4, "cache_write_tokens": 0},  # type: ignore[arg-type]
    output_tokens=87,
    output_tokens_details={"reasoning_tokens": 7},  # type: ignore[arg-type]
    total_tokens=123,
).to_dict()
CHAT_TOKENS = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
IMAGE_TOKENS = {
    "input_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
    "output_tokens": 1056,
    "total_tokens": 1106,
}

Answer = Callable[[httpx2.Request], httpx2.Response]


def body(type_: type[BaseModel], **fields: Any) -> dict[str, Any]:
    """The JSON of an SDK type. Fails if the SDK could not read it."""
    return type_.model_validate(fields).model_dump(mode="json", exclude_unset=True)


def response(**fields: Any) -> dict[str, Any]:
    """An answer of the Responses API."""
    return body(
        Response,
        **{
            "id": RESPONSE_ID,
            "object": "response",
            "created_at": 1741476542,
            "status": "completed",
            "error": None,
            "model": "gpt-5.4-2026-03-05",
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "service_tier": "default",
            "usage": TOKENS,
            **fields,
        },
    )


def response_events(last: str, **fields: Any) -> list[dict[str, Any]]:
    """The events of a streamed response: `created` with the requested tier, some text, then `last`."""
    created = response(**{**fields, "status": "in_progress", "usage": None, "output": [], "service_tier": "auto"})
    created.pop("tool_usage", None)
    ended = response(**{**fields, "status": last})
    return [
        {"type": "response.created", "sequence_number": 0, "response": created},
        {"type": "response.in_progress", "sequence_number": 1, "response": created},
        {
            "type": "response.output_text.delta",
            "sequence_number": 2,
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "delta": 'Hi "response.completed" "web_search_call" {"usage": {}}',
            "logprobs": [],
        },
        {"type": f"response.{last}", "sequence_number": 3, "response": ended},
    ]


def chat(**fields: Any) -> dict[str, Any]:
    """An answer of the Chat Completions API."""
    message = {"role": "assistant", "content": "Hi!", **fields.pop("message", {})}
    return body(
        ChatCompletion,
        **{
            "id": CHAT_ID,
            "object": "chat.completion",
            "created": 1741569952,
            "model": "gpt-4.1-2025-04-14",
            "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}],
            "usage": CHAT_TOKENS,
            "service_tier": "default",
            **fields,
        },
    )


def chat_chunks(delta: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """The chunks of a streamed chat completion whose request asked for usage."""
    common = {
        "id": CHAT_ID,
        "object": "chat.completion.chunk",
        "created": 1741569952,
        "model": "gpt-4.1-2025-04-14",
        "service_tier": "default",
        **fields,
    }
    choices = [{"index": 0, "delta": {"content": "Hi!", **delta}, "finish_reason": None}]
    return [
        body(ChatCompletionChunk, **common, choices=choices, usage=None),
        body(ChatCompletionChunk, **common, choices=[], usage=CHAT_TOKENS),
    ]


def embeddings() -> dict[str, Any]:
    return body(
        CreateEmbeddingResponse,
        object="list",
        data=[{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
        model="text-embedding-3-small",
        usage={"prompt_tokens": 8, "total_tokens": 8},
    )


def images(**fields: Any) -> dict[str, Any]:
    return body(ImagesResponse, **{"created": 1, "data": [{"b64_json": "AAAA"}], "usage": IMAGE_TOKENS, **fields})


def seen(event: Event) -> dict[str, Any]:
    """The event's facts about the answer, without its time, its job and default values."""
    said = msgspec.structs.asdict(event) | {"usage": msgspec.json.decode(event.usage)}
    said["parts"] = [
        {"model": part.model, "api": part.api, "usage": msgspec.json.decode(part.usage)} for part in event.parts
    ]
    for name in ("started_at", "duration_ms", "attribution", "origin", "job", "is_listed"):
        del said[name]
    return {name: value for name, value in said.items() if value not in ("", {}, [], None, False)}


def one(recorded: Recorded) -> dict[str, Any]:
    return seen(recorded.one())


def openai_of(answer: Answer, **options: Any) -> OpenAI:
    """A recording client of a scripted provider, without retries."""
    client = httpx2.Client(transport=Provider(answer))
    return OpenAI(**{"api_key": "k", "http_client": client, "max_retries": 0, **options})


def async_openai_of(answer: Answer) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="k", http_client=httpx2.AsyncClient(transport=Provider(answer)), max_retries=0)


def anthropic_of(answer: Answer) -> Anthropic:
    return Anthropic(api_key="k", http_client=httpx2.Client(transport=Provider(answer)), max_retries=0)


def wav(seconds: float, rate: int = 8000) -> bytes:
    """Silence, one channel, 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(rate)
        audio.writeframes(b"\0\0" * round(seconds * rate))
    return file.getvalue()
