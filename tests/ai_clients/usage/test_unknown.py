"""The usage of endpoints that this package does not know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ai_clients.usage.answer import Answer
from ai_clients.usage.unknown import read_body, read_stream

USAGE = {"input_tokens": 7, "output_tokens": 2}


def encoded(*events: Any) -> list[bytes]:
    return [json.dumps(event).encode() if isinstance(event, dict) else event for event in events]


def usage_of(answer: Answer) -> Any:
    return json.loads(bytes(answer.usage))


@pytest.mark.parametrize(
    "body",
    [
        {"id": "new_1", "model": "m", "usage": USAGE},
        {"response": {"id": "new_1", "model": "m", "usage": USAGE}},
        {"message": {"id": "new_1", "model": "m", "usage": USAGE}, "usage": None},
    ],
)
def test_usage_of_a_body_is_found_by_its_shape(body: dict[str, Any]) -> None:
    answer = read_body("unknown", encoded(body)[0])
    assert (answer.id, answer.model, answer.status, usage_of(answer)) == ("new_1", "m", "succeeded", USAGE)


BODIES_WITHOUT_USAGE = [b"", b"\x89PNG", b"plain text", b"[1]", b'{"text": "\\"usage\\":{}"}', b'{"usage": 3}']


@pytest.mark.parametrize("body", BODIES_WITHOUT_USAGE)
def test_body_without_usage_has_none(body: bytes) -> None:
    answer = read_body("unknown", body)
    assert (answer.status, usage_of(answer)) == ("succeeded", None)


@pytest.mark.parametrize(
    "events",
    [
        [{"id": "new_1", "model": "m"}, {"id": "new_1", "model": "m", "usage": USAGE}, b"[DONE]"],
        [{"type": "new.begun"}, {"type": "new.done", "response": {"id": "new_1", "model": "m", "usage": USAGE}}],
        [
            {"type": "response.created", "response": {"id": "new_1", "model": "m"}},
            {"type": "response.completed", "response": {"id": "new_1", "model": "m", "usage": USAGE}},
        ],
        [
            {"type": "message_start", "message": {"id": "new_1", "model": "m", "usage": {"input_tokens": 7}}},
            {"type": "message_delta", "usage": {"output_tokens": 2}},
        ],
    ],
)
def test_usage_of_a_stream_is_found_by_its_shape(events: list[Any]) -> None:
    answer = read_stream("unknown", encoded(*events))
    assert (answer.id, answer.model, answer.status, usage_of(answer)) == ("new_1", "m", "succeeded", USAGE)


def test_last_usage_of_a_stream_counts() -> None:
    answer = read_stream("unknown", encoded({"usage": {"input_tokens": 1}}, {"usage": USAGE}, b"not JSON", b"[DONE]"))
    assert usage_of(answer) == USAGE


def test_stream_that_was_cut_is_aborted() -> None:
    assert read_stream("unknown", encoded({"id": "new_1", "model": "m"})).status == "aborted"
