"""Reads Anthropic's managed agents and dreams (API reference: Session events, Sessions, Dreams). Pure; no Django.

The stream of a session's events tells each model request; the session itself tells the sum, and its list cost.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from ai_clients.usage.answer import NO_USAGE, Answer, decoder, has_usage, text, usage_block
from ai_clients.usage.anthropic_usage import error_code
from ai_clients.usage.objects import objects
from usage_billing.recording.event import Status

REQUEST_END = b'"span.model_request_end"'

DREAM_STATUS: dict[str, Status] = {
    "pending": "pending",
    "running": "pending",
    "completed": "succeeded",
    "failed": "failed",
    "canceled": "aborted",
}
"""SDK type `BetaDreamStatus` → the status of a record."""


class _Event(msgspec.Struct):
    id: Any = None
    type: Any = None
    is_error: Any = None
    model_request_start_id: Any = None
    model_usage: msgspec.Raw = NO_USAGE
    agent: Any = None


class _Session(msgspec.Struct):
    id: Any = None
    agent: Any = None
    usage: Any = None


class _Dream(msgspec.Struct):
    id: Any = None
    type: Any = None
    model: Any = None
    status: Any = None
    error: Any = None
    usage: msgspec.Raw = NO_USAGE


_decode_event = decoder(_Event)
_decode_session = decoder(_Session)
_decode_dream = decoder(_Dream)


def read_events(events: Iterable[bytes], *, model: str = "") -> list[Answer]:
    """The answers to a session's model requests, from its events' data (SDK type `BetaManagedAgentsStreamSessionEvents`).

    `span.model_request_end` has the usage and no model: `model` is the session's, until `session.updated` names another.
    The id is that of the event, the same in the stream and in the list. An event that came twice is one answer.
    """
    answers: dict[str, Answer] = {}
    for data in events:
        if REQUEST_END not in data and b'"session.updated"' not in data:
            continue
        event = _decode_event(data)
        if event.type == "session.updated":
            model = _model_of(event.agent) or model
        elif event.type == "span.model_request_end":
            id_ = text(event.id) or text(event.model_request_start_id)
            answers[id_] = Answer(
                id=id_,
                model=model,
                usage=usage_block(event.model_usage),
                status="failed" if event.is_error is True else "succeeded",
                error_code="model-request-error" if event.is_error is True else "",
            )
    return list(answers.values())


def read_event_list(body: bytes, *, model: str = "") -> list[Answer]:
    """The answers in a page of a session's events (`GET /v1/sessions/{id}/events`). See `read_events`."""
    return read_events(map(bytes, objects(body)), model=model)


def session_model(body: bytes) -> str:
    """The model of a session (SDK type `BetaManagedAgentsSession`, `agent.model.id`); empty if the body names none."""
    return _model_of(_decode_session(body).agent)


def list_cost(body: bytes) -> Decimal | None:
    """USD that a session costs so far at public prices, with its runtime (`usage.list_cost`); None if it is not told.

    SDK type `BetaMonetaryAmount`: whole cents, as text.
    """
    usage = _decode_session(body).usage
    cost = usage.get("list_cost") if isinstance(usage, dict) else None
    amount = text(cost.get("amount")) if isinstance(cost, dict) and cost.get("currency") == "USD" else ""
    return Decimal(amount) / 100 if amount.isascii() and amount.isdecimal() and len(amount) < 16 else None


def read_dreams(body: bytes) -> list[Answer]:
    """The answers of a dream or a list of dreams (SDK type `BetaDream`): the tokens of its model, once it has ended."""
    dreams = [dream for raw in objects(body) if (dream := _decode_dream(bytes(raw))).type == "dream"]
    return [_dream(dream) for dream in dreams]


def _dream(dream: _Dream) -> Answer:
    status = DREAM_STATUS.get(text(dream.status), "pending")
    is_told = status in ("succeeded", "failed") and has_usage(dream.usage)  # the counts go on changing until then
    return Answer(
        id=text(dream.id),
        model=_model_of({"model": dream.model}),
        usage=usage_block(dream.usage) if is_told else NO_USAGE,
        status=status,
        error_code=error_code(dream.error),
        completes=status != "pending",
    )


def _model_of(agent: Any) -> str:
    """The model of an agent: `{"model": {"id": …}}`, or its id alone."""
    model = agent.get("model") if isinstance(agent, dict) else None
    return text(model.get("id")) if isinstance(model, dict) else text(model)
