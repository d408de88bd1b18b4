"""Anthropic's answers on the wire, plain and streamed, and the exact event of each."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from anthropic.types import Message, RawMessageDeltaEvent, RawMessageStartEvent
from anthropic.types.beta import BetaMessage

from tests.support.recorded import Recorded
from tests.support.scripted import MESSAGE, plain, sse, streamed
from tests.support.wire import anthropic_of, body, one

ID = "msg_01XFDUDYJgAACzvnptvVoYEL"
EVENT = {
    "request_id": ID,
    "flavour": "messages",
    "url": "https://api.anthropic.com/v1/messages",
    "status": "succeeded",
    "model": "claude-sonnet-4-6",
}
CACHED = {
    "input_tokens": 25,
    "cache_creation_input_tokens": 7,
    "cache_read_input_tokens": 3,
    "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 2},
    "output_tokens": 1,
    "service_tier": "priority",
    "inference_geo": "us",
}
SEARCHED = {
    "input_tokens": 9,
    "output_tokens": 40,
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
}
ITERATIONS = [
    {"type": "compaction", "input_tokens": 900, "output_tokens": 80},
    {"type": "message", "model": "claude-sonnet-4-6", "input_tokens": 100, "output_tokens": 20},
]


def message(usage: dict[str, Any], type_: Any = Message) -> dict[str, Any]:
    return body(
        type_,
        id=ID,
        type="message",
        role="assistant",
        model="claude-sonnet-4-6",
        content=[{"type": "text", "text": 'message_delta {"usage": {}}'}],
        stop_reason="end_turn",
        stop_sequence=None,
        usage=usage,
    )


def start(usage: dict[str, Any]) -> dict[str, Any]:
    return body(RawMessageStartEvent, type="message_start", message=message(usage))


def delta(**usage: Any) -> dict[str, Any]:
    stopped = {"stop_reason": "end_turn", "stop_sequence": None}
    return body(RawMessageDeltaEvent, type="message_delta", delta=stopped, usage={"output_tokens": 15, **usage})


STOP = {"type": "message_stop"}
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "secret"}}


@pytest.mark.parametrize("usage", [CACHED, SEARCHED], ids=["cached", "searched"])
def test_plain_message(recorded: Recorded, usage: dict[str, Any]) -> None:
    anthropic_of(lambda _: plain(message(usage))).messages.create(**MESSAGE)
    assert one(recorded) == {**EVENT, "usage": usage}


def test_plain_message_keeps_its_iterations_and_speed(recorded: Recorded) -> None:
    usage = {"input_tokens": 100, "output_tokens": 20, "speed": "fast", "iterations": ITERATIONS}
    answer = {**message(SEARCHED, BetaMessage), "usage": usage}
    anthropic_of(lambda _: plain(answer)).beta.messages.create(**MESSAGE)
    assert one(recorded) == {**EVENT, "usage": usage}


STREAMS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "cached": ([start(CACHED), delta(), STOP], {"usage": {**CACHED, "output_tokens": 15}}),
    "searched": (
        [start({"input_tokens": 9, "output_tokens": 1}), delta(server_tool_use=SEARCHED["server_tool_use"]), STOP],
        {"usage": {**SEARCHED, "output_tokens": 15}},
    ),
    "iterations": (
        [start(CACHED), {**delta(), "usage": {"output_tokens": 15, "iterations": ITERATIONS}}, STOP],
        {"usage": {**CACHED, "output_tokens": 15, "iterations": ITERATIONS}},
    ),
    "cumulative": (
        [start(CACHED), delta(output_tokens=7), delta(input_tokens=30), STOP],
        {"usage": {**CACHED, "output_tokens": 15, "input_tokens": 30}},
    ),
    "cut short": ([start(CACHED)], {"usage": CACHED, "status": "aborted"}),
    "error inside": (
        [start(CACHED), ERROR],
        {"usage": CACHED, "status": "aborted", "error_code": "overloaded_error"},
    ),
}


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/octet-stream"])
@pytest.mark.parametrize(("events", "expected"), STREAMS.values(), ids=STREAMS.keys())
def test_streamed_message(
    recorded: Recorded, events: list[dict[str, Any]], expected: dict[str, Any], content_type: str
) -> None:
    headers = {"content-type": content_type}
    client = anthropic_of(lambda _: streamed(*sse(*events, names=True), headers=headers))
    try:
        for _ in client.messages.create(**MESSAGE, stream=True):
            pass
    except anthropic.APIError:
        assert expected["error_code"]
    assert one(recorded) == {**EVENT, **expected}
