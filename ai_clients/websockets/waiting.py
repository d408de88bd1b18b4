"""The requests for a response that were sent over one websocket and that no response has answered yet.

A response is charged to the code that sent the request for it, where that can be told. Where it cannot, it is charged
to the code that opened the connection, and so are the requests that it may be mistaken for (guarantee 8,
docs/guarantees.md).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from ai_clients.usage.answer import has_usage, text
from ai_clients.websockets.messages import Message, Response, decode_response
from usage_billing.recording import Attribution

MOST_WAITING = 1000


class Request(msgspec.Struct, eq=False):
    """A `response.create` that was sent. lane: its `stream_id`, if it has one.

    started_at: seconds since the epoch. began: on the clock that durations are measured with. is_doubtful: it may
    have been refused or answered already.
    """

    attribution: Attribution
    started_at: float
    began: float
    lane: str = ""
    event_id: str = ""
    model: str = ""
    previous: str = ""
    metadata: Mapping[str, Any] = {}
    is_doubtful: bool = False


def request_now(attribution: Attribution, model: str = "") -> Request:
    """A request that begins now."""
    return Request(attribution=attribution, started_at=time.time(), began=time.perf_counter(), model=model)


def request_of(message: Message, attribution: Attribution) -> Request:
    """The request in a `response.create`. Realtime's has its settings in the member `response`."""
    inner = decode_response(message.response) if has_usage(message.response) else Response()
    metadata = message.metadata or inner.metadata
    return msgspec.structs.replace(
        request_now(attribution, text(message.model) or text(inner.model)),
        lane=text(message.stream_id),
        event_id=text(message.event_id),
        previous=text(message.previous_response_id),
        metadata=metadata if isinstance(metadata, dict) else {},
    )


class Waiting:
    """The unanswered requests of one connection, oldest first. opener: the attribution of who opened it."""

    def __init__(self, opener: Attribution) -> None:
        self._opener = opener
        self._requests: list[Request] = []
        self._steered: dict[str, Attribution] = {}

    def add(self, request: Request) -> Request | None:
        """Add a request that is about to be sent. Returns the oldest if there are too many; it waits no longer."""
        if any(other.is_doubtful for other in self._in_lane(request.lane)):
            self._doubt(request)
        self._requests.append(request)
        return self._requests.pop(0) if len(self._requests) > MOST_WAITING else None

    def remove(self, request: Request) -> None:
        """Remove a request that could not be sent."""
        if request in self._requests:
            self._requests.remove(request)

    def steer(self, response_id: str, attribution: Attribution) -> None:
        """Note who steers a response: the next one of its chain may begin without a request.

        (OpenAI, Mid-turn steering: “The API automatically creates a new response with your update”.)
        """
        self._steered[response_id] = attribution
        if len(self._steered) > MOST_WAITING:
            del self._steered[next(iter(self._steered))]

    def take(self, lane: str, response: Response, *, may_be_unasked: bool) -> Request | Attribution:
        """Remove and return the request that a response answers; the attribution of a response without a request.

        may_be_unasked: the server may have begun the response by itself, because the user has spoken. OpenAI answers
        the requests of a lane one after the other (guide “WebSocket mode”).
        """
        previous = text(response.previous_response_id)
        steered = self._steered.pop(previous, None) if previous else None
        candidates = self._candidates(lane, response, is_sole_cause=steered is None and not may_be_unasked)
        if not candidates:
            return self._opener if steered is None else steered
        first = candidates[0]
        is_named = bool(first.metadata) and first.metadata == response.metadata
        if (steered is not None and steered != first.attribution) or (may_be_unasked and not is_named):
            self.doubt(lane)
        self._requests.remove(first)
        return first

    def _candidates(self, lane: str, response: Response, *, is_sole_cause: bool) -> list[Request]:
        """The requests that a response may answer. is_sole_cause: it answers one of them for certain."""
        waiting = self._in_lane(lane)
        if named := [one for one in waiting if one.metadata and one.metadata == response.metadata]:
            return named
        if response.previous_response_id is msgspec.UNSET:  # Realtime has no chains
            fitting = [one for one in waiting if not one.metadata]
        else:
            fitting = [one for one in waiting if one.previous == text(response.previous_response_id)]
        return fitting or (waiting if is_sole_cause else [])

    def named(self, event_id: str) -> Request | None:
        """Remove and return the request that has this `event_id`."""
        found = next((one for one in self._requests if one.event_id == event_id), None)
        if found is not None:
            self._requests.remove(found)
        return found

    def number_in(self, lane: str) -> int:
        return len(self._in_lane(lane))

    def first_refused(self, lane: str) -> Request | None:
        """Remove and return the first request of a lane, because an error refuses one of them. None if none waits."""
        waiting = self._in_lane(lane)
        if len(waiting) > 1:
            self.doubt(lane)
        if waiting:
            self._requests.remove(waiting[0])
            return waiting[0]
        return None

    def doubt(self, lane: str) -> None:
        """Note that it can no longer be told which requests of a lane the coming responses answer."""
        for request in self._in_lane(lane):
            self._doubt(request)

    def _doubt(self, request: Request) -> None:
        request.is_doubtful = True
        request.attribution = self._opener

    def _in_lane(self, lane: str) -> list[Request]:
        return [request for request in self._requests if request.lane == lane]

    def take_all(self) -> list[Request]:
        """Remove and return all."""
        requests, self._requests = self._requests, []
        return requests
