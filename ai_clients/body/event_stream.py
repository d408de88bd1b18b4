"""Reads Amazon's event streams, in which Bedrock sends the events of a streamed message.

A stream is a row of messages: two lengths and a checksum, headers, a payload, a checksum (AWS, Amazon Transcribe: Event
stream encoding; Bedrock, InvokeModelWithResponseStream: `ResponseStream`). The payload of a `chunk` is
`{"bytes": <base64>}`, which holds the JSON of one event of Anthropic's API.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import msgspec

from ai_clients.body.buffer import BodyBuffer

EVENT_STREAM = "application/vnd.amazon.eventstream"

LONGEST_MESSAGE = 2**20
"""A longer message is passed over, in bytes. An event that tells usage has a few hundred."""

_PRELUDE_BYTES = 12
_CHECKSUM_BYTES = 4
_STRING = 7
_FIXED_BYTES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Type of a header → bytes of its value. 6 (bytes) and 7 (string) have a length of two bytes before the value."""


class NotAnEventStreamError(ValueError):
    """Bytes that are no message of an event stream."""


class _Chunk(msgspec.Struct):
    content: bytes = msgspec.field(name="bytes")


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class EventStreamBuffer(BodyBuffer):
    """The events of an Amazon event stream, kept as the lines of server-sent events: `data: {…}`."""

    __slots__ = ("_passed_over", "_pending")

    def __init__(self, encoding: str | None = None) -> None:
        super().__init__(streamed=True, encoding=encoding)
        self._pending = bytearray()
        self._passed_over = 0
        """How many bytes of a message that is too long have still to come."""

    def _is_unchanged(self) -> bool:
        return False

    def _keep(self, piece: bytes) -> None:
        try:
            for event in self._events(piece):
                super()._keep(b"data: " + event + b"\n\n")
        except (ValueError, msgspec.DecodeError):
            # The caller's own decoder fails at the same place.
            self._unreadable = True
            self._pending.clear()

    def _events(self, piece: bytes) -> Iterator[bytes]:
        """The JSON of each event that ends in this piece."""
        passed_over = min(self._passed_over, len(piece))
        self._passed_over -= passed_over
        self._pending += piece[passed_over:]
        while len(self._pending) >= _PRELUDE_BYTES:
            length = _message_length(self._pending)
            if length > LONGEST_MESSAGE:
                self._unreadable = True  # it may have told usage
                self._passed_over = max(0, length - len(self._pending))
                del self._pending[:length]
                continue
            if len(self._pending) < length:
                return
            message = bytes(self._pending[:length])
            del self._pending[:length]
            if (event := _event_of(message)) is not None:
                yield event


def _message_length(stream: bytearray) -> int:
    """The length of the message at the beginning of the stream, in bytes."""
    length = int.from_bytes(stream[:4])
    if zlib.crc32(stream[:8]) != int.from_bytes(stream[8:12]) or length < _PRELUDE_BYTES + _CHECKSUM_BYTES:
        raise NotAnEventStreamError("the checksum of a prelude is wrong")
    return length


def _event_of(message: bytes) -> bytes | None:
    """The JSON of an event; of an exception, that of an `error` event; None for a message that is neither."""
    headers_end = _PRELUDE_BYTES + int.from_bytes(message[4:8])
    headers = dict(_headers(message[_PRELUDE_BYTES:headers_end]))
    kind = headers.get(":message-type", "")
    if kind in ("exception", "error"):
        code = headers.get(":exception-type") or headers.get(":error-code") or kind
        return msgspec.json.encode({"type": "error", "error": {"type": code}})
    if kind != "event" or headers.get(":event-type") != "chunk":
        return None
    event = _decode_chunk(message[headers_end:-_CHECKSUM_BYTES]).content
    return b"".join(event.splitlines())


def _headers(encoded: bytes) -> Iterator[tuple[str, str]]:
    """The names and values of the headers that are text."""
    position = 0
    while position < len(encoded):
        name_end = position + 1 + encoded[position]
        name, kind = encoded[position + 1 : name_end].decode("utf-8", "replace"), encoded[name_end : name_end + 1]
        position = name_end + 1
        number = int.from_bytes(kind)
        if number in _FIXED_BYTES:
            position += _FIXED_BYTES[number]
            continue
        length = int.from_bytes(encoded[position : position + 2])
        position += 2
        if number == _STRING:
            yield name, encoded[position : position + length].decode("utf-8", "replace")
        position += length
