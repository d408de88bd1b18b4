"""Anthropic's managed agents and dreams, from their events and objects; shapes are the SDK's own types."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from anthropic.types.beta import BetaDreamUsage
from anthropic.types.beta.sessions import BetaManagedAgentsSpanModelRequestEndEvent
from hypothesis import given
from hypothesis import strategies as st

from ai_clients.usage import anthropic_sessions
from ai_clients.usage.answer import Answer

USAGE = {
    "input_tokens": 3571,
    "output_tokens": 727,
    "cache_creation_input_tokens": 6656,
    "cache_read_input_tokens": 0,
}
MODEL = "claude-sonnet-5-5"


def encoded(value: object) -> bytes:
    return msgspec.json.encode(value)


def usage_of(answer: Answer) -> Any:
    return msgspec.json.decode(answer.usage)


def request_end(id_: str = "sevt_1", **fields: Any) -> dict[str, Any]:
    made = {
        "id": id_,
        "type": "span.model_request_end",
        "model_request_start_id": "sevt_0",
        "model_usage": USAGE,
        "processed_at": "2026-11-18T09:00:00Z",
        "is_error": False,
        **fields,
    }
    return BetaManagedAgentsSpanModelRequestEndEvent.model_validate(made).model_dump(mode="json", exclude_unset=True)


def test_events_give_an_answer_for_each_model_request() -> None:
    events = [
        {"id": "sevt_0", "type": "span.model_request_start"},
        {"id": "sevt_9", "type": "agent.message", "content": [{"text": 'He said "span.model_request_end"'}]},
        request_end(),
        request_end(),
        {"id": "sevt_2", "type": "session.updated", "agent": {"model": {"id": "claude-opus-4-8", "speed": "standard"}}},
        request_end("sevt_3", is_error=True),
    ]
    first, second = anthropic_sessions.read_events(map(encoded, events), model=MODEL)
    assert (first.id, first.model, first.status, usage_of(first)) == ("sevt_1", MODEL, "succeeded", USAGE)
    assert (second.id, second.model, second.status) == ("sevt_3", "claude-opus-4-8", "failed")


def test_list_of_events_gives_the_same_answers_as_the_stream() -> None:
    events = [request_end(), request_end("sevt_2")]
    body = encoded({"data": events, "next_page": None})
    listed = anthropic_sessions.read_event_list(body, model=MODEL)
    assert listed == anthropic_sessions.read_events(map(encoded, events), model=MODEL)


def session(amount: object = "2550", currency: str = "USD") -> bytes:
    usage = {"input_tokens": 1, "list_cost": {"amount": amount, "currency": currency}}
    return encoded({"id": "sesn_1", "type": "session", "agent": {"model": {"id": MODEL}}, "usage": usage})


def test_session_tells_its_model_and_its_list_cost() -> None:
    """SDK type `BetaMonetaryAmount`: “2500” is $25.00."""
    assert anthropic_sessions.session_model(session()) == MODEL
    assert anthropic_sessions.list_cost(session()) == Decimal("25.50")


@pytest.mark.parametrize("body", [session("25.5"), session(2550), session("-1"), session("2550", "EUR"), b"{}"])
def test_list_cost_of_another_shape_is_unknown(body: bytes) -> None:
    assert anthropic_sessions.list_cost(body) is None


def dream(status: str) -> bytes:
    usage = BetaDreamUsage.model_validate(USAGE).model_dump(mode="json")
    return encoded({"id": "drm_1", "type": "dream", "model": {"id": MODEL}, "status": status, "usage": usage})


@pytest.mark.parametrize(
    ("status", "expected", "is_told"),
    [
        ("pending", "pending", False),
        ("running", "pending", False),
        ("completed", "succeeded", True),
        ("failed", "failed", True),
        ("canceled", "aborted", False),
    ],
)
def test_dream_tells_its_usage_when_the_counts_have_stopped(status: str, expected: str, is_told: bool) -> None:
    """SDK type `BetaDream`: the counts stop changing once it is completed or failed."""
    (answer,) = anthropic_sessions.read_dreams(dream(status))
    assert (answer.id, answer.model, answer.status) == ("drm_1", MODEL, expected)
    assert usage_of(answer) == (USAGE if is_told else None)
    assert answer.completes == (expected != "pending")


odd: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["model", "id", "x"]), inner, max_size=2)
    ),
)


@given(st.dictionaries(st.sampled_from(["id", "agent", "model", "model_usage", "usage", "status", "is_error"]), odd))
def test_objects_of_another_shape_raise_nothing(fields: dict[str, Any]) -> None:
    for type_ in ("span.model_request_end", "session.updated", "dream"):
        body = encoded({**fields, "type": type_})
        anthropic_sessions.read_events([body])
        anthropic_sessions.read_event_list(body)
        anthropic_sessions.read_dreams(body)
        anthropic_sessions.session_model(body)
        anthropic_sessions.list_cost(body)
