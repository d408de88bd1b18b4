"""The usage in Anthropic's answers, read from bodies and from streams' events."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_clients.usage.answer import Answer
from ai_clients.usage.anthropic_usage import error_code, read_body, read_stream

ID, MODEL = "msg_01XFDUDYJgAACzvnptvVoYEL", "claude-sonnet-4-6-20260115"
START_USAGE: dict[str, Any] = {
    "input_tokens": 25,
    "cache_creation_input_tokens": 7,
    "cache_read_input_tokens": 3,
    "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 2},
    "output_tokens": 1,
    "service_tier": "standard",
    "inference_geo": "us",
}


def payload(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def usage(answer: Answer) -> Any:
    return msgspec.json.decode(answer.usage)


START = payload({"type": "message_start", "message": {"id": ID, "model": MODEL, "content": [], "usage": START_USAGE}})
STOP = payload({"type": "message_stop"})


def text_delta(text: str) -> bytes:
    return payload({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


def message_delta(**block: object) -> bytes:
    return payload({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": block})


def test_read_body_message_has_all_that_is_wanted() -> None:
    answer = read_body("messages", payload({"id": ID, "type": "message", "model": MODEL, "usage": START_USAGE}))
    assert answer == Answer(id=ID, model=MODEL, usage=answer.usage)
    assert bytes(answer.usage) == payload(START_USAGE)


@pytest.mark.parametrize("absent", [b"{}", b'{"usage":null}', b'{"usage":[]}', b'{"id":7,"model":{},"usage":1}'])
def test_read_body_without_usage_is_unknown(absent: bytes) -> None:
    answer = read_body("messages", absent)
    assert (answer.id, answer.model, bytes(answer.usage)) == ("", "", b"null")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"id":"x"'])
def test_read_body_no_object_raises_decode_error(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_body("messages", body)


def test_read_stream_delta_is_laid_over_the_start() -> None:
    answer = read_stream("messages", [START, text_delta("Hi"), message_delta(output_tokens=15), STOP])
    assert (answer.id, answer.model, answer.status, answer.error_code) == (ID, MODEL, "succeeded", "")
    assert usage(answer) == {**START_USAGE, "output_tokens": 15}


def test_read_stream_deltas_are_cumulative() -> None:
    deltas = [message_delta(output_tokens=tokens, input_tokens=25) for tokens in (10, 30)]
    assert usage(read_stream("messages", [START, *deltas, STOP])) == {**START_USAGE, "output_tokens": 30}


def test_read_stream_delta_of_nulls_keeps_the_start() -> None:
    delta = message_delta(output_tokens=4, cache_creation=None, input_tokens=None, server_tool_use={"web": 1})
    answer = read_stream("messages", [START, delta])
    assert usage(answer) == {**START_USAGE, "output_tokens": 4, "server_tool_use": {"web": 1}}


def test_read_stream_cut_before_the_delta_is_aborted_with_what_went_in() -> None:
    answer = read_stream("messages", [START, text_delta("Hi")])
    assert (answer.id, answer.model, answer.status) == (ID, MODEL, "aborted")
    assert usage(answer) == START_USAGE


def test_read_stream_error_inside_is_aborted_and_named() -> None:
    error = payload({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    answer = read_stream("messages", [START, error])
    assert (answer.status, answer.error_code, usage(answer)) == ("aborted", "overloaded_error", START_USAGE)


def test_read_stream_error_without_a_name_is_still_an_error() -> None:
    assert read_stream("messages", [payload({"type": "error", "error": "?"})]) == Answer(
        status="aborted", error_code="error"
    )


@pytest.mark.parametrize("word", ["message_start", "message_delta", "error"])
def test_read_stream_text_that_looks_like_an_event_is_text(word: str) -> None:
    answer = read_stream("messages", [START, text_delta(word), message_delta(output_tokens=2), STOP])
    assert (answer.id, answer.status, answer.error_code) == (ID, "succeeded", "")
    assert usage(answer) == {**START_USAGE, "output_tokens": 2}


def test_read_stream_text_does_not_complete_a_stream() -> None:
    assert read_stream("messages", [START, text_delta("message_delta")]).status == "aborted"


def test_read_stream_of_nothing_is_aborted() -> None:
    assert read_stream("messages", []) == Answer(status="aborted")


@pytest.mark.parametrize(
    ("error", "expected"),
    [({"type": "rate_limit_error"}, "rate_limit_error"), ({"type": 1}, ""), ("x", ""), (None, "")],
)
def test_error_code_is_the_short_name(error: object, expected: str) -> None:
    assert error_code(error) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "model", "usage", "error", "type", "message", "x"]), inner, max_size=5)
    ),
    max_leaves=20,
)
TYPES = st.sampled_from(["message_start", "message_delta", "error", "message_stop", "x"])
PAYLOADS = (
    JSON.map(payload)
    | st.dictionaries(st.sampled_from(["type", "message", "error", "usage"]), JSON | TYPES).map(payload)
    | st.binary()
)


@given(PAYLOADS)
@settings(max_examples=200)
def test_read_body_anything_raises_nothing_but_decode_error(body: bytes) -> None:
    try:
        answer = read_body("messages", body)
    except msgspec.DecodeError:
        return
    assert isinstance(usage(answer), dict | None)


@given(st.lists(PAYLOADS | st.sampled_from([START, message_delta(output_tokens=1)]), max_size=6))
@settings(max_examples=200)
def test_read_stream_anything_raises_nothing_but_decode_error(events: list[bytes]) -> None:
    try:
        answer = read_stream("messages", events)
    except msgspec.DecodeError:
        return
    assert isinstance(usage(answer), dict | None)
