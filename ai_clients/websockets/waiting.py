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
from usage_billing.recording.admission import Admitted

MOST_WAITING = 1000


class Request(msgspec.Struct, eq=False):
    """A `response.create` that was sent. lane: its `stream_id`, if it has one.

    started_at: seconds since the epoch. began: on the clock that durations are measured with. holds: what it has
    reserved of budgets.
    """

    attribution: Attribution
    started_at: float
    began: float
    lane: str = ""
    event_id: str = ""
    model: str = ""
    previous: str = ""
    metadata: Mapping[str, Any] = {}
    holds: Admitted = ()


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
        self._speech_turns = 0
        self._doubtful: set[str] = set()

    def add(self, request: Request) -> Request | None:
        """Add a request that is about to be sent. Returns the oldest if there are too many; it waits no longer."""
        if request.lane in self._doubtful:
            request.attribution = self._opener
        self._requests.append(request)
        if len(self._requests) <= MOST_WAITING:
            return None
        self.doubt(self._requests[0].lane)
        return self._requests.pop(0)

    def remove(self, request: Request) -> None:
        """Remove a request that could not be sent."""
        if request in self._requests:
            self._remove(request)

    def steer(self, response_id: str, attribution: Attribution) -> None:
        """Note who steers a response: the next one of its chain may begin without a request.

        (OpenAI, Mid-turn steering: “The API automatically creates a new response with your update”.)
        """
        self._steered[response_id] = attribution
        if len(self._steered) > MOST_WAITING:
            del self._steered[next(iter(self._steered))]

    def spoken(self) -> None:
        """Note that the server will begin a response by itself, because the user has spoken."""
        self._speech_turns += 1

    def take(self, lane: str, response: Response) -> Request | Attribution:
        """Remove and return the request that a response answers; the attribution of a response without a request.

        OpenAI answers the requests of a lane one after the other (guide “WebSocket mode”).
        """
        previous = text(response.previous_response_id)
        steered = self._steered.pop(previous, None) if previous else None
        candidates = self._candidates(lane, response, is_steered=steered is not None)
        if not candidates:
            self._speech_turns = max(0, self._speech_turns - 1)
            self._settle(lane)
            return self._opener if steered is None else steered
        first = candidates[0]
        is_named = bool(first.metadata) and first.metadata == response.metadata
        if not is_named and (self._speech_turns or (steered is not None and steered != first.attribution)):
            # One of several causes: how many are left is known, but not which.
            self.doubt(lane)
        return self._remove(first)

    def _candidates(self, lane: str, response: Response, *, is_steered: bool) -> list[Request]:
        """The requests that a response may answer."""
        waiting = self._in_lane(lane)
        if named := [one for one in waiting if one.metadata and one.metadata == response.metadata]:
            return named
        if response.previous_response_id is msgspec.UNSET:  # Realtime has no chains
            return [one for one in waiting if not one.metadata] or ([] if self._speech_turns else waiting)
        previous = text(response.previous_response_id)
        chained = [one for one in waiting if one.previous == previous]
        # Some gateways do not repeat what a response continues.
        return chained or ([] if previous or is_steered else waiting)

    def named(self, event_id: str) -> Request | None:
        """Remove and return the request that has this `event_id`."""
        found = next((one for one in self._requests if one.event_id == event_id), None)
        return found and self._remove(found)

    def number_in(self, lane: str) -> int:
        """The number of requests that wait in a lane."""
        return len(self._in_lane(lane))

    def first_refused(self, lane: str) -> Request | None:
        """Remove and return the first request of a lane, because an error refuses one of them. None if none waits."""
        waiting = self._in_lane(lane)
        if len(waiting) > 1:
            self.doubt(lane)
        return self._remove(waiting[0]) if waiting else None

    def doubt(self, lane: str) -> None:
        """Charge the opener: it can no longer be told which requests of a lane the coming responses answer.

        That holds until as many have come as wait now, and as were sent meanwhile.
        """
        if waiting := self._in_lane(lane):
            self._doubtful.add(lane)
        for request in waiting:
            request.attribution = self._opener

    def doubt_all(self) -> None:
        """`doubt` every lane."""
        for lane in {request.lane for request in self._requests}:
            self.doubt(lane)

    def _remove(self, request: Request) -> Request:
        self._requests.remove(request)
        self._settle(request.lane)
        return request

    def _settle(self, lane: str) -> None:
        """End the doubt about a lane in which nothing is awaited any more."""
        if not self._speech_turns and not self._in_lane(lane):
            self._doubtful.discard(lane)

    def _in_lane(self, lane: str) -> list[Request]:
        return [request for request in self._requests if request.lane == lane]

    def take_all(self) -> list[Request]:
        """Remove and return all."""
        requests, self._requests = self._requests, []
        return requests
