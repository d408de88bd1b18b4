"""One HTTP attempt of an SDK call, from its request to what goes into the outbox of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any, Protocol

import httpx2
import msgspec

from ai_clients import anthropic_batches, anthropic_usage, openai_batches, openai_usage, request_facts
from ai_clients.answer import STREAM_BEGINNINGS, Answer, BatchLine, decoder, payloads
from ai_clients.routes import Address, Route
from ai_clients.transcript import Choosing, Transcript, jsonl
from usage_billing.recording import Event, current_attribution, lost, record
from usage_billing.recording.event import Flavour

UNIQUE_LENGTH = 20
"""Ids shorter than this are counters or examples (`chatcmpl-123`, local servers); they do not tell calls apart."""


class _Reader(Protocol):
    def read_body(self, flavour: Flavour, body: bytes, /) -> Answer: ...
    def read_stream(self, flavour: Flavour, events: list[bytes], /) -> Answer: ...
    def error_code(self, error: Any, /) -> str: ...


class Call:
    """An attempt under way. `finish` records it, once; before that nothing is written."""

    __slots__ = (
        "_address", "_attribution", "_began", "_encoding", "_finished", "_request", "_response", "_route",
        "_started_at", "ended", "is_stream", "transcript",
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
        """The answer's head is here; its body goes to `transcript` as the caller reads it."""
        self._response: Any = response
        self._encoding = encoding
        self.is_stream = is_stream
        self.transcript = self._transcript()

    def _transcript(self) -> Transcript:
        if self._encoding is not None or self.is_stream:
            return Transcript(streamed=self._encoding is None)
        if self._response.status_code < 400:
            if self._route.flavour == "speech":
                return Choosing(_may_be_stream)
            if self._route.purpose == "batch" and self._route.flavour == "chat":  # any file of the caller's
                return Choosing(openai_batches.may_be_output)
        return Transcript(streamed=False)

    def finish(self) -> None:
        """The body was read to its end, or given up: write what it says. Never raises."""
        if self._finished:
            return
        self._finished = True
        try:
            if self._route.purpose == "create":
                record(self._event())
            elif events := list(self._later_events()):
                record(*events)
        except Exception as error:  # noqa: BLE001 - promise 1: the caller has its answer, whatever the recorder does
            lost(error)
        # The response holds its stream, which holds this: without the circle it goes when its caller lets go of it.
        self._request = self._response = None

    def _later_events(self) -> Iterator[Event]:
        """Of a request that fetched answers which were begun by another."""
        if self._route.purpose == "batch":
            yield from self._batch_events()
        elif (answer := self._answer()).settles:
            yield self._event_of(answer, self._route.flavour, self._address.url, self._request_id(answer))

    def _event(self) -> Event:
        answer, flavour = self._answer(), self._route.flavour
        if not answer.model or flavour in ("speech", "transcription"):
            answer = request_facts.completed(answer, flavour, self._request)
        if answer.settles:
            answer = msgspec.structs.replace(answer, settles=False)  # begun and ended in one
        return self._event_of(answer, flavour, self._address.url, self._request_id(answer))

    def _batch_events(self) -> Iterator[Event]:
        """A row for each request of a batch, as far as its results were read."""
        if self._response.status_code >= 400:
            return
        lines = jsonl(self._body(), whole=self.ended)
        batches, within = (
            (anthropic_batches, "/messages/batches/")
            if self._route.flavour == "messages"
            else (openai_batches, "/files/")
        )
        root, _, rest = self._address.url.rpartition(within)
        batch_id = rest.partition("/")[0]
        for line in batches.read_lines(lines):
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
            settles=answer.settles,
            context=answer.context | {"region": region} if region else answer.context,
            response={"http_status": response.status_code} if response.status_code != 200 else {},
            attribution=self._attribution,
        )

    def _answer(self) -> Answer:
        flavour = self._route.flavour
        reader: _Reader = anthropic_usage if flavour == "messages" else openai_usage
        if self._response.status_code >= 400:
            code = reader.error_code(_error_in(self._body()))
            return Answer(status="failed", error_code=f"{self._response.status_code} {code}".rstrip())
        try:
            if self.is_stream:
                if flavour == "chat" and not self._encoding and (outline := self.transcript.outline()):
                    return openai_usage.read_outline(*outline)
                return reader.read_stream(flavour, payloads(self._lines()))
            if flavour in ("speech", "transcription") and (answer := self._answer_without_usage()):
                return answer
            return reader.read_body(flavour, self._body())
        except msgspec.DecodeError:
            return self._unreadable(reader)

    def _lines(self) -> list[bytes]:
        """The stream's lines that matter."""
        return self._body().splitlines() if self._encoding else self.transcript.lines()

    def _unreadable(self, reader: _Reader) -> Answer:
        """A body that was not read to its end, or is not the provider's: what it cost is not known.

        Or a stream that does not say that it is one.
        """
        if not self.is_stream and (body := self._body()).startswith(STREAM_BEGINNINGS):
            try:
                if request_facts.asks_for_stream(self._request):
                    return reader.read_stream(self._route.flavour, payloads(body.splitlines()))
            except msgspec.DecodeError:
                return Answer(status="aborted", error_code="unreadable-answer")
        whole = self.ended and not self.is_stream
        return Answer(status="succeeded" if whole else "aborted", error_code="unreadable-answer")

    def _answer_without_usage(self) -> Answer | None:
        """The answer that is sound or plain text, and says nothing; None if it may be JSON or a stream."""
        silent = not self._body() if self._route.flavour == "speech" else request_facts.asks_for_text(self._request)
        return Answer(status="succeeded" if self.ended else "aborted") if silent else None

    def _body(self) -> bytes:
        """The body without its content encoding; what there is of it, if it cannot be decoded."""
        wire = self.transcript.body()
        if not self._encoding:
            return wire
        try:
            return httpx2.Response(200, headers={"content-encoding": self._encoding}, content=wire).content
        except httpx2.DecodingError:
            return wire


class _Error(msgspec.Struct):
    error: Any = None


_decode_error = decoder(_Error)


def _error_in(body: bytes) -> Any:
    try:
        return _decode_error(body).error
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
