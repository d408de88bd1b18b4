"""Reads the usage in Anthropic's answers (API reference: Messages, Streaming messages). Pure; no Django."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ai_clients.usage import anthropic_refusals, anthropic_stream_usage
from ai_clients.usage.answer import NO_USAGE, Answer, decoder, has_usage, text, usage_block
from usage_billing.recording.event import Flavour


class _Message(msgspec.Struct):
    id: Any = None
    model: Any = None
    usage: msgspec.Raw = NO_USAGE
    stop_reason: Any = None
    stop_details: Any = None


class _Content(msgspec.Struct):
    content: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    message: _Message | None = None
    usage: msgspec.Raw = NO_USAGE
    error: Any = None
    delta: Any = None
    content_block: Any = None


_OUTPUT = {"type": "output"}
"""Stands for a content block of any other type: a large one is not decoded."""

_decode_message = decoder(_Message)
_decode_content = decoder(_Content)
_decode_event = decoder(_Event)
_decode_usage = decoder(dict[str, Any])


def read_body(_flavour: Flavour, body: bytes) -> Answer:
    """The answer of a plain body. Raises `msgspec.DecodeError` if it is not a JSON object."""
    message = _decode_message(body)
    response: dict[str, Any] = {}
    if message.stop_reason == "refusal" or anthropic_refusals.FALLBACK in body:
        usage = _decode_usage(message.usage) if has_usage(message.usage) else {}
        content = _decode_content(body).content
        response = anthropic_refusals.told(content, message.stop_reason, message.stop_details, usage)
    return Answer(id=text(message.id), model=text(message.model), usage=usage_block(message.usage), response=response)


def read_stream(_flavour: Flavour, events: Sequence[bytes]) -> Answer:
    """The answer of a stream from its events' data; the stream may be cut short or empty.

    `message_delta` is cumulative; `message_start` alone has the cache breakdown, the tier and the geography. A stream
    that is cut before its end still has the input tokens.
    """
    message, complete, error = _Message(), False, ""
    usage: dict[str, Any] = {}
    blocks: list[Any] = []
    delta: dict[str, Any] = {}
    for data in events:
        if b'"message_start"' in data:
            event = _decode_event(data)
            message = event.message or message
            usage = anthropic_stream_usage.merged(usage, _fields(message.usage))
        elif b'"message_delta"' in data:
            event = _decode_event(data)
            usage = anthropic_stream_usage.merged(usage, _fields(event.usage))
            complete = complete or event.type == "message_delta"
            delta |= event.delta if isinstance(event.delta, dict) else {}
        elif b'"content_block_start"' in data:
            blocks.append(_decode_event(data).content_block if anthropic_refusals.FALLBACK in data else _OUTPUT)
        elif b'"error"' in data and (event := _decode_event(data)).type == "error":
            error = error_code(event.error) or "error"
    return Answer(
        id=text(message.id),
        model=text(message.model),
        usage=msgspec.Raw(msgspec.json.encode(usage)) if usage else NO_USAGE,
        status="succeeded" if complete and not error else "aborted",
        error_code=error,
        response=anthropic_refusals.told(
            blocks, delta.get("stop_reason"), delta.get("stop_details"), usage, streamed=True
        ),
    )


def error_code(error: Any) -> str:
    """The short name in an error object, `{"type": "error", "error": {"type": …}}`."""
    return text(error.get("type")) if isinstance(error, dict) else ""


def _fields(raw: msgspec.Raw) -> dict[str, Any]:
    return _decode_usage(raw) if has_usage(raw) else {}
