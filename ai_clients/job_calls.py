"""Attempts that read or begin jobs: each fact of their answers belongs to a job, and is recorded as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import httpx2
import msgspec

from ai_clients import later
from ai_clients.body.buffer import BatchBuffer, BodyBuffer
from ai_clients.call import Call, is_unique
from ai_clients.endpoints import Endpoint, Mark
from ai_clients.job_endpoints import PLACES, JobEndpoint
from ai_clients.usage import anthropic_batches, openai_batches, request_facts
from ai_clients.usage.answer import Answer, BatchLine
from usage_billing.recording import Event, lost
from usage_billing.recording.event import Job, Status


def call_of(request: httpx2.Request, endpoint: Endpoint, mark: Mark | None) -> Call:
    """The attempt that this request is."""
    if endpoint.job is not None:
        return JobCall(request, endpoint, mark, endpoint.job)
    kind = BatchResultsCall if endpoint.purpose == "batch" else Call
    return kind(request, endpoint, mark)


class _PiecesCall(Call):
    """An attempt whose body may be recorded in pieces, so that it is never held as a whole."""

    __slots__ = ()

    def _fold(self) -> None:
        if isinstance(self._body, BatchBuffer):
            self._record_pieces(self._body, whole=False)
        else:
            self._body.fold()

    def _record_pieces(self, body: BatchBuffer, *, whole: bool) -> None:
        """Record what has come. `whole`: that is all, and the last event may say so."""
        held: list[Event] = []
        for lines in body.pop_lines(whole=whole):
            events = list(self._events_in(lines))
            if held and events:
                self._keep(*held)
            held = events or held
        if whole:
            self._conclude(held)
        if held:
            self._keep(*held)

    def _events_in(self, lines: list[bytes]) -> Iterable[Event]:
        raise NotImplementedError

    def _conclude(self, events: list[Event]) -> None:
        """Change the last events once the body has come as a whole."""


class BatchResultsCall(_PiecesCall):
    """Reads the results of a batch: each of its requests is a call."""

    __slots__ = ("_read_lines", "_seen")

    def _buffer(self, encoding: str | None) -> BodyBuffer:
        if self._is_stream or self._http_status() >= 400:
            return super()._buffer(encoding)
        self._seen: set[str] = set()
        self._read_lines: Callable[[Iterable[bytes]], Iterator[BatchLine | Exception]]
        if self._endpoint.flavour == "messages":
            self._read_lines = anthropic_batches.read_lines
            return BatchBuffer(streamed=False, encoding=encoding)
        self._read_lines = openai_batches.OutputReader().read_lines
        return BatchBuffer(streamed=False, encoding=encoding, wanted=openai_batches.may_be_output)

    def _record(self) -> None:
        if isinstance(self._body, BatchBuffer):
            self._record_pieces(self._body, whole=self.ended)

    def _conclude(self, events: list[Event]) -> None:
        """Say with the last line that the batch's own record need not wait any more."""
        if self._has_all_results():
            last = events.pop() if events else self._end()
            events.append(msgspec.structs.replace(last, job=Job(is_read=True)))

    def _has_all_results(self) -> bool:
        """Whether all billed requests of the batch were read. OpenAI puts failed ones into a file of their own."""
        is_whole = self._http_status() == 200 and "unreadable" not in self._seen
        return is_whole and (self._endpoint.flavour == "messages" or "succeeded" in self._seen)

    def _end(self) -> Event:
        _, batch_id = self._root_and_id()
        event = self._event(Answer(id=batch_id, completes=True))
        return msgspec.structs.replace(event, request_id=batch_id, origin=batch_id, duration_ms=0)

    def _root_and_id(self) -> tuple[str, str]:
        """The beginning of the URL of the batch's requests, and the id of the batch or of its file."""
        within = "/messages/batches/" if self._endpoint.flavour == "messages" else "/files/"
        root, _, rest = self._endpoint.url.rpartition(within)
        return root, rest.partition("/")[0]

    def _events_in(self, lines: list[bytes]) -> Iterator[Event]:
        """An event for each request of a batch whose result is in these lines."""
        root, batch_id = self._root_and_id()
        for line in self._read_lines(lines):
            self._seen.add(line.answer.status if isinstance(line, BatchLine) else "unreadable")
            if isinstance(line, BatchLine):
                yield msgspec.structs.replace(
                    self._event(line.answer),
                    flavour=line.flavour,
                    url=root + line.path if line.path else self._endpoint.url,
                    request_id=line.answer.id if is_unique(line.answer.id) else f"{batch_id}:{line.custom_id}",
                    duration_ms=0,
                    origin=batch_id,
                )
            else:
                lost(line)


class JobCall(_PiecesCall):
    """Begins, changes or reads a job."""

    __slots__ = ("_job",)

    def __init__(self, request: httpx2.Request, endpoint: Endpoint, mark: Mark | None, job: JobEndpoint) -> None:
        super().__init__(request, endpoint, mark)
        self._job = job

    def _makes_something(self) -> bool:
        return self._job.begins

    def _buffer(self, encoding: str | None) -> BodyBuffer:
        if self._is_stream and later.is_stream_of_session(self._job):
            return BatchBuffer(streamed=True, encoding=encoding)
        return super()._buffer(encoding)

    def _record(self) -> None:
        if isinstance(self._body, BatchBuffer):
            self._record_pieces(self._body, whole=self.ended)
        elif events := self._events(self._job):
            self._keep(*events)

    def _events(self, job: JobEndpoint) -> list[Event]:
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

    def _events_in(self, lines: list[bytes]) -> list[Event]:
        """The events of a piece of a session's stream. Its first piece tells which session it began."""
        job, told = self._job, later.read_stream(self._job, lines)
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
