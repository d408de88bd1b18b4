"""Whom a response over a shared connection is charged to: its sender where that can be told, else the opener."""

from __future__ import annotations

import json
import random
from collections import deque
from decimal import Decimal
from typing import Any

import pytest

from ai_clients.websockets import records
from ai_clients.websockets.calls import SocketCalls
from tests.support.recorded import Recorded, usage_of
from usage_billing.recording import Attribution, Event, admission
from usage_billing.recording.admission import Admitted, Planned
from usage_billing.recording.event import Hold
from usage_billing.recording.recorder import health

RESPONSES, REALTIME = "wss://api.openai.com/v1/responses", "wss://api.openai.com/v1/realtime?model=gpt-realtime"
OPENER = Attribution(agent_id="opener")


def connection(url: str) -> SocketCalls:
    return SocketCalls(url, OPENER, {})


def send(calls: SocketCalls, who: str, type_: str = "response.create", **members: Any) -> None:
    calls.sending(json.dumps({"type": type_, **members}), lambda _message, _opener: Attribution(agent_id=who))


def hear(calls: SocketCalls, type_: str, **members: Any) -> None:
    calls.received(json.dumps({"type": type_, **members}))


def begin(calls: SocketCalls, id_: str, **members: Any) -> None:
    hear(calls, "response.created", response={"id": id_, **members})


def charged(recorded: Recorded) -> dict[str, str]:
    """Response id, or status and code → agent."""
    return {
        event.request_id if event.request_id.startswith("resp_") else f"{event.status} {event.error_code}".strip(): (
            event.attribution.agent_id
        )
        for event in recorded.all()
    }


INTERLEAVINGS = 1000
A, B, C = (f"resp_{letter * 16}" for letter in "abc")


def test_requests_are_answered_in_their_order(recorded: Recorded) -> None:
    calls = connection(RESPONSES)
    send(calls, "a", model="gpt-5-mini")
    send(calls, "b", model="gpt-5-mini")
    begin(calls, A, previous_response_id=None)
    begin(calls, B, previous_response_id=None)
    calls.closed()
    assert charged(recorded) == {A: "a", B: "b"}


def test_chain_tells_the_sender(recorded: Recorded) -> None:
    calls = connection(RESPONSES)
    send(calls, "a", previous_response_id="resp_before_a")
    send(calls, "b", previous_response_id="resp_before_b")
    begin(calls, B, previous_response_id="resp_before_b")
    begin(calls, A, previous_response_id="resp_before_a")
    calls.closed()
    assert charged(recorded) == {A: "a", B: "b"}


def test_chain_that_nobody_asked_for_is_charged_to_the_opener(recorded: Recorded) -> None:
    calls = connection(RESPONSES)
    send(calls, "a", previous_response_id="resp_before_a")
    begin(calls, C, previous_response_id="resp_of_another_chain")
    begin(calls, A, previous_response_id="resp_before_a")
    calls.closed()
    assert charged(recorded) == {C: "opener", A: "a"}


def test_steered_successor_is_charged_to_who_steers(recorded: Recorded) -> None:
    """OpenAI, Mid-turn steering: the API creates the successor by itself."""
    calls = connection(RESPONSES)
    send(calls, "a")
    begin(calls, A, previous_response_id=None)
    send(calls, "b", "response.steer", previous_response_id=A, input="shorter")
    hear(calls, "response.incomplete", response={"id": A, "status": "incomplete"})
    begin(calls, B, previous_response_id=A)
    calls.closed()
    assert charged(recorded) == {A: "a", B: "b"}


def test_refused_request_fails_for_its_sender(recorded: Recorded) -> None:
    calls = connection(RESPONSES)
    send(calls, "a", model="none")
    hear(calls, "error", status=400, error={"type": "invalid_request_error", "code": "model_not_found"})
    send(calls, "b", model="gpt-5-mini")
    begin(calls, B, previous_response_id=None)
    calls.closed()
    assert charged(recorded) == {"failed model_not_found": "a", B: "b"}


def test_error_that_may_be_about_several_requests_leaves_them_to_the_opener(recorded: Recorded) -> None:
    calls = connection(RESPONSES)
    send(calls, "a")
    send(calls, "b")
    hear(calls, "error", status=400, error={"code": "bad"})
    begin(calls, B, previous_response_id=None)
    send(calls, "c")  # all others are answered: this one can be told again
    begin(calls, C, previous_response_id=None)
    calls.closed()
    assert charged(recorded) == {"aborted bad": "opener", B: "opener", C: "c"}


def test_error_that_names_its_request_leaves_the_others_alone(recorded: Recorded) -> None:
    calls = connection(REALTIME)
    send(calls, "a", event_id="event_a")
    send(calls, "b", event_id="event_b")
    hear(calls, "error", error={"code": "bad", "event_id": "event_a"})
    hear(calls, "error", error={"code": "bad", "event_id": "event_of_another_event"})
    begin(calls, B)
    calls.closed()
    assert charged(recorded) == {"failed bad": "a", B: "b"}


def test_error_without_a_name_may_be_about_any_event(recorded: Recorded) -> None:
    calls = connection(REALTIME)
    send(calls, "a", "session.update", session={})
    send(calls, "a")
    hear(calls, "error", error={"code": "bad", "event_id": None})
    send(calls, "b")  # a's may have been refused, or not
    begin(calls, A)
    begin(calls, B)
    calls.closed()
    assert charged(recorded) == {A: "opener", B: "opener"}


def test_error_of_a_stream_ends_its_response(recorded: Recorded) -> None:
    calls = connection(RESPONSES)
    send(calls, "a", stream_id="lane")
    hear(calls, "response.created", stream_id="lane", response={"id": A, "previous_response_id": None})
    hear(calls, "error", stream_id="lane", sequence_number=7, error={"code": "server_error"})
    (event,) = recorded.all()
    assert (event.request_id, event.status, event.error_code) == (A, "aborted", "server_error")
    assert event.attribution.agent_id == "a"


def test_response_that_may_be_to_speech_is_charged_to_the_opener(recorded: Recorded) -> None:
    """OpenAI, Realtime: the server detects turns, and responds to them, unless the session says otherwise."""
    calls = connection(REALTIME)
    hear(calls, "input_audio_buffer.committed", item_id="item_1")
    send(calls, "a")
    begin(calls, A)  # the speaker's, or a's
    send(calls, "b")
    begin(calls, B)  # a's, the speaker's, or b's
    begin(calls, C)
    calls.closed()
    assert charged(recorded) == {A: "opener", B: "opener", C: "opener"}


@pytest.mark.parametrize(
    "turns", [{"audio": {"input": {"turn_detection": None}}}, {"turn_detection": {"create_response": False}}]
)
def test_session_that_does_not_respond_to_speech_charges_the_sender(turns: dict[str, Any], recorded: Recorded) -> None:
    calls = connection(REALTIME)
    hear(calls, "session.updated", session=turns)
    hear(calls, "input_audio_buffer.committed", item_id="item_1")
    send(calls, "a")
    begin(calls, A)
    calls.closed()
    assert charged(recorded) == {A: "a"}


def test_metadata_tells_the_sender_even_beside_speech(recorded: Recorded) -> None:
    calls = connection(REALTIME)
    hear(calls, "input_audio_buffer.committed", item_id="item_1")
    send(calls, "a", response={"conversation": "none", "metadata": {"topic": "a"}})
    begin(calls, B, metadata=None)
    begin(calls, A, metadata={"topic": "a"})
    calls.closed()
    assert charged(recorded) == {B: "opener", A: "a"}


def test_response_whose_beginning_was_not_seen_is_recorded(recorded: Recorded) -> None:
    calls = connection(REALTIME + "&call_id=rtc_1")
    hear(calls, "response.done", response={"id": A, "status": "completed"})
    calls.closed()
    assert charged(recorded) == {A: "opener"}


def test_cancelled_response_keeps_its_usage_and_its_reason(recorded: Recorded) -> None:
    calls = connection(REALTIME)
    send(calls, "a")
    begin(calls, A)
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    details = {"type": "cancelled", "reason": "turn_detected"}
    hear(calls, "response.done", response={"id": A, "status": "cancelled", "status_details": details, "usage": usage})
    (event,) = recorded.all()
    assert (event.status, event.error_code) == ("aborted", "turn_detected")
    assert usage_of(event) == usage


def test_memory_is_bounded(recorded: Recorded) -> None:
    calls = connection(RESPONSES)
    for number in range(3000):
        send(calls, "a", input="x")
        begin(calls, f"resp_{number:016}", previous_response_id="of_nobody")
    responses = calls._responses
    assert len(responses._open) == 1000
    assert len(responses._waiting._requests) == 1000
    assert len(responses._records._ended) == 1000
    assert len(recorded.all()) == 4000


def test_forked_copy_of_a_connection_records_nothing(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = connection(RESPONSES)
    send(calls, "a")
    monkeypatch.setattr("ai_clients.websockets.calls.os.getpid", lambda: -1)
    calls.closed()
    assert recorded.all() == []


class Provider:
    """A model of the provider that answers the requests of each lane in order, refuses some and hears speech."""

    def __init__(self, random_: random.Random, calls: SocketCalls, *, is_realtime: bool) -> None:
        self._random = random_
        self._calls = calls
        self._is_realtime = is_realtime
        self._queues: dict[str, deque[tuple[str, dict[str, Any]]]] = {}
        self._number = 0
        self.senders: dict[str, str] = {}

    def send(self) -> None:
        who = self._random.choice(["tenant_a", "tenant_b", "tenant_c"])
        lane = "" if self._is_realtime else self._random.choice(["", "left", "right"])
        request: dict[str, Any] = {"stream_id": lane} if lane else {}
        if self._random.random() < 0.3:
            request["event_id"] = f"event_{self._random.random()}"
        if self._random.random() < 0.3:
            metadata = {"topic": self._random.choice(["x", who])}
            request |= {"response": {"metadata": metadata}} if self._is_realtime else {"metadata": metadata}
        if not self._is_realtime and self._random.random() < 0.3:
            request["previous_response_id"] = self._random.choice(["resp_x", "resp_y"])
        send(self._calls, who, **request)
        self._queues.setdefault(lane, deque()).append((who, request))

    def other(self) -> None:
        """An event that asks for no response, and an error about it."""
        send(self._calls, "tenant_a", "conversation.item.create", item={})
        if self._random.random() < 0.3:
            hear(self._calls, "error", error={"code": "bad", "event_id": None})

    def speak(self) -> None:
        if self._is_realtime:
            hear(self._calls, "input_audio_buffer.committed", item_id="item_1")
            # It is answered before, between or after the requests that wait.
            queue = self._queues.setdefault("", deque())
            queue.insert(self._random.randint(0, len(queue)), ("opener", {}))

    def refuse(self) -> None:
        lane = self._random.choice(sorted(self._queues) or [""])
        asked = [one for one in self._queues.get(lane, ()) if one[0] != "opener"]
        if asked:
            refused = self._random.choice(asked) if self._is_realtime else asked[0]
            self._queues[lane].remove(refused)
            names = {"stream_id": lane} if lane else {}
            event_id = refused[1].get("event_id")
            hear(self._calls, "error", error={"code": "bad", "event_id": event_id}, **names)

    def answer(self) -> None:
        lane = self._random.choice(sorted(self._queues) or [""])
        if not self._queues.get(lane):
            return
        who, request = self._queues[lane].popleft()
        self._number += 1
        id_ = f"resp_{self._number:016}"
        self.senders[id_] = who
        names = {"stream_id": lane} if lane else {}
        metadata = request.get("metadata") or request.get("response", {}).get("metadata")
        response: dict[str, Any] = {"id": id_, "metadata": metadata}
        if not self._is_realtime:
            response["previous_response_id"] = request.get("previous_response_id")
        hear(self._calls, "response.created", response=response, **names)
        if self._random.random() < 0.5:
            end = "response.done" if self._is_realtime else "response.completed"
            hear(self._calls, end, response=response | {"status": "completed"}, **names)


@pytest.mark.parametrize("is_realtime", [False, True])
def test_no_response_is_ever_charged_to_another_tenant(is_realtime: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guarantee 8, docs/guarantees.md: random interleavings of three tenants over shared connections."""
    events: list[Event] = []
    monkeypatch.setattr(records, "record", events.append)
    to_sender = to_opener = 0
    for seed in range(INTERLEAVINGS):
        random_ = random.Random(f"{is_realtime} {seed}")
        calls = connection(REALTIME if is_realtime else RESPONSES)
        provider = Provider(random_, calls, is_realtime=is_realtime)
        steps = [provider.send, provider.send, provider.answer, provider.answer]
        steps += [step for step in (provider.speak, provider.refuse, provider.other) if random_.random() < 0.4]
        events.clear()
        for _ in range(25):
            random_.choice(steps)()
        calls.closed()
        charged = {event.request_id: event.attribution.agent_id for event in events}
        assert provider.senders.keys() <= charged.keys(), f"seed {seed}"
        for id_, who in provider.senders.items():
            assert charged[id_] in (who, "opener"), f"seed {seed}, {id_}"
            to_sender += charged[id_] == who
            to_opener += charged[id_] != who
    assert to_sender > to_opener, "most can be told"
    assert health().lost == 0


class Counting:
    """A guard that counts what becomes of holds."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def concerns(self, attribution: Attribution) -> bool:
        return True

    def admit(self, call: Planned, *, may_wait: bool) -> Admitted:
        return []

    def recorded(self, holds: Admitted) -> None:
        self.ends += ["recorded"] * len(holds)

    def released(self, holds: Admitted) -> None:
        self.ends += ["released"] * len(holds)


def test_request_that_was_answered_before_its_sending_failed_settles_its_hold_once(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Counting()
    monkeypatch.setattr(admission, "guard", guard)
    calls = connection(RESPONSES)
    request = calls.sending(json.dumps({"type": "response.create", "model": "gpt-5-mini"}))
    assert request is not None
    request.holds = [Hold(1, 1, 1, Decimal(1))]
    begin(calls, A, previous_response_id=None)
    calls.not_sent(request)
    calls.closed()
    assert [len(event.holds) for event in recorded.all()].count(1) == guard.ends.count("recorded")
    assert len(guard.ends) == 1
