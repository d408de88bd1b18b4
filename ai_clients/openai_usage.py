"""What OpenAI's answers say about usage (API reference: Chat, Responses, Embeddings, Images). Pure; no Django."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ai_clients.answer import NO_USAGE, Answer, decoder, names_usage, text, usage_block
from usage_billing.recording.event import Flavour, Status

FLAVOURS: dict[str, Flavour] = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/embeddings": "embeddings",
    "/images/generations": "images",
    "/images/edits": "images",
}
"""End of the path → API. Azure and other hosts put their own words in front of it."""

# `response.failed` may bill what was used until then, `response.incomplete` always does.
RESPONSE_STATUS: dict[str, Status] = {
    "completed": "succeeded",
    "incomplete": "succeeded",
    "failed": "failed",
    "cancelled": "aborted",
    "queued": "pending",
    "in_progress": "pending",
}
TERMINAL = ("response.completed", "response.incomplete", "response.failed")


class _Body(msgspec.Struct):
    """The few fields of an answer that are decoded; of any type, for other hosts answer in OpenAI's shape too."""

    id: Any = None
    model: Any = None
    usage: msgspec.Raw = NO_USAGE
    service_tier: Any = None
    status: Any = None
    error: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    response: _Body | None = None
    error: Any = None
    code: Any = None


_decode_body = decoder(_Body)
_decode_event = decoder(_Event)


def read_body(flavour: Flavour, body: bytes) -> Answer:
    """The answer of a plain body. Raises `msgspec.DecodeError` if it is not a JSON object."""
    return _answer(_decode_body(body), flavour)


def read_stream(flavour: Flavour, events: Sequence[bytes]) -> Answer:
    """The answer of a stream from its events' data, complete or cut short; of any length, also none."""
    if flavour == "responses":
        return _read_response_events(events)
    first = next((event for event in events if event.startswith(b"{")), b"{}")
    # Not always the last one: a chunk with `usage: null` may follow.
    final = next((event for event in reversed(events) if names_usage(event)), None)
    if final is not None:
        opening, closing = _decode_body(first), _decode_body(final)
        closing.id = closing.id or opening.id
        closing.model = closing.model or opening.model
        closing.service_tier = closing.service_tier or opening.service_tier
        return _answer(closing, flavour)
    answer = _answer(_decode_body(first), flavour)
    if b"[DONE]" in events:
        return answer
    return msgspec.structs.replace(answer, status="aborted", error_code=_stream_error(events))


def _read_response_events(events: Sequence[bytes]) -> Answer:
    """Only the terminal event counts: its usage, and its `service_tier` over the one of `response.created`."""
    for event in reversed(events):
        if any(name.encode() in event for name in TERMINAL):
            decoded = _decode_event(event)
            if decoded.type in TERMINAL and decoded.response is not None:
                return _answer(decoded.response, "responses")
    first = _decode_event(events[0]) if events else _Event()
    answer = _answer(first.response or _Body(), "responses")
    return msgspec.structs.replace(answer, status="aborted", error_code=_stream_error(events))


def _answer(body: _Body, flavour: Flavour) -> Answer:
    status: Status = "succeeded"
    if flavour == "responses":
        status = RESPONSE_STATUS.get(text(body.status), "succeeded")
    return Answer(
        id=text(body.id),
        model=text(body.model),
        usage=usage_block(body.usage),
        status=status,
        error_code=error_code(body.error),
        context={"service_tier": body.service_tier} if text(body.service_tier) else {},
    )


def error_code(error: Any) -> str:
    """The short name in an error object, `{"error": {"code": …, "type": …}}`: OpenAI's `code`, else its `type`."""
    if not isinstance(error, dict):
        return ""
    return text(error.get("code")) or text(error.get("type"))


def _stream_error(events: Sequence[bytes]) -> str:
    """The error that a stream ended with, if it names one: `{"error": {…}}`, or `{"type": "error", "code": …}`."""
    for event in reversed(events):
        if b'"error"' in event:
            decoded = _decode_event(event)
            if decoded.type == "error" or isinstance(decoded.error, dict):
                return error_code(decoded.error) or text(decoded.code) or "error"
    return ""
