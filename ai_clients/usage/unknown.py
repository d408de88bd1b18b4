"""Reads the usage of an endpoint that this package does not know, by the shape of its answer. Pure; no Django.

Both providers put a `usage` object into an answer, or into an event of a stream; OpenAI's events may hold the whole
response, Anthropic's a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ai_clients.usage import anthropic_usage, openai_usage
from ai_clients.usage.answer import NO_USAGE, Answer, decoder, has_usage
from usage_billing.recording.event import Flavour


class _Body(msgspec.Struct):
    usage: msgspec.Raw = NO_USAGE
    response: msgspec.Raw = NO_USAGE
    message: msgspec.Raw = NO_USAGE


_decode = decoder(_Body)


def read_body(_flavour: Flavour, body: bytes) -> Answer:
    """The answer of a plain body; without usage if it is not JSON, or has no `usage` object."""
    try:
        decoded = _decode(body)
    except msgspec.DecodeError:
        return Answer()  # a picture, a sound, plain text
    if not has_usage(decoded.usage):
        inner = next((raw for raw in (decoded.response, decoded.message) if has_usage(raw)), None)
        if inner is not None and has_usage(_decode(inner).usage):
            body = bytes(inner)
    return openai_usage.read_body("unknown", body)


def read_stream(_flavour: Flavour, events: Sequence[bytes]) -> Answer:
    """The answer of a stream from its events' data: the last usage that it reports."""
    if any(b'"message_start"' in event for event in events):
        return anthropic_usage.read_stream("messages", events)
    if any(word in event for event in events for word in openai_usage.TERMINAL_WORDS):
        return openai_usage.read_stream("responses", events)
    last = next((event for event in reversed(events) if has_any_usage(event)), None)
    if last is not None:
        return read_body("unknown", last)
    return openai_usage.read_stream("unknown", events)


def has_any_usage(event: bytes) -> bool:
    """Whether an event is JSON with a `usage` object, at its top or in its response or message."""
    if b'"usage"' not in event:
        return False
    try:
        decoded = _decode(event)
        return has_usage(decoded.usage) or any(
            has_usage(raw) and has_usage(_decode(raw).usage) for raw in (decoded.response, decoded.message)
        )
    except msgspec.DecodeError:
        return False


def error_code(error: Any) -> str:
    """The short name in an error object of either provider."""
    return openai_usage.error_code(error)
