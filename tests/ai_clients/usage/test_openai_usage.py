"""The usage in OpenAI's answers, read from bodies and from streams' events."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_clients.usage.answer import Answer, payloads
from ai_clients.usage.openai_usage import error_code, read_body, read_stream, read_usual_chunks
from tests.support.scripted import CHAT_ANSWER, USAGE, chat_chunk
from usage_billing.recording.event import Flavour, Status

FLAVOURS: tuple[Flavour, ...] = get_args(Flavour)
RESPONSE: dict[str, Any] = {
    "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
    "object": "response",
    "model": "gpt-4.1-mini-2025-04-14",
    "status": "completed",
    "error": None,
    "service_tier": "default",
    "usage": {"input_tokens": 36, "output_tokens": 87, "total_tokens": 123},
}


def payload(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def usage(answer: Answer) -> Any:
    return msgspec.json.decode(answer.usage)


def test_read_body_chat_has_all_that_is_wanted() -> None:
    answer = read_body("chat", payload(CHAT_ANSWER))
    assert answer == Answer(
        id=CHAT_ANSWER["id"],
        model="gpt-4.1-mini-2025-04-14",
        usage=answer.usage,
        context={"service_tier": "default"},
    )
    assert bytes(answer.usage) == payload(USAGE)


def test_read_body_embeddings_has_no_id() -> None:
    answer = read_body("embeddings", b'{"model":"text-embedding-3-small","data":[],"usage":{"prompt_tokens":8}}')
    assert (answer.id, answer.model, usage(answer)) == ("", "text-embedding-3-small", {"prompt_tokens": 8})


def test_read_body_images_names_no_model() -> None:
    answer = read_body("images", b'{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"total_tokens":100}}')
    assert (answer.model, usage(answer)) == ("", {"total_tokens": 100})


@pytest.mark.parametrize("absent", [b"{}", b'{"usage":null}', b'{"usage":[]}', b'{"usage":3}'])
def test_read_body_without_usage_is_unknown(absent: bytes) -> None:
    assert bytes(read_body("chat", absent).usage) == b"null"


def test_read_body_other_types_become_empty_words() -> None:
    body = {"id": 17, "model": ["m"], "service_tier": 1, "status": 2, "error": "no", "usage": {"total_tokens": 1}}
    answer = read_body("chat", payload(body))
    assert answer == Answer(usage=answer.usage)
    assert usage(answer) == {"total_tokens": 1}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'"text"', b'{"id":"x"'])
def test_read_body_no_object_raises_decode_error(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_body("chat", body)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("completed", "succeeded"),
        ("incomplete", "succeeded"),
        ("failed", "failed"),
        ("cancelled", "aborted"),
        ("queued", "pending"),
        ("in_progress", "pending"),
        ("unheard-of", "succeeded"),
    ],
)
def test_read_body_response_status_decides(status: str, expected: Status) -> None:
    assert read_body("responses", payload({**RESPONSE, "status": status})).status == expected


def test_read_body_chat_status_field_means_nothing() -> None:
    assert read_body("chat", payload({**CHAT_ANSWER, "status": "failed"})).status == "succeeded"


def test_read_body_failed_response_says_why() -> None:
    error = {"code": "server_error", "message": "The secret text"}
    answer = read_body("responses", payload({**RESPONSE, "status": "failed", "error": error}))
    assert (answer.status, answer.error_code) == ("failed", "server_error")


def test_read_stream_chat_usage_chunk_last() -> None:
    events = [payload(chat_chunk("Hi", usage=None)), payload(chat_chunk(None, usage=USAGE)), b"[DONE]"]
    answer = read_stream("chat", events)
    assert (answer.id, answer.model, answer.status) == (CHAT_ANSWER["id"], CHAT_ANSWER["model"], "succeeded")
    assert usage(answer) == USAGE


def test_read_stream_chat_null_usage_after_the_usage_chunk() -> None:
    events = [payload(chat_chunk(None, usage=USAGE)), payload(chat_chunk(None, usage=None)), b"[DONE]"]
    assert usage(read_stream("chat", events)) == USAGE


def test_read_stream_chat_cumulative_usage_counts_the_last() -> None:
    events = [payload(chat_chunk(str(n), usage={"total_tokens": n})) for n in range(3)]
    assert usage(read_stream("chat", [*events, b"[DONE]"])) == {"total_tokens": 2}


def test_read_stream_chat_usage_chunk_without_names_takes_them_from_the_first() -> None:
    events = [payload({**chat_chunk(), "service_tier": "priority"}), payload({"choices": [], "usage": USAGE})]
    answer = read_stream("chat", events)
    assert (answer.id, answer.model) == (CHAT_ANSWER["id"], CHAT_ANSWER["model"])
    assert answer.context == {"service_tier": "priority"}


_EVENTS = (
    payload(chat_chunk("word")),
    payload(chat_chunk("word", usage=None)),
    payload({**chat_chunk("last"), "usage": USAGE}),
    payload({"choices": [], "usage": USAGE}),
    payload(chat_chunk('"usage":{"prompt_tokens":1}')),
    payload({"choices": [{"delta": {"annotations": [{"type": "url_citation"}]}}]}),
    payload({"error": {"code": "server_error"}}),
    b'{"id":"chatcmpl-1","usage" : {"prompt_tokens":3}}',
    b'{"id":',
    b"[DONE]",
)


@given(
    st.lists(st.tuples(st.sampled_from((b"data: ", b"data:", b": ")), st.sampled_from(_EVENTS)), max_size=5),
    st.sampled_from((b"\n\n", b"\r\n\r\n", b"\n")),
    st.sampled_from((b"data: [DONE]\n\n", b"data: [DONE]\n", b"data: [DONE]", b"")),
)
def test_read_usual_chunks_says_the_same_as_read_stream_or_nothing(
    events: list[tuple[bytes, bytes]], end: bytes, last: bytes
) -> None:
    stream = b"".join(field + event + end for field, event in events) + last
    try:
        answer = read_usual_chunks(stream)
    except msgspec.DecodeError:
        answer = None
    assert answer in (None, _looked_at(stream))


def _looked_at(stream: bytes) -> Answer | None:
    try:
        return read_stream("chat", payloads(stream.splitlines()))
    except msgspec.DecodeError:
        return None


def test_read_usual_chunks_reads_a_stream_that_asked_for_usage() -> None:
    usual = [payload(chat_chunk("word", usage=None))] * 3 + [payload({"choices": [], "usage": USAGE}), b"[DONE]"]
    answer = read_usual_chunks(b"".join(b"data: %b\n\n" % event for event in usual))
    assert answer == read_stream("chat", usual)
    assert answer is not None
    assert usage(answer) == USAGE


def test_read_stream_chat_text_that_looks_like_usage_is_none() -> None:
    events = [payload(chat_chunk('{"usage": {"total_tokens": 1}}')), b"[DONE]"]
    answer = read_stream("chat", events)
    assert (answer.status, bytes(answer.usage)) == ("succeeded", b"null")


def test_read_stream_chat_cut_short_is_aborted_with_what_is_known() -> None:
    answer = read_stream("chat", [payload(chat_chunk())])
    assert (answer.status, answer.error_code) == ("aborted", "")
    assert (answer.id, answer.model, bytes(answer.usage)) == (CHAT_ANSWER["id"], CHAT_ANSWER["model"], b"null")


@pytest.mark.parametrize("flavour", ["chat", "responses", "images"])
def test_read_stream_of_nothing_is_aborted(flavour: Flavour) -> None:
    assert read_stream(flavour, []) == Answer(status="aborted")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"error": {"code": "rate_limit_exceeded", "type": "requests"}}, "rate_limit_exceeded"),
        ({"error": {"code": None, "type": "server_error"}}, "server_error"),
        ({"type": "error", "code": "server_error", "message": "…"}, "server_error"),
        ({"type": "error", "error": {"type": "server_error"}}, "server_error"),
        ({"type": "error"}, "error"),
        ({"error": {}}, "error"),
    ],
)
@pytest.mark.parametrize("flavour", ["chat", "responses", "images"])
def test_read_stream_error_inside_is_aborted_and_named(
    flavour: Flavour, error: dict[str, object], expected: str
) -> None:
    answer = read_stream(flavour, [payload(chat_chunk()), payload(error)])
    assert (answer.status, answer.error_code) == ("aborted", expected)


@pytest.mark.parametrize(
    ("end", "status"), [("completed", "succeeded"), ("incomplete", "succeeded"), ("failed", "failed")]
)
def test_read_stream_response_terminal_event_counts(end: str, status: Status) -> None:
    created = {**RESPONSE, "status": "in_progress", "usage": None, "service_tier": "auto"}
    closed = {**RESPONSE, "status": end, "error": {"code": "server_error"} if end == "failed" else None}
    events = [
        payload({"type": "response.created", "response": created}),
        payload({"type": "response.output_text.delta", "delta": '"response.completed" "usage": {}'}),
        payload({"type": f"response.{end}", "response": closed}),
    ]
    answer = read_stream("responses", events)
    assert (answer.id, answer.model, answer.status) == (RESPONSE["id"], RESPONSE["model"], status)
    assert usage(answer) == RESPONSE["usage"]
    assert answer.context == {"service_tier": "default"}
    assert answer.error_code == ("server_error" if end == "failed" else "")


def test_read_stream_response_cut_short_is_aborted_with_what_is_known() -> None:
    created = {**RESPONSE, "status": "in_progress", "usage": None}
    answer = read_stream("responses", [payload({"type": "response.created", "response": created})])
    assert (answer.id, answer.model, answer.status) == (RESPONSE["id"], RESPONSE["model"], "aborted")
    assert bytes(answer.usage) == b"null"


def test_read_stream_images_completed_event_has_the_usage() -> None:
    events = [
        payload({"type": "image_generation.partial_image", "b64_json": "AAAA"}),
        payload({"type": "image_generation.completed", "b64_json": "AAAA", "usage": {"total_tokens": 50}}),
    ]
    answer = read_stream("images", events)
    assert (answer.status, usage(answer)) == ("succeeded", {"total_tokens": 50})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": "c", "type": "t"}, "c"),
        ({"code": None, "type": "t"}, "t"),
        ({"code": 400, "type": "t"}, "t"),
        ({}, ""),
        ("a message", ""),
        (None, ""),
    ],
)
def test_error_code_is_the_short_name(error: object, expected: str) -> None:
    assert error_code(error) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "model",
                    "usage",
                    "service_tier",
                    "status",
                    "error",
                    "type",
                    "code",
                    "response",
                    "x",
                    "output",
                    "tools",
                    "tool_usage",
                    "svg_usage",
                    "web_search",
                    "image_gen",
                    "duration",
                    "action",
                    "background",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
TYPES = st.sampled_from(
    ["response.completed", "response.failed", "error", "message_start", "[DONE]", "x", "speech.audio.done", "completed",
     "web_search_call", "image_generation_call", "code_interpreter_call", "image_generation.completed"]
)  # fmt: skip
PAYLOADS = (
    JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(
        st.sampled_from(["type", "response", "error", "usage", "choices", "output", "tool_usage"]), JSON | TYPES
    ).map(payload)
    | st.binary()
    | st.just(b"[DONE]")
)


@given(flavour=st.sampled_from(FLAVOURS), body=PAYLOADS)
@settings(max_examples=200)
def test_read_body_anything_raises_nothing_but_decode_error(flavour: Flavour, body: bytes) -> None:
    try:
        answer = read_body(flavour, body)
    except msgspec.DecodeError:
        return
    assert isinstance(usage(answer), dict | None)
    assert all(number > 0 for number in answer.units.values())


@given(flavour=st.sampled_from(FLAVOURS), events=st.lists(PAYLOADS, max_size=6))
@settings(max_examples=200)
def test_read_stream_anything_raises_nothing_but_decode_error(flavour: Flavour, events: list[bytes]) -> None:
    try:
        answer = read_stream(flavour, events)
    except msgspec.DecodeError:
        return
    assert isinstance(usage(answer), dict | None)
