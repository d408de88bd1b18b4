"""The events of one connection: where it leads to, and which of its responses were recorded already."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ai_clients import budget_check
from ai_clients.call import UNIQUE_LENGTH
from ai_clients.endpoints import Mark, endpoint_of
from ai_clients.usage.answer import Answer, has_usage, text
from ai_clients.websockets.messages import Response, decode, decode_response
from ai_clients.websockets.waiting import Request
from usage_billing.recording import Attribution, Event, record
from usage_billing.recording.admission import Planned

MOST_ENDED = 1000
"""Ids of recorded responses that a connection remembers; the ledger drops the repetition of an older one."""

REALTIME, TRANSLATIONS, TRANSCRIPTION = "/realtime", "/realtime/translations", "/realtime/input_audio_transcription"
LIVE, RESPONSES, DECISIONS = "/live", "/responses", "/decisions"
"""Endpoints of records. The transcription of input audio and a Live session have no path of their own; a response that
a Live session delegates is billed like any other (OpenAI, Cost optimization: Backend costs)."""

_API = re.compile(r"/(realtime/translations|realtime|live/sessions(/[^/]+/(attach|fork))?|responses)/?$")
"""The paths of the SDK's websockets, below the base URL."""


class SocketRecords:
    """Records the calls of the connection to `url`.

    ended: ids of what was recorded, the oldest first. is_live: of the Live API. is_observer: the session is held by
    another connection, a browser or a telephone.
    """

    def __init__(self, url: str, ended: dict[str, None], account: Mapping[str, str]) -> None:
        self._account = dict(account)
        parts = urlsplit(url)
        found = _API.search(parts.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self._base = parts.path[: found.start()] if found else ""
        self._path = parts.path
        self._scheme = b"http" if parts.scheme in ("ws", "http") else b"https"
        self._host, self._port = (parts.hostname or "").encode("ascii", "replace"), parts.port
        self._deployment = query.get("deployment", "")
        self._ended = ended
        self.model = query.get("model") or self._deployment
        self.is_live = bool(found and found[1].startswith("live"))
        self.is_translation = bool(found and found[1] == "realtime/translations")
        self.is_observer = bool(found and found[3] == "attach") or "call_id" in query
        # An unknown path is that of a gateway: its responses tell which API they are of.
        self.api = {"realtime": REALTIME, "responses": RESPONSES}.get(found[1] if found else "", "")
        if self.is_live:
            self.api = RESPONSES

    def has_ended(self, id_: str) -> bool:
        """Whether the response with this id was recorded. A server may send an event again."""
        return id_ in self._ended

    def planned(self, message: bytes, attribution: Attribution) -> Planned:
        """A `response.create` as its budgets look at it. What came before on the connection is a part of its input."""
        path = self._base + (self.api or RESPONSES)
        endpoint = endpoint_of("POST", self._scheme, self._host, self._port, path.encode(), Mark(path))
        asked = decode(message)
        inner = decode_response(asked.response) if has_usage(asked.response) else Response()
        limits = [each for each in (asked.max_output_tokens, inner.max_output_tokens) if type(each) is int]
        return Planned(
            attribution,
            time.time(),
            "responses" if endpoint is None else endpoint.flavour,
            endpoint.url if endpoint is not None else path,
            text(asked.model) or text(inner.model) or self.model,
            self._deployment,
            text_bytes=len(message),
            most_output=max(limits, default=None),
        )

    def write(self, answer: Answer, request: Request, api: str, *, id_: str = "", completes: bool = False) -> None:
        """Record an answer as one call. `api`: the endpoint. `id_`: an id that is the provider's, if it gave one."""
        id_ = id_ or answer.id
        if id_ and answer.status != "pending":
            self._ended[id_] = None
            if len(self._ended) > MOST_ENDED:
                del self._ended[next(iter(self._ended))]
        path = self._base + api if api else self._path
        endpoint = endpoint_of("POST", self._scheme, self._host, self._port, path.encode(), Mark(path))
        if endpoint is None:
            budget_check.released(request.holds)
            return  # free
        # Of the query; that of a path is read with the URL.
        response: dict[str, Any] = {"deployment": self._deployment} if self._deployment else {}
        response |= answer.response
        region = {"region": endpoint.region} if endpoint.region else {}
        is_kept = record(
            Event(
                request_id=id_ if len(id_) >= UNIQUE_LENGTH else uuid.uuid4().hex,
                started_at=request.started_at,
                duration_ms=round((time.perf_counter() - request.began) * 1000),
                flavour=endpoint.flavour,
                url=endpoint.url,
                status=answer.status,
                error_code=answer.error_code,
                model=answer.model or request.model or self.model,
                usage=answer.usage,
                units=answer.units,
                parts=answer.parts,
                completes=completes,
                context=answer.context | region,
                response=response,
                account=self._account,
                attribution=request.attribution,
                holds=list(request.holds),
            )
        )
        if request.holds:
            (budget_check.recorded if is_kept else budget_check.released)(request.holds)
            request.holds = budget_check.NO_HOLDS
