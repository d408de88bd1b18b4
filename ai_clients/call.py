"""One HTTP attempt of an SDK call, from its request to its event in the outbox."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

import httpx2
import msgspec

from ai_clients import account, budget_check
from ai_clients.body.buffer import BodyBuffer
from ai_clients.body.event_stream import EVENT_STREAM, EventStreamBuffer
from ai_clients.endpoints import MARK, Endpoint, Mark
from ai_clients.usage import anthropic_usage, openai_usage, request_bounds, request_facts, unknown
from ai_clients.usage.answer import STREAM_BEGINNINGS, Answer, decoder, payloads
from usage_billing.recording import Event, current_attribution, lost, record
from usage_billing.recording.admission import BUDGET_EXCEEDED, Admitted, Planned, Refusal
from usage_billing.recording.event import Flavour
from usage_billing.recording.request_paths import named_in

STREAMED_BY_AMAZON = "/invoke-with-response-stream"
"""The endpoint that answers with an event stream of Amazon's."""

UNIQUE_LENGTH = 20
"""Shorter ids are counters or examples (`chatcmpl-123`, local servers) and are not unique."""


class _Reader(Protocol):
    def read_body(self, flavour: Flavour, body: bytes, /) -> Answer: ...
    def read_stream(self, flavour: Flavour, events: list[bytes], /) -> Answer: ...
    def error_code(self, error: Any, /) -> str: ...


class Call:
    """An attempt under way. `finish` records it, once; nothing is written before that.

    ended: whether the body was read to its end. take: keeps a chunk of the body on its way to the caller, and returns
    whether they need a `fold`; it is the buffer's own method, for a stream has hundreds of chunks.
    """

    __slots__ = (
        "_account", "_asked_account", "_attribution", "_began", "_body", "_endpoint", "_finished", "_headers", "_holds",
        "_is_stream", "_mark", "_request", "_response", "_started_at", "ended", "take",
    )  # fmt: skip

    def __init__(self, request: httpx2.Request, endpoint: Endpoint, mark: Mark | None = None) -> None:
        self._request: Any = request
        self._response: Any = None
        self._headers: Mapping[bytes, bytes] = {}
        self._endpoint = endpoint
        self._mark = mark
        self._attribution = current_attribution()
        self._started_at = time.time()
        self._began = time.perf_counter()
        self._finished = False
        self._account: dict[str, str] | None = None
        self._asked_account: dict[str, str] | None = None
        self._holds = budget_check.NO_HOLDS
        self.ended = False

    @property
    def flavour(self) -> Flavour:
        return self._endpoint.flavour

    def refused(self) -> Refusal | None:
        """Ask the budgets of the call, and reserve what it may take. Returns why it may not be sent, if so."""
        if not budget_check.concerns(self._attribution) or (planned := self._planned()) is None:
            return None
        return self._decided(budget_check.ask(planned))

    async def refused_async(self) -> Refusal | None:
        """Ask as `refused` does, without holding up the event loop."""
        if not budget_check.concerns(self._attribution) or (planned := self._planned()) is None:
            return None
        return self._decided(await budget_check.ask_async(planned))

    def _planned(self) -> Planned | None:
        """The call as its budgets look at it; None if none counts it. Never raises."""
        try:
            return self._as_planned()
        except Exception:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the call is sent
            budget_check.logger.exception(budget_check.SENT)
            return None

    def _as_planned(self) -> Planned | None:
        if not self._makes_something():
            return None
        bounds, named = request_bounds.bounds_of(self._request, self._endpoint.flavour), named_in(self._endpoint.url)
        return Planned(
            self._attribution,
            self._started_at,
            self._endpoint.flavour,
            self._endpoint.url,
            named.model or bounds.model,
            named.deployment,
            *bounds[1:],
            makes_answer=self._endpoint.purpose == "create",
        )

    def _decided(self, decision: Admitted | Refusal) -> Refusal | None:
        if not isinstance(decision, Refusal):
            self._holds = decision
            return None
        self._finished = True
        try:
            stopped = Answer(model=request_facts.model_of(self._request), status="refused", error_code=BUDGET_EXCEEDED)
            record(msgspec.structs.replace(self._event(stopped), duration_ms=0, response={"budget": decision.budget}))
        except Exception as failure:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the caller gets the refusal
            lost(failure)
        return decision

    def _keep(self, *events: Event) -> None:
        """Record events. They settle what the call holds."""
        if record(*events) and self._holds:
            self._holds, holds = budget_check.NO_HOLDS, self._holds
            budget_check.recorded(holds)

    def _release(self) -> None:
        """Free what the call still holds: it is over, and left no record."""
        if self._holds:
            self._holds, holds = budget_check.NO_HOLDS, self._holds
            budget_check.released(holds)

    def sent(self) -> None:
        """Do what needs no answer, now that the provider has the request: nobody waits for this. Never raises."""
        try:
            self._asked_account = account.asked(self._request.headers)
        except Exception:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the caller gets its answer
            self._asked_account = None  # `finish` reads it again, and counts the error

    def answered(
        self, response: httpx2.Response, told: Mapping[bytes, bytes], *, encoding: str | None, is_stream: bool
    ) -> None:
        """Note the head of the response; `take` gets its body. told: its headers (`by_name`)."""
        self._response = response
        self._headers = told
        self._is_stream = is_stream
        self._body = self._buffer(encoding)
        self.take = self._body.take

    def redirected(self) -> None:
        """Mark the request again: the next one, to the place that the redirect names, is made from it."""
        if self._mark is not None:
            self._request.extensions[MARK] = self._mark
        self._finished = True
        self._release()

    def not_sent(self) -> None:
        """Forget an attempt that did not reach the provider as a whole."""
        self._finished = True
        self._release()

    def given_up(self, error: BaseException) -> None:
        """Record an attempt that was sent and that ended without an answer: the provider may bill it. Never raises."""
        if self._finished:
            return
        self._finished = True
        try:
            if self._makes_something():
                self._keep(
                    self._event(
                        Answer(
                            model=request_facts.model_of(self._request),
                            status="aborted",
                            error_code=type(error).__name__,
                        )
                    )
                )
        except Exception as failure:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the caller gets its own error
            lost(failure)
        self._release()

    def _makes_something(self) -> bool:
        """Whether the request makes what the provider may bill."""
        return self._endpoint.purpose == "create"

    def _buffer(self, encoding: str | None) -> BodyBuffer:
        if not self._is_stream and self._response.status_code < 400:
            if self._endpoint.flavour == "speech":
                return BodyBuffer(streamed=False, encoding=encoding, wanted=_may_be_stream)
            if self._endpoint.url.endswith(STREAMED_BY_AMAZON) and EVENT_STREAM in self._content_type():
                self._is_stream = True
                return EventStreamBuffer(encoding)
        return BodyBuffer(streamed=self._is_stream, encoding=encoding)

    def _content_type(self) -> str:
        content_type: str = self._response.headers.get("content-type", "")
        return content_type

    def fold(self) -> None:
        """Keep of the chunks only what says something about usage: there are many."""
        if self._finished:
            self._body.forget_chunks()
        else:
            self._fold()

    def broken(self, error: Exception) -> None:
        """Count the call as lost: `take` or `fold` failed. The caller goes on reading."""
        if not self._finished:
            self._finished = True
            lost(error)

    def finish(self) -> None:
        """Record the call: its body was read to its end, or given up. Never raises."""
        if self._finished:
            return
        self._finished = True
        try:
            self._record()
        except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the caller gets its answer
            lost(error)
        self._release()
        # The response holds its stream, which holds this call. Break the cycle, so that it is freed at once.
        self._request = self._response = None

    def _fold(self) -> None:
        self._body.fold()

    def _record(self) -> None:
        if self._endpoint.purpose == "create":
            self._keep(self._created())
        elif (answer := self._answer()).completes:
            event = self._event(answer)
            self._keep(msgspec.structs.replace(event, origin=event.request_id))

    def _created(self) -> Event:
        """The event of a request that made an answer."""
        answer, flavour = self._answer(), self._endpoint.flavour
        if not answer.model or flavour in ("speech", "transcription") or request_facts.tells_containers(answer):
            answer = request_facts.completed(answer, flavour, self._request)
        if not answer.completes and answer.status != "pending":
            return self._event(answer)
        # A background response: no earlier event waits for this one, but somebody may have fetched it already.
        event = self._event(answer)
        return msgspec.structs.replace(event, completes=False, origin=event.request_id)

    def _request_id(self, answer: Answer) -> str:
        """The first unique id that the provider gave; a new one if it gave none."""
        if is_unique(answer.id):
            return answer.id
        headers = self._response.headers if self._response is not None else {}
        given = (headers.get(name, "") for name in ("x-request-id", "request-id"))
        return next(filter(is_unique, given), "") or uuid.uuid4().hex

    def _event(self, answer: Answer) -> Event:
        endpoint, status = self._endpoint, self._http_status()
        region = endpoint.region
        response: dict[str, Any] = {} if status in (0, 200) else {"http_status": status}
        return Event(
            request_id=self._request_id(answer),
            started_at=self._started_at,
            duration_ms=round((time.perf_counter() - self._began) * 1000),
            flavour=endpoint.flavour,
            url=endpoint.url,
            status=answer.status,
            error_code=answer.error_code,
            model=answer.model,
            usage=answer.usage,
            units=answer.units,
            parts=answer.parts,
            completes=answer.completes,
            context=answer.context | {"region": region} if region else answer.context,
            response=answer.response | response if answer.response else response,
            account=self._who_pays(),
            attribution=self._attribution,
            holds=list(self._holds),
        )

    def _who_pays(self) -> dict[str, str]:
        """The account of the attempt, read once: a batch's results have an event for each line."""
        if self._account is None:
            if self._asked_account is None:
                self._asked_account = account.asked(self._request.headers)
            self._account = account.answered(self._asked_account, self._headers)
        return self._account

    def _http_status(self) -> int:
        """The status of the response; 0 if none came."""
        return self._response.status_code if self._response is not None else 0

    def _answer(self) -> Answer:
        flavour, streams = self._endpoint.flavour, False
        reader = _READERS.get(flavour, openai_usage)
        try:
            if self._response.status_code >= 400:
                code = reader.error_code(_error_in(self._body))
                return Answer(status="failed", error_code=f"{self._response.status_code} {code}".rstrip())
            streams = self._is_stream or (self._body.is_stream() and request_facts.asks_for_stream(self._request))
            if streams:
                return self._usual_chunks() or reader.read_stream(flavour, payloads(self._body.lines()))
            if flavour in ("speech", "transcription") and (answer := self._answer_without_usage()):
                return answer
            return reader.read_body(flavour, self._body.body())
        except msgspec.DecodeError:
            # Not read to its end, too large, or not from the provider: its cost is unknown.
            whole = self.ended and not streams
            return Answer(status="succeeded" if whole else "aborted", error_code="unreadable-answer")

    def _usual_chunks(self) -> Answer | None:
        """The answer of a streamed chat completion as nearly all are; None if its events must be looked at."""
        stream = self._body.unchanged() if self._endpoint.flavour == "chat" else None
        return None if stream is None else openai_usage.read_usual_chunks(stream)

    def _answer_without_usage(self) -> Answer | None:
        """The answer if it is audio or plain text, which have no usage; None if it may be JSON or a stream."""
        if self._endpoint.flavour == "speech":
            silent = not self._body.is_stream() and not self._body.body()
        else:
            silent = request_facts.asks_for_text(self._request)
        return Answer(status="succeeded" if self.ended else "aborted") if silent else None


_READERS: dict[Flavour, _Reader] = {"messages": anthropic_usage, "unknown": unknown}
"""Flavour → the reader of its answers; OpenAI's for all others."""


class _Error(msgspec.Struct):
    error: Any = None


_decode_error = decoder(_Error)


def _error_in(body: BodyBuffer) -> Any:
    try:
        return _decode_error(body.body()).error
    except msgspec.DecodeError:
        return None


def _may_be_stream(beginning: bytes) -> bool | None:
    """Whether a body that should be audio is a stream of events that does not say so."""
    if beginning.startswith(STREAM_BEGINNINGS):
        return True
    return None if any(word.startswith(beginning) for word in STREAM_BEGINNINGS) else False


def is_unique(id_: str) -> bool:
    return len(id_) >= UNIQUE_LENGTH
