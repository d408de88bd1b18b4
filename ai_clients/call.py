"""One HTTP attempt of an SDK call, from its request to its event in the outbox."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import httpx2
import msgspec

from ai_clients import later
from ai_clients.account import account_of
from ai_clients.body.buffer import BatchBuffer, BodyBuffer
from ai_clients.body.event_stream import EVENT_STREAM, EventStreamBuffer
from ai_clients.endpoints import MARK, Endpoint, Mark
from ai_clients.job_endpoints import PLACES, JobEndpoint
from ai_clients.usage import (
    anthropic_batches,
    anthropic_usage,
    openai_batches,
    openai_usage,
    request_facts,
    unknown,
)
from ai_clients.usage.answer import STREAM_BEGINNINGS, Answer, BatchLine, decoder, payloads
from usage_billing.recording import Event, current_attribution, lost, record
from usage_billing.recording.event import Flavour, Job, Status

STREAMED_BY_AMAZON = "/invoke-with-response-stream"
"""The endpoint that answers with an event stream of Amazon's."""

UNIQUE_LENGTH = 20
"""Shorter ids are counters or examples (`chatcmpl-123`, local servers) and are not unique."""


class _Reader(Protocol):
    def read_body(self, flavour: Flavour, body: bytes, /) -> Answer: ...
    def read_stream(self, flavour: Flavour, events: list[bytes], /) -> Answer: ...
    def error_code(self, error: Any, /) -> str: ...


_BatchReader = Callable[[Iterable[bytes]], Iterator[BatchLine | Exception]]


class Call:
    """An attempt under way. `finish` records it, once; nothing is written before that, except batches' results.

    ended: whether the body was read to its end.
    """

    __slots__ = (
        "_attribution", "_began", "_body", "_endpoint", "_finished", "_is_stream", "_job", "_mark", "_read_batch",
        "_request", "_response", "_seen", "_started_at", "ended",
    )  # fmt: skip

    def __init__(self, request: httpx2.Request, endpoint: Endpoint, mark: Mark | None = None) -> None:
        self._request: Any = request
        self._response: Any = None
        self._endpoint = endpoint
        self._job = endpoint.job
        self._mark = mark
        self._attribution = current_attribution()
        self._started_at = time.time()
        self._began = time.perf_counter()
        self._finished = False
        self.ended = False

    def answered(self, response: httpx2.Response, *, encoding: str | None, is_stream: bool) -> None:
        """Note the head of the response; `take` gets its body."""
        self._response = response
        self._is_stream = is_stream
        self._body = self._buffer(encoding)

    def redirected(self) -> None:
        """Mark the request again: the next one, to the place that the redirect names, is made from it."""
        if self._mark is not None:
            self._request.extensions[MARK] = self._mark
        self._finished = True

    def given_up(self, error: BaseException) -> None:
        """Record an attempt that was sent and that ended without an answer: the provider may bill it. Never raises."""
        if self._finished:
            return
        self._finished = True
        try:
            if self._endpoint.purpose == "create" or (self._job is not None and self._job.begins):
                record(
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

    def _buffer(self, encoding: str | None) -> BodyBuffer:
        if not self._is_stream and self._response.status_code < 400:
            if self._endpoint.flavour == "speech":
                return BodyBuffer(streamed=False, encoding=encoding, wanted=_may_be_stream)
            if self._endpoint.purpose == "batch":
                return self._batch_buffer(encoding)
            if self._endpoint.url.endswith(STREAMED_BY_AMAZON) and EVENT_STREAM in self._content_type():
                self._is_stream = True
                return EventStreamBuffer(encoding)
        if self._is_stream and self._job is not None and later.is_stream_of_session(self._job):
            return BatchBuffer(streamed=True, encoding=encoding)
        return BodyBuffer(streamed=self._is_stream, encoding=encoding)

    def _content_type(self) -> str:
        content_type: str = self._response.headers.get("content-type", "")
        return content_type

    def _batch_buffer(self, encoding: str | None) -> BatchBuffer:
        self._seen: set[str] = set()
        if self._endpoint.flavour == "messages":
            self._read_batch: _BatchReader = anthropic_batches.read_lines
            return BatchBuffer(streamed=False, encoding=encoding)
        self._read_batch = openai_batches.OutputReader().read_lines
        return BatchBuffer(streamed=False, encoding=encoding, wanted=openai_batches.may_be_output)

    def take(self, chunk: bytes) -> None:
        """Keep a chunk of the body on its way to the caller, as far as it says something about usage. Never raises."""
        if self._finished:
            return
        try:
            if not self._body.take(chunk):
                return
            if isinstance(self._body, BatchBuffer):
                self._record_batch(self._body, whole=False)
            else:
                self._body.fold()
        except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the caller goes on reading
            lost(error)
            self._finished = True
            self._body = BodyBuffer(streamed=False)

    def finish(self) -> None:
        """Record the call: its body was read to its end, or given up. Never raises."""
        if self._finished:
            return
        self._finished = True
        try:
            if self._endpoint.purpose == "create":
                record(self._created())
            elif isinstance(self._body, BatchBuffer):
                self._record_batch(self._body, whole=self.ended)
            elif self._job is not None:
                if events := self._of_job(self._job):
                    record(*events)
            elif self._endpoint.purpose == "complete" and (answer := self._answer()).completes:
                event = self._event(answer)
                record(msgspec.structs.replace(event, origin=event.request_id))
        except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the caller gets its answer
            lost(error)
        # The response holds its stream, which holds this call. Break the cycle, so that it is freed at once.
        self._request = self._response = None

    def _record_batch(self, body: BatchBuffer, *, whole: bool) -> None:
        """Record what has come of a batch's results, or of a session's stream: it is never held as a whole."""
        held: list[Event] = []
        for lines in body.pop_lines(whole=whole):
            events = list(self._batch_events(lines) if self._job is None else self._of_session(self._job, lines))
            if held and events:
                record(*held)
            held = events or held
        if whole and self._job is None and self._has_all_results():
            # The batch's own record need not wait any more: the last line says so.
            last = held.pop() if held else self._end_of_results()
            held.append(msgspec.structs.replace(last, job=Job(is_read=True)))
        if held:
            record(*held)

    def _has_all_results(self) -> bool:
        """Whether all billed requests of the batch were read. OpenAI puts failed ones into a file of their own."""
        is_whole = self._http_status() == 200 and "unreadable" not in self._seen
        return is_whole and (self._endpoint.flavour == "messages" or "succeeded" in self._seen)

    def _end_of_results(self) -> Event:
        _, batch_id = self._of_results()
        event = self._event(Answer(id=batch_id, completes=True))
        return msgspec.structs.replace(event, request_id=batch_id, origin=batch_id, duration_ms=0)

    def _of_results(self) -> tuple[str, str]:
        """The beginning of the URL of the batch's requests, and the id of the batch or of its file."""
        within = "/messages/batches/" if self._endpoint.flavour == "messages" else "/files/"
        root, _, rest = self._endpoint.url.rpartition(within)
        return root, rest.partition("/")[0]

    def _of_job(self, job: JobEndpoint) -> list[Event]:
        """The events of an answer that tells of jobs."""
        if self._http_status() >= 400:
            return [self._event(self._answer())] if job.begins else []
        try:
            if self._is_stream or self._body.is_stream():
                told = later.read_stream(job, self._body.lines())
            else:
                told = later.read_body(job, self._body.body())
        except msgspec.DecodeError:
            told = []
        return self._told(job, told)

    def _of_session(self, job: JobEndpoint, lines: list[bytes]) -> list[Event]:
        """The events of a piece of a session's stream. Its first piece tells which session it began."""
        told = later.read_stream(job, lines)
        if job.begins:
            if not told:
                return []
            self._job = job._replace(begins=False, job_id=told[0].origin)
        return self._told(job, told)

    def _told(self, job: JobEndpoint, told: list[later.Told]) -> list[Event]:
        root = self._endpoint.url.removesuffix(PLACES[job.kind].path)
        events, begins = [], job.begins
        for each in told:
            is_beginning = begins and each.answer.id == each.origin
            if is_beginning:
                begins = False
            elif each.answer.id == each.origin and not each.answer.completes:
                continue  # it is under way, which its record says already
            answer = each.answer if each.answer.model or not is_beginning else self._with_model(each.answer)
            events.append(
                msgspec.structs.replace(
                    self._event(answer),
                    flavour=each.flavour,
                    url=root + each.path,
                    request_id=answer.id,
                    origin=each.origin,
                    job=each.job,
                    completes=answer.completes and not is_beginning,
                    is_listed=later.is_list(job),
                )
            )
        if begins:  # nothing is silent: the provider made something that its answer does not tell
            status: Status = "succeeded" if self.ended else "aborted"
            events.append(self._event(self._with_model(Answer(status=status, error_code="unreadable-answer"))))
        return events

    def _with_model(self, answer: Answer) -> Answer:
        return msgspec.structs.replace(answer, model=request_facts.model_of(self._request))

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

    def _batch_events(self, lines: Iterable[bytes]) -> Iterator[Event]:
        """An event for each request of a batch whose result is in these lines."""
        root, batch_id = self._of_results()
        for line in self._read_batch(lines):
            self._seen.add(line.answer.status if isinstance(line, BatchLine) else "unreadable")
            if isinstance(line, BatchLine):
                yield msgspec.structs.replace(
                    self._event(line.answer),
                    flavour=line.flavour,
                    url=root + line.path if line.path else self._endpoint.url,
                    request_id=line.answer.id if _is_unique(line.answer.id) else f"{batch_id}:{line.custom_id}",
                    duration_ms=0,
                    origin=batch_id,
                )
            else:
                lost(line)

    def _request_id(self, answer: Answer) -> str:
        """The first unique id that the provider gave; a new one if it gave none."""
        headers = self._response.headers if self._response is not None else {}
        given = (answer.id, headers.get("x-request-id", ""), headers.get("request-id", ""))
        return next(filter(_is_unique, given), "") or uuid.uuid4().hex

    def _event(self, answer: Answer) -> Event:
        status, region = self._http_status(), self._endpoint.region
        response: dict[str, Any] = {} if status in (0, 200) else {"http_status": status}
        return Event(
            request_id=self._request_id(answer),
            started_at=self._started_at,
            duration_ms=round((time.perf_counter() - self._began) * 1000),
            flavour=self._endpoint.flavour,
            url=self._endpoint.url,
            status=answer.status,
            error_code=answer.error_code,
            model=answer.model,
            usage=answer.usage,
            units=answer.units,
            parts=answer.parts,
            completes=answer.completes,
            context=answer.context | {"region": region} if region else answer.context,
            response=answer.response | response if answer.response else response,
            account=account_of(self._request.headers, self._response.headers if self._response is not None else None),
            attribution=self._attribution,
        )

    def _http_status(self) -> int:
        """The status of the response; 0 if none came."""
        return self._response.status_code if self._response is not None else 0

    def _answer(self) -> Answer:
        flavour = self._endpoint.flavour
        reader = _READERS.get(flavour, openai_usage)
        streams = False
        try:
            if self._response.status_code >= 400:
                code = reader.error_code(_error_in(self._body))
                return Answer(status="failed", error_code=f"{self._response.status_code} {code}".rstrip())
            streams = self._is_stream or (self._body.is_stream() and request_facts.asks_for_stream(self._request))
            if streams:
                return reader.read_stream(flavour, payloads(self._body.lines()))
            if flavour in ("speech", "transcription") and (answer := self._answer_without_usage()):
                return answer
            return reader.read_body(flavour, self._body.body())
        except msgspec.DecodeError:
            # Not read to its end, too large, or not from the provider: its cost is unknown.
            whole = self.ended and not streams
            return Answer(status="succeeded" if whole else "aborted", error_code="unreadable-answer")

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


def _is_unique(id_: str) -> bool:
    return len(id_) >= UNIQUE_LENGTH
