"""One HTTP attempt of an SDK call, from its request to the event in the outbox."""

from __future__ import annotations

import functools
import logging
import time
import uuid
from typing import Any, Protocol

import httpx2
import msgspec

from ai_clients import anthropic_usage, openai_usage
from ai_clients.answer import Answer, decoder, payloads, text
from ai_clients.transcript import Transcript
from usage_billing.recording import Event, current_attribution, lost, record
from usage_billing.recording.event import Flavour

logger = logging.getLogger(__name__)

UNIQUE_LENGTH = 20
"""Ids shorter than this are counters or examples (`chatcmpl-123`, local servers); they do not tell calls apart."""

FLAVOURS = openai_usage.FLAVOURS | anthropic_usage.FLAVOURS


class _Reader(Protocol):
    def read_body(self, flavour: Flavour, body: bytes, /) -> Answer: ...
    def read_stream(self, flavour: Flavour, events: list[bytes], /) -> Answer: ...
    def error_code(self, error: Any, /) -> str: ...


@functools.lru_cache(maxsize=1024)
def flavour_of(raw_path: bytes) -> Flavour | None:
    """The API that a path with its query belongs to; None for one that bills nothing or is not known."""
    path = raw_path.partition(b"?")[0].rstrip(b"/").decode("ascii", "replace")
    return next((flavour for end, flavour in FLAVOURS.items() if path.endswith(end)), None)


class Call:
    """An attempt under way. `finish` records it, once; before that nothing is written."""

    __slots__ = (
        "_attribution", "_began", "_finished", "_flavour", "_request", "_response", "_started_at",
        "ended", "is_stream", "transcript",
    )  # fmt: skip

    def __init__(self, request: httpx2.Request, flavour: Flavour) -> None:
        self._request = request
        self._flavour = flavour
        self._attribution = current_attribution()
        self._started_at = time.time()
        self._began = time.perf_counter()
        self._response: Any = None
        self._finished = False
        self.transcript = Transcript(streamed=False)
        self.is_stream = False
        self.ended = False

    def answered(self, response: httpx2.Response) -> None:
        """The answer's head is here; its body goes to `transcript` as the caller reads it."""
        self._response = response
        self.is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        self.transcript = Transcript(streamed=self.is_stream and "content-encoding" not in response.headers)

    def finish(self) -> None:
        """The body was read to its end, or given up: write the event. Never raises."""
        if self._finished:
            return
        self._finished = True
        try:
            record(self._event())
        except Exception as error:  # noqa: BLE001 - promise 1: the caller has its answer, whatever the recorder does
            lost(error)

    def _event(self) -> Event:
        response, answer = self._response, self._answer()
        url = self._request.url
        return Event(
            request_id=_unique(answer.id, response.headers.get("x-request-id"), response.headers.get("request-id")),
            started_at=self._started_at,
            duration_ms=round((time.perf_counter() - self._began) * 1000),
            flavour=self._flavour,
            url=f"{url.scheme}://{url.netloc.decode('ascii')}{url.path}",
            status=answer.status,
            error_code=answer.error_code,
            model=answer.model or self._model_asked_for(),
            usage=answer.usage,
            context=answer.context,
            response={"http_status": response.status_code} if response.status_code != 200 else {},
            attribution=self._attribution,
        )

    def _answer(self) -> Answer:
        reader: _Reader = anthropic_usage if self._flavour == "messages" else openai_usage
        if self._response.status_code >= 400:
            code = reader.error_code(_error_in(self._body()))
            return Answer(status="failed", error_code=f"{self._response.status_code} {code}".rstrip())
        try:
            if self.is_stream:
                lines = self._body().splitlines() if self._is_encoded else self.transcript.lines()
                return reader.read_stream(self._flavour, payloads(lines))
            return reader.read_body(self._flavour, self._body())
        except msgspec.DecodeError:
            # A body that was not read to its end, or is not the provider's: what it cost is not known.
            whole = self.ended and not self.is_stream
            return Answer(status="succeeded" if whole else "aborted", error_code="unreadable-answer")

    def _body(self) -> bytes:
        """The body without its content encoding; what there is of it, if it cannot be decoded."""
        wire = self.transcript.body()
        if not self._is_encoded:
            return wire
        encoding = {"content-encoding": self._response.headers["content-encoding"]}
        try:
            return httpx2.Response(200, headers=encoding, content=wire).content
        except httpx2.DecodingError:
            return wire

    @property
    def _is_encoded(self) -> bool:
        return "content-encoding" in self._response.headers

    def _model_asked_for(self) -> str:
        try:
            return text(_decode_model(self._request.content).model)
        except (msgspec.DecodeError, httpx2.RequestNotRead):
            return ""


class _Model(msgspec.Struct):
    model: Any = None


class _Error(msgspec.Struct):
    error: Any = None


_decode_model = decoder(_Model)
_decode_error = decoder(_Error)


def _error_in(body: bytes) -> Any:
    try:
        return _decode_error(body).error
    except msgspec.DecodeError:
        return None


def _unique(*ids: str | None) -> str:
    """The first id that tells this answer from all others; a new one where the provider gave none."""
    return next((given for given in ids if given and len(given) >= UNIQUE_LENGTH), None) or uuid.uuid4().hex
