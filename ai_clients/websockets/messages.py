"""Reads the messages of a websocket as far as they matter: most are audio, and are passed over by their type alone."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ai_clients.usage.answer import NO_USAGE, decoder

HEAD = 2048
"""Characters of a message in which its type is looked for first."""

_TYPE = re.compile(
    r'\s*\{(?:\s*"[^"\\]*"\s*:\s*(?:"[^"\\]*"|[-+.\w]+)\s*,)*?\s*"type"\s*:\s*"([^"\\]*)"',
)
"""Plain members, then the type: nothing that is nested or escaped can come before it."""
_TYPE_OF_BYTES = re.compile(_TYPE.pattern.encode())


class Message(msgspec.Struct):
    """The members of a client's or a server's event that are read. They may have any type: gateways imitate them."""

    type: Any = None
    event_id: Any = None
    # Responses: the lane; of a `response.create`, its model and the response that it continues.
    stream_id: Any = None
    model: Any = None
    previous_response_id: Any = msgspec.UNSET
    max_output_tokens: Any = None
    sequence_number: Any = None
    # Realtime and Live.
    client_event_id: Any = None
    response_id: Any = None
    item_id: Any = None
    content_index: Any = None
    metadata: Any = None
    code: Any = None
    error: Any = None
    session: msgspec.Raw = NO_USAGE
    response: msgspec.Raw = NO_USAGE
    usage: msgspec.Raw = NO_USAGE
    event: msgspec.Raw = NO_USAGE
    decision: msgspec.Raw = NO_USAGE


class Response(msgspec.Struct):
    """The members of a response that tell which request made it, or what a request asks for."""

    id: Any = None
    model: Any = None
    previous_response_id: Any = msgspec.UNSET
    max_output_tokens: Any = None
    metadata: Any = None


class _Typed(msgspec.Struct):
    type: Any = None


_decode_type = decoder(_Typed)
decode = decoder(Message)
decode_response = decoder(Response)


def type_of(message: str | bytes) -> str:
    """The type of an event; empty if the message is none. An event that begins with its type is not decoded."""
    found = _TYPE.match(message, 0, HEAD) if isinstance(message, str) else _TYPE_OF_BYTES.match(message, 0, HEAD)
    if found is not None:
        kind = found[1]
        return kind if isinstance(kind, str) else kind.decode("utf-8", "replace")
    if message[:1] not in ("{", b"{", " ", b" ", "\n", b"\n"):
        return ""  # no JSON object: it is not copied to find that out
    try:
        decoded = _decode_type(as_bytes(message)).type
    except msgspec.DecodeError:
        return ""
    return decoded if isinstance(decoded, str) else ""


def as_bytes(message: str | bytes) -> bytes:
    return message.encode("utf-8", "replace") if isinstance(message, str) else bytes(message)
