"""The events of Bedrock's streams, however the network cuts them (AWS, Event stream encoding)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ai_clients.body.buffer import UnreadableBodyError
from ai_clients.body.event_stream import LONGEST_MESSAGE, EventStreamBuffer, _headers
from ai_clients.usage import anthropic_usage
from ai_clients.usage.answer import Answer, payloads
from tests.support.event_stream import chunk, exception, message

START = {"type": "message_start", "message": {"id": "msg_bdrk_01", "model": "claude", "usage": {"input_tokens": 9}}}
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi\n\u2028!"}}
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12}}
EVENTS: list[dict[str, Any]] = [START, TEXT, TEXT, DELTA, {"type": "message_stop"}]
STREAM = b"".join(map(chunk, EVENTS))
USAGE = {"input_tokens": 9, "output_tokens": 12}


def read(stream: bytes, size: int) -> Answer:
    buffer = EventStreamBuffer()
    for start in range(0, len(stream), size):
        if buffer.take(stream[start : start + size]):
            buffer.fold()
    return anthropic_usage.read_stream("messages", payloads(buffer.lines()))


def usage_of(answer: Answer) -> Any:
    return json.loads(bytes(answer.usage))


@pytest.mark.parametrize("size", [1, 7, 16, 1000, len(STREAM)])
def test_usage_is_read_whatever_the_network_chunks(size: int) -> None:
    answer = read(STREAM, size)
    assert (answer.status, answer.model, usage_of(answer)) == ("succeeded", "claude", USAGE)


def test_an_exception_in_the_stream_is_its_error() -> None:
    answer = read(chunk(START) + exception("throttlingException"), 100)
    assert (answer.status, answer.error_code, usage_of(answer)) == (
        "aborted",
        "throttlingException",
        {"input_tokens": 9},
    )


def test_an_error_of_the_connection_is_its_error() -> None:
    failed = message({":message-type": "error", ":error-code": "InternalError", ":error-message": "secret"}, b"")
    assert read(chunk(START) + failed, 100).error_code == "InternalError"


def test_a_stream_cut_inside_a_message_is_aborted_with_the_input() -> None:
    answer = read(STREAM[:-200], 64)
    assert (answer.status, usage_of(answer)) == ("aborted", {"input_tokens": 9})


def test_messages_of_other_kinds_are_passed_over() -> None:
    other = message({":message-type": "event", ":event-type": "initial-response"}, b"{}")
    assert usage_of(read(other + STREAM, 50)) == USAGE


def test_headers_of_other_types_are_passed_over() -> None:
    encoded = b"\x04:now\x08" + bytes(8) + b"\x02ok\x00" + b"\x01b\x06\x00\x03abc" + b"\x05:kind\x07\x00\x05event"
    assert dict(_headers(encoded)) == {":kind": "event"}


@pytest.mark.parametrize(
    "stream",
    [b"data: {}\n\n" * 3, b"\0" * 64, STREAM[:-1] + b"?" + b"more than one prelude"],
    ids=["server-sent events", "zeros", "garbage after the end"],
)
def test_bytes_that_are_no_event_stream_are_unreadable(stream: bytes) -> None:
    with pytest.raises(UnreadableBodyError):
        read(stream, 1000)


def test_a_payload_that_is_no_chunk_is_unreadable() -> None:
    wrong = message({":message-type": "event", ":event-type": "chunk"}, b'{"bytes": 7}')
    with pytest.raises(UnreadableBodyError):
        read(STREAM + wrong, 1000)


def test_a_message_that_is_too_long_is_not_kept_and_makes_the_usage_unknown() -> None:
    long = message({":message-type": "event", ":event-type": "chunk"}, b"x" * 3 * LONGEST_MESSAGE)
    buffer = EventStreamBuffer()
    most = 0
    for start in range(0, len(stream := chunk(START) + long + chunk(DELTA)), 4096):
        if buffer.take(stream[start : start + 4096]):
            buffer.fold()
        most = max(most, len(buffer._pending))
    with pytest.raises(UnreadableBodyError):
        buffer.lines()
    assert most < 2 * LONGEST_MESSAGE
