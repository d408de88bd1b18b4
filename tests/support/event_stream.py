"""Writes Amazon's event streams, as Bedrock sends them (AWS, Event stream encoding)."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from tests.support.loopback import Answered

CONTENT_TYPE = "application/vnd.amazon.eventstream"


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    encoded = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2) + value.encode()
        for name, value in headers.items()
    )
    lengths = (16 + len(encoded) + len(payload)).to_bytes(4) + len(encoded).to_bytes(4)
    prelude = lengths + zlib.crc32(lengths).to_bytes(4)
    return prelude + encoded + payload + zlib.crc32(prelude + encoded + payload).to_bytes(4)


def chunk(event: Mapping[str, Any]) -> bytes:
    """The message of one event of a streamed message."""
    headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    payload = {"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abcdefgh"}
    return message(headers, json.dumps(payload).encode())


def exception(name: str) -> bytes:
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, json.dumps({"message": "Too many requests, please wait before trying again."}).encode())


def of_event_stream(*events: Mapping[str, Any], then: bytes = b"", breaks_off: bool = False) -> Answered:
    chunks = [*map(chunk, events), *([then] if then else [])]
    return Answered(chunks, content_type=CONTENT_TYPE, breaks_off=breaks_off)
