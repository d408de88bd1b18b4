"""Reads the events in a stream of Amazon Bedrock (Smithy specification: Amazon Event Stream).

`botocore`, which the Anthropic SDK reads it with, is no dependency here: recording must not need it.
"""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from ai_clients.usage.answer import decoder, text

CONTENT_TYPE = "application/vnd.amazon.eventstream"

_PRELUDE = struct.Struct(">III")
"""Total length, length of the headers, checksum of both; behind the payload stands a checksum of 4 bytes."""
_EXCEPTION = re.compile(rb":exception-type\x07..([A-Za-z.]+)", re.DOTALL)


class _Chunk(msgspec.Struct):
    bytes: Any = None


_decode_chunk = decoder(_Chunk)


def payloads(body: bytes) -> list[bytes]:
    """The JSON of each event, as in a stream of server-sent events, without a last message that was cut in two.

    An exception becomes Anthropic's event `error`. Raises `msgspec.DecodeError` for bytes that are no such stream.
    """
    return [event for headers, payload in _messages(body) for event in _event(headers, payload)]


def _messages(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + _PRELUDE.size <= len(body):
        length, headers_length, checksum = _PRELUDE.unpack_from(body, position)
        if checksum != binascii.crc32(body[position : position + 8]) or length < _PRELUDE.size + headers_length + 4:
            raise msgspec.DecodeError("not an event stream of AWS")
        if position + length > len(body):
            return
        headers_end = position + _PRELUDE.size + headers_length
        yield body[position + _PRELUDE.size : headers_end], body[headers_end : position + length - 4]
        position += length


def _event(headers: bytes, payload: bytes) -> list[bytes]:
    if found := _EXCEPTION.search(headers):
        return [msgspec.json.encode({"type": "error", "error": {"type": found[1].decode()}})]
    try:
        return [binascii.a2b_base64(text(_decode_chunk(payload).bytes))]
    except (msgspec.DecodeError, binascii.Error, ValueError):
        return []
