"""One HTTP attempt of an SDK call, from its request to what goes into the outbox of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import httpx2
import msgspec

from ai_clients.body.buffer import BatchBuffer, BodyBuffer
from ai_clients.endpoints import Address, Route
from ai_clients.usage import (
    anthropic_batches,
    anthropic_usage,
    openai_batches,
    openai_usage,
    request_facts,
)
from ai_clients.usage.answer import STREAM_BEGINNINGS, Answer, BatchLine, decoder, payloads
from usage_billing.recording import Event, current_attribution, lost, record
from usage_billing.recording.event import Flavour

UNIQUE_LENGTH = 20
"""Ids shorter than this are counters or examples (`chatcmpl-123`, local servers); they do not tell calls apart."""


class _Reader(Protocol):
    def read_body(self, flavour: Flavour, body: bytes, /) -> Answer: ...
    def read_stream(self, flavour: Flavour, events: list[bytes], /) -> Answer: ...
    def error_code(self, error: Any, /) -> str: ...


_BatchReader = Callable[[Iterable[bytes]], Iterator[BatchLine | Exception]]


class Call:
    """An attempt under way. `finish` records it, once; before that nothing is written."""

    __slots__ = (
        "_address", "_attribution", "_began", "_finished", "_read_batch", "_request", "_response", "_route",
        "_started_at", "body", "ended", "is_stream",
    )  # fmt: skip

    def __init__(self, request: httpx2.Request, route: Route, address: Address) -> None:
        self._request: Any = request
        self._route = route
        self._address = address
        self._attribution = current_attribution()
        self._started_at = time.time()
        self._began = time.perf_counter()
        self._finished = False
        self.ended = False

    def answered(self, response: httpx2.Response, *, encoding: str | None, is_stream: bool) -> None:
        """The answer's head is here; its body goes to `body` as the caller reads it."""
        self._response: Any = response
        self.is_stream = is_stream
        self.body = self._buffer(encoding)

    def _buffer(self, encoding: str | None) -> BodyBuffer:
        if not self.is_stream and self._response.status_code < 400:
            if self._route.flavour == "speech":
                return BodyBuffer(streamed=False, encoding=encoding, wanted=_may_be_stream)
            if self._route.purpose == "batch":
                return self._batch_buffer(encoding)
        return BodyBuffer(streamed=self.is_stream, encoding=encoding)

    def _batch_buffer(self, encoding: str | None) -> BatchBuffer:
        if self._route.flavour == "messages":
            self._read_batch: _BatchReader = anthropic_batches.read_lines
            return BatchBuffer(streamed=False, encoding=encoding)
        self._read_batch = openai_batches.OutputReader().read_lines
        return BatchBuffer(streamed=False, encoding=encoding, wanted=openai_batches.may_be_output)

    def look(self) -> None:
        """Many chunks of the body came, or a large one: keep of them what tells usage. Never raises."""
        if self._finished:
            self.body.drop()
            return
        try:
            if not isinstance(self.body, BatchBuffer):
                self.body.look()
            elif self.body.is_full():
                self._record_batch(self.body, whole=False)
        except Exception as error:  # noqa: BLE001 - promise 1: the caller goes on reading
            lost(error)
            self._finished = True
            self.body.drop()

    def finish(self) -> None:
        """The body was read to its end, or given up: write what it says. Never raises."""
        if self._finished:
            return
        self._finished = True
        try:
            if self._route.purpose == "create":
                record(self._event())
            elif isinstance(self.body, BatchBuffer):
                self._record_batch(self.body, whole=self.ended)
            elif self._route.purpose == "settle" and (answer := self._answer()).completes:
                record(self._event_of(answer, self._route.flavour, self._address.url, self._request_id(answer)))
        except Exception as error:  # noqa: BLE001 - promise 1: the caller has its answer, whatever the recorder does
            lost(error)
        # The response holds its stream, which holds this: without the circle it goes when its caller lets go of it.
        self._request = self._response = None

    def _record_batch(self, body: BatchBuffer, *, whole: bool) -> None:
        """Record the requests of a batch whose results came: a large file is never held as a whole."""
        for lines in body.pop_lines(whole=whole):
            if events := list(self._batch_events(lines)):
                record(*events)

    def _event(self) -> Event:
        answer, flavour = self._answer(), self._route.flavour
        if not answer.model or flavour in ("speech", "transcription"):
            answer = request_facts.completed(answer, flavour, self._request)
        if answer.completes:
            answer = msgspec.structs.replace(answer, completes=False)  # begun and ended in one
        return self._event_of(answer, flavour, self._address.url, self._request_id(answer))

    def _batch_events(self, lines: Iterable[bytes]) -> Iterator[Event]:
        """A row for each request of a batch, as far as its results were read."""
        within = "/messages/batches/" if self._route.flavour == "messages" else "/files/"
        root, _, rest = self._address.url.rpartition(within)
        batch_id = rest.partition("/")[0]
        for line in self._read_batch(lines):
            if isinstance(line, BatchLine):
                url = root + line.path if line.path else self._address.url
                request_id = line.answer.id if _tells(line.answer.id) else f"{batch_id}:{line.custom_id}"
                yield msgspec.structs.replace(self._event_of(line.answer, line.flavour, url, request_id), duration_ms=0)
            else:
                lost(line)

    def _request_id(self, answer: Answer) -> str:
        """The first id that tells this answer from all others; a new one where the provider gave none."""
        if _tells(answer.id):
            return answer.id
        headers = self._response.headers
        given = (headers.get("x-request-id", ""), headers.get("request-id", ""))
        return next(filter(_tells, given), "") or uuid.uuid4().hex

    def _event_of(self, answer: Answer, flavour: Flavour, url: str, request_id: str) -> Event:
        response = self._response
        region = self._address.region
        return Event(
            request_id=request_id,
            started_at=self._started_at,
            duration_ms=round((time.perf_counter() - self._began) * 1000),
            flavour=flavour,
            url=url,
            status=answer.status,
            error_code=answer.error_code,
            model=answer.model,
            usage=answer.usage,
            units=answer.units,
            parts=answer.parts,
            completes=answer.completes,
            context=answer.context | {"region": region} if region else answer.context,
            response={"http_status": response.status_code} if response.status_code != 200 else {},
            attribution=self._attribution,
        )

    def _answer(self) -> Answer:
        flavour = self._route.flavour
        reader: _Reader = anthropic_usage if flavour == "messages" else openai_usage
        streams = False
        try:
            if self._response.status_code >= 400:
                code = reader.error_code(_error_in(self.body))
                return Answer(status="failed", error_code=f"{self._response.status_code} {code}".rstrip())
            streams = self.is_stream or (self.body.is_stream() and request_facts.asks_for_stream(self._request))
            if streams:
                if flavour == "chat" and (outline := self.body.outline()):
                    return openai_usage.read_outline(*outline)
                return reader.read_stream(flavour, payloads(self.body.lines()))
            if flavour in ("speech", "transcription") and (answer := self._answer_without_usage()):
                return answer
            return reader.read_body(flavour, self.body.body())
        except msgspec.DecodeError:
            # Not read to its end, too large, or not the provider's: what it cost is not known.
            whole = self.ended and not streams
            return Answer(status="succeeded" if whole else "aborted", error_code="unreadable-answer")

    def _answer_without_usage(self) -> Answer | None:
        """The answer that is sound or plain text, and says nothing; None if it may be JSON or a stream."""
        if self._route.flavour == "speech":
            silent = not self.body.is_stream() and not self.body.body()
        else:
            silent = request_facts.asks_for_text(self._request)
        return Answer(status="succeeded" if self.ended else "aborted") if silent else None


class _Error(msgspec.Struct):
    error: Any = None


_decode_error = decoder(_Error)


def _error_in(body: BodyBuffer) -> Any:
    try:
        return _decode_error(body.body()).error
    except msgspec.DecodeError:
        return None


def _may_be_stream(beginning: bytes) -> bool | None:
    """Whether a body that should be sound is a stream of events that does not say so."""
    if beginning.startswith(STREAM_BEGINNINGS):
        return True
    return None if any(word.startswith(beginning) for word in STREAM_BEGINNINGS) else False


def _tells(id_: str) -> bool:
    """Whether the id tells an answer from all others."""
    return len(id_) >= UNIQUE_LENGTH
