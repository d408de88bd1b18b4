"""Reads the usage in OpenAI's answers (API reference: Chat, Responses, Images, Audio and others). Pure; no Django."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ai_clients.usage.answer import (
    NO_USAGE,
    Answer,
    decoder,
    has_usage,
    names_usage,
    seconds,
    text,
    usage_block,
)
from ai_clients.usage.openai_tools import DEFAULT_MEMORY, NO_TOOLS, ToolUse, ran, svg_part, tool_use
from usage_billing.recording.event import Flavour, Status

# `response.failed` may bill what was used until then, `response.incomplete` always does.
RESPONSE_STATUS: dict[str, Status] = {
    "completed": "succeeded",
    "incomplete": "succeeded",
    "failed": "failed",
    "cancelled": "aborted",
    "queued": "pending",
    "in_progress": "pending",
}
ENDED = ("completed", "incomplete", "failed", "cancelled")
TERMINAL = ("response.completed", "response.incomplete", "response.failed")
DONE: dict[Flavour, tuple[str, ...]] = {
    "images": ("image_generation.completed", "image_edit.completed"),
    "transcription": ("transcript.text.done",),
    "speech": ("speech.audio.done",),
}
"""The events that end a stream of these APIs, and carry its usage."""

TERMINAL_WORDS = tuple(word.encode() for word in TERMINAL)
_DONE_WORDS = {flavour: tuple(word.encode() for word in words) for flavour, words in DONE.items()}


class _Body(msgspec.Struct):
    """The few fields of an answer that are decoded. They may have any type: other hosts imitate OpenAI's answers."""

    id: Any = None
    type: Any = None
    model: Any = None
    usage: msgspec.Raw = NO_USAGE
    service_tier: Any = None
    status: Any = None
    error: Any = None
    background: Any = None
    duration: Any = None
    tool_usage: msgspec.Raw = NO_USAGE
    svg_usage: msgspec.Raw = NO_USAGE
    memory_limit: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    response: msgspec.Raw = NO_USAGE
    error: Any = None
    code: Any = None


_decode_body = decoder(_Body)
_decode_event = decoder(_Event)


def read_body(flavour: Flavour, body: bytes) -> Answer:
    """The answer of a plain body. Raises `msgspec.DecodeError` if it is not a JSON object."""
    decoded = _decode_body(body)
    if flavour == "responses":
        return _response(decoded, body, called=ran(body))
    answer = _answer(decoded)
    if flavour == "containers":
        memory = text(decoded.memory_limit) or DEFAULT_MEMORY
        return msgspec.structs.replace(answer, status="succeeded", response={"containers": {answer.id: memory}})
    if flavour == "chat":
        return _with_searches(answer, body)
    if flavour == "images":
        return msgspec.structs.replace(answer, parts=svg_part(decoded.svg_usage))
    if flavour == "transcription" and not has_usage(decoded.usage):
        return msgspec.structs.replace(answer, units=seconds(decoded.duration))
    return answer


def read_stream(flavour: Flavour, events: Sequence[bytes]) -> Answer:
    """The answer of a stream from its events' data; the stream may be cut short or empty."""
    if flavour == "responses":
        return _read_response_events(events)
    if flavour in DONE:
        return _read_done_events(flavour, events)
    return _with_searches(_read_chunks(events), b"".join(events))


def read_usual_chunks(stream: bytes) -> Answer | None:
    """The answer of a whole stream of chat chunks that ends with one usage and `[DONE]`, as nearly all do.

    None for any other: `read_stream` looks at its events one by one, which takes 20 µs for 50 of them (here: 4).
    """
    at = stream.rfind(_USAGE)
    start, end = stream.rfind(b"\n", 0, at) + 1, stream.find(b"\n", at)
    is_usual = (
        at >= 0
        and stream.startswith(_CHUNK)
        and stream.startswith(_CHUNK, start)
        and stream.endswith(_LAST)
        and names_usage(final := stream[start + len(_DATA) : end])
        and b"\r" not in stream
        and not _cites(stream)
    )
    return _with_searches(_of_chunks(stream[len(_DATA) : stream.find(b"\n")], final), b"") if is_usual else None


_DATA, _CHUNK, _LAST, _USAGE = b"data: ", b"data: {", b"\n\ndata: [DONE]\n\n", b'"usage"'


def _read_chunks(events: Sequence[bytes]) -> Answer:
    first = next((event for event in events if event.startswith(b"{")), b"{}")
    # A chunk with `usage: null` may follow it.
    final = next((event for event in reversed(events) if names_usage(event)), None)
    if final is not None:
        return _of_chunks(first, final)
    answer = _answer(_decode_body(first))
    if b"[DONE]" in events:
        return answer
    return msgspec.structs.replace(answer, status="aborted", error_code=_stream_error(events))


def _of_chunks(first: bytes, final: bytes) -> Answer:
    opening, body = _decode_body(first), _decode_body(final)
    body.id = body.id or opening.id
    body.model = body.model or opening.model
    body.service_tier = body.service_tier or opening.service_tier
    return _answer(body)


def _read_done_events(flavour: Flavour, events: Sequence[bytes]) -> Answer:
    """Several images may end one after the other; OpenAI does not document how their usage blocks add up."""
    words = _DONE_WORDS[flavour]
    done = [_decode_body(event) for event in events if any(word in event for word in words)]
    done = [body for body in done if body.type in DONE[flavour]]
    if not done:
        return Answer(status="aborted", error_code=_stream_error(events))
    answer = _answer(done[-1])
    return msgspec.structs.replace(answer, context={"images": "several-usages"}) if len(done) > 1 else answer


def _read_response_events(events: Sequence[bytes]) -> Answer:
    """Only the terminal event counts: its usage, and its `service_tier` over the one of `response.created`."""
    for event in reversed(events):
        if any(word in event for word in TERMINAL_WORDS):
            decoded = _decode_event(event)
            if decoded.type in TERMINAL and has_usage(decoded.response):
                body = _decode_body(decoded.response)
                return _response(body, decoded.response, called=ran(event))
    first = _decode_event(events[0]) if events else _Event()
    created = _decode_body(first.response) if has_usage(first.response) else _Body()
    # A background response goes on after the stream; a later fetch completes it.
    status: Status = "pending" if created.background is True else "aborted"
    answer = _answer(created)
    return msgspec.structs.replace(answer, status=status, error_code=_stream_error(events))


def _answer(body: _Body, status: Status = "succeeded", tools: ToolUse = NO_TOOLS) -> Answer:
    context = {"service_tier": body.service_tier} if text(body.service_tier) else {}
    return Answer(
        id=text(body.id),
        model=text(body.model),
        usage=usage_block(body.usage),
        status=status,
        error_code="" if body.error is None else error_code(body.error),
        units=tools.units,
        parts=tools.parts,
        context=context | tools.context if tools.context else context,
        response=tools.response,
    )


def _response(body: _Body, raw: bytes | msgspec.Raw, *, called: bool) -> Answer:
    try:
        tools = tool_use(raw, body.tool_usage, called=called)
    except msgspec.DecodeError:
        tools = ToolUse(context={"tools": "unreadable"})
    answer = _answer(body, RESPONSE_STATUS.get(text(body.status), "succeeded"), tools)
    if body.background is True and body.status in ENDED:
        return msgspec.structs.replace(answer, completes=True)
    return answer


def _with_searches(answer: Answer, body: bytes) -> Answer:
    """Mark an answer that searched the web: it does not say how often (OpenAI guide: Web search).

    Search models always search; others have searched if the body cites web pages. (Quotes inside JSON strings are
    escaped, so no text can look like a citation.)
    """
    if _cites(body) or "-search-preview" in answer.model or "-search-api" in answer.model:
        return msgspec.structs.replace(answer, context=answer.context | {"search": "unknown-number"})
    return answer


def _cites(body: bytes) -> bool:
    return body.rfind(b'"url_citation"') >= 0  # in a text without it, four times as fast as `in`


def error_code(error: Any) -> str:
    """The short name of an error object, `{"error": {"code": …, "type": …}}`: its `code`, else its `type`."""
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
