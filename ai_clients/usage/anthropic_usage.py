"""Reads the usage in Anthropic's answers (API reference: Messages, Streaming messages). Pure; no Django."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ai_clients.usage.answer import NO_USAGE, Answer, decoder, has_usage, text, usage_block
from usage_billing.recording.event import Flavour


class _Message(msgspec.Struct):
    id: Any = None
    model: Any = None
    usage: msgspec.Raw = NO_USAGE


class _Event(msgspec.Struct):
    type: Any = None
    message: _Message | None = None
    usage: msgspec.Raw = NO_USAGE
    error: Any = None


_decode_message = decoder(_Message)
_decode_event = decoder(_Event)
_decode_usage = decoder(dict[str, Any])


def read_body(_flavour: Flavour, body: bytes) -> Answer:
    """The answer of a plain body. Raises `msgspec.DecodeError` if it is not a JSON object."""
    message = _decode_message(body)
    return Answer(id=text(message.id), model=text(message.model), usage=usage_block(message.usage))


def read_stream(_flavour: Flavour, events: Sequence[bytes]) -> Answer:
    """The answer of a stream from its events' data; the stream may be cut short or empty.

    `message_delta` is cumulative and overrides `message_start`, which alone has the cache breakdown, the tier and the
    geography. A stream that is cut before it still has the input tokens.
    """
    message, complete, error = _Message(), False, ""
    usage: dict[str, Any] = {}
    for data in events:
        if b'"message_start"' in data:
            event = _decode_event(data)
            message = event.message or message
            usage |= _known(message.usage)
        elif b'"message_delta"' in data:
            event = _decode_event(data)
            usage |= _known(event.usage)
            complete = event.type == "message_delta"
        elif b'"error"' in data and (event := _decode_event(data)).type == "error":
            error = text(event.error.get("type")) if isinstance(event.error, dict) else "error"
    return Answer(
        id=text(message.id),
        model=text(message.model),
        usage=msgspec.Raw(msgspec.json.encode(usage)) if usage else NO_USAGE,
        status="succeeded" if complete and not error else "aborted",
        error_code=error,
    )


def error_code(error: Any) -> str:
    """The short name in an error object, `{"type": "error", "error": {"type": …}}`."""
    return text(error.get("type")) if isinstance(error, dict) else ""


def _known(raw: msgspec.Raw) -> dict[str, Any]:
    """The fields of a usage block that are not null."""
    fields = _decode_usage(raw) if has_usage(raw) else {}
    return {name: value for name, value in fields.items() if value is not None}
