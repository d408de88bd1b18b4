"""The responses of one connection: from the request, or from the word of the server that one began, to its end."""

from __future__ import annotations

import msgspec

from ai_clients.usage import openai_usage, realtime_usage
from ai_clients.usage.answer import NO_USAGE, Answer, has_usage, text
from ai_clients.websockets.messages import Message, Response, decode, decode_response
from ai_clients.websockets.records import DECISIONS, REALTIME, RESPONSES, SocketRecords
from ai_clients.websockets.waiting import Request, Waiting, request_now, request_of
from usage_billing.recording import Attribution

MOST_OPEN = 1000


class _Open(msgspec.Struct, frozen=True):
    """A response that has begun. lane: its `stream_id`, if it has one."""

    request: Request
    lane: str


class ResponseCalls:
    """Records each response once."""

    def __init__(self, records: SocketRecords, opener: Attribution) -> None:
        self._records = records
        self._opener = opener
        self._waiting = Waiting(opener)
        self._open: dict[str, _Open] = {}
        self._has_other_events = False

    # ── The client's events ──────────────────────────────────────────────────────────────────────────────────────

    def asked(self, message: Message, attribution: Attribution) -> Request | None:
        """Note a `response.create` that is about to be sent."""
        request = request_of(message, attribution)
        if self._records.is_live and not request.event_id:
            # It may continue a response as well as begin one, and nothing tells which one is its own.
            return None
        if (displaced := self._waiting.add(request)) is not None:
            self._give_up(displaced)
        return request

    def not_sent(self, request: Request) -> None:
        self._waiting.remove(request)

    def steered(self, message: Message, attribution: Attribution) -> None:
        """Note a `response.steer` that is about to be sent."""
        self._waiting.steer(text(message.previous_response_id), attribution)

    def other_sent(self) -> None:
        """Note that errors may be about events that ask for no response."""
        self._has_other_events = True

    # ── The server's events ──────────────────────────────────────────────────────────────────────────────────────

    def created(self, message: Message, _body: bytes) -> None:
        self._begin(decode_response(message.response), text(message.stream_id))

    def ended(self, message: Message, body: bytes) -> None:
        """Record a `response.completed`, `.incomplete` or `.failed` of the Responses API."""
        answer = openai_usage.read_stream("responses", [body])
        self._end(answer, decode_response(message.response), RESPONSES, text(message.stream_id))

    def done(self, message: Message, _body: bytes) -> None:
        """Record a `response.done`, which ends every response of the Realtime API, also a cancelled one."""
        answer = realtime_usage.read_response(message.response)
        self._end(answer, decode_response(message.response), REALTIME, text(message.stream_id))

    def cancelled(self, message: Message, _body: bytes) -> None:
        """Record a response that a gateway reports as cancelled with an event of its own."""
        response = decode_response(message.response) if has_usage(message.response) else Response()
        id_ = text(response.id) or text(message.response_id)
        if began := self._open.pop(id_, None):
            usage = openai_usage.read_body("responses", bytes(message.response)).usage if response.id else NO_USAGE
            self._write(Answer(id=id_, usage=usage, status="aborted", error_code="cancelled"), began.request)

    def delegated(self, message: Message, _body: bytes) -> None:
        """Read the Responses event in a Live session's `response.event` (SDK: `types.live.ResponseEvent`)."""
        body = bytes(message.event)
        inner = decode(body)
        if inner.type == "response.created":
            self._begin(decode_response(inner.response), "", command=text(message.client_event_id))
        elif inner.type in openai_usage.TERMINAL:
            answer = openai_usage.read_stream("responses", [body])
            self._end(answer, decode_response(inner.response), RESPONSES, "", command=text(message.client_event_id))

    def decided(self, message: Message, _body: bytes) -> None:
        """Record the decision in a Live session's `decision.event` (SDK: `types.live.DecisionEvent`)."""
        inner = decode(bytes(message.event))
        if has_usage(inner.decision):
            answer = openai_usage.read_body("responses", bytes(inner.decision))
            id_ = answer.id or text(message.event_id)
            if not self._records.has_ended(id_):
                self._records.write(answer, request_now(self._opener), DECISIONS, id_=id_)

    def error(self, message: Message, _body: bytes) -> None:
        """Record the request that an error refuses, or note that one may have been refused."""
        error = message.error if isinstance(message.error, dict) else {}
        code = openai_usage.error_code(error) or text(message.code) or "error"
        lane = text(message.stream_id)
        if named := text(error.get("event_id")) or text(error.get("client_event_id")) or text(message.client_event_id):
            if request := self._waiting.named(named):
                self._write(Answer(status="failed", error_code=code), request)
            return
        under_way = [id_ for id_, one in self._open.items() if one.lane == lane]
        waiting = self._waiting.number_in(lane)
        if message.sequence_number is not None and len(under_way) == 1:
            # An error of the stream (SDK: `ResponseWsError.sequence_number`) ends the response that it belongs to.
            self._give_up(self._open.pop(under_way[0]).request, under_way[0], code)
        elif self._has_other_events or under_way or not waiting:
            self._waiting.doubt_all()
        elif request := self._waiting.first_refused(lane):
            self._write(Answer(status="failed" if waiting == 1 else "aborted", error_code=code), request)

    def spoken(self) -> None:
        """Note that the server will begin a response by itself, because the user has spoken."""
        self._waiting.spoken()

    def closed(self, error_code: str) -> None:
        """Record as aborted what is under way."""
        for request in self._waiting.take_all():
            self._give_up(request, error_code=error_code)
        opened, self._open = self._open, {}
        for id_, one in opened.items():
            self._give_up(one.request, id_, error_code)

    # ── One response ─────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, response: Response, lane: str, *, command: str = "") -> None:
        id_ = text(response.id)
        if id_ in self._open or self._records.has_ended(id_):
            return
        request = self._request_of(response, lane, command)
        request.model = text(response.model) or request.model
        self._open[id_] = _Open(request, lane)
        if len(self._open) > MOST_OPEN:
            oldest = next(iter(self._open))
            self._give_up(self._open.pop(oldest).request, oldest)

    def _end(self, answer: Answer, response: Response, api: str, lane: str, *, command: str = "") -> None:
        if self._records.has_ended(answer.id):
            return
        began = self._open.pop(answer.id, None)
        request = began.request if began else self._request_of(response, lane, command)
        self._records.write(answer, request, api)

    def _request_of(self, response: Response, lane: str, command: str) -> Request:
        """The request that a response answers; a new one, from now on, if it answers none."""
        if self._records.is_live:
            # The session delegates by itself, too: only the name of a command tells whose response it is.
            return (self._waiting.named(command) if command else None) or request_now(self._opener)
        found = self._waiting.take(lane, response)
        return found if isinstance(found, Request) else request_now(found)

    def _give_up(self, request: Request, id_: str = "", error_code: str = "") -> None:
        self._write(Answer(id=id_, status="aborted", error_code=error_code), request)

    def _write(self, answer: Answer, request: Request) -> None:
        self._records.write(answer, request, self._records.api)
