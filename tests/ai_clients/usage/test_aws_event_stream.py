"""The events of Bedrock's streams, framed as AWS does (Smithy specification: Amazon Event Stream)."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_clients.usage.anthropic_usage import read_stream
from ai_clients.usage.aws_event_stream import payloads


def header(name: str, value: str) -> bytes:
    return bytes((len(name),)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()


def framed(headers: bytes, payload: bytes) -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


def chunk(event: dict[str, Any]) -> bytes:
    content = base64.b64encode(json.dumps(event).encode()).decode()
    headers = header(":event-type", "chunk") + header(":message-type", "event")
    return framed(headers, json.dumps({"bytes": content, "p": "abcdef"}).encode())


EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "msg_1", "model": "claude-haiku-4-5", "usage": {"input_tokens": 15}}},
    {"type": "content_block_delta", "delta": {"text": "Hi"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": 0, "output_tokens": 42}},
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 15, "outputTokenCount": 42}},
]


def test_payloads_are_the_events_of_a_message_stream() -> None:
    found = payloads(b"".join(map(chunk, EVENTS)))
    assert [json.loads(payload) for payload in found] == EVENTS
    answer = read_stream("messages", found)
    assert (answer.id, answer.status) == ("msg_1", "succeeded")
    assert msgspec.json.decode(answer.usage) == {"input_tokens": 15, "output_tokens": 42}


def test_payloads_of_a_stream_that_was_cut_leave_out_its_last_message() -> None:
    whole = b"".join(map(chunk, EVENTS))
    assert len(payloads(whole[:-1])) == len(EVENTS) - 1
    assert read_stream("messages", payloads(whole[: len(chunk(EVENTS[0])) + 5])).status == "aborted"


def test_payloads_of_an_exception_are_an_error_event() -> None:
    headers = header(":exception-type", "throttlingException") + header(":message-type", "exception")
    answer = read_stream("messages", payloads(chunk(EVENTS[0]) + framed(headers, b'{"message":"secret"}')))
    assert (answer.status, answer.error_code) == ("aborted", "throttlingException")


@pytest.mark.parametrize("body", [b"data: {}\n\n" * 3, b"\0" * 40, framed(b"", b"{}")[:8] + b"\0" * 20])
def test_payloads_of_anything_else_raise_a_decode_error(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        payloads(body)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_payloads_of_odd_messages_raise_nothing(headers: bytes, payload: bytes) -> None:
    assert len(payloads(framed(headers, payload))) <= 1
