"""The session of one connection: its models, and what it is billed for beside responses.

Input audio is transcribed by a model of its own; Live and translation sessions are billed by their duration (OpenAI,
Managing costs; Cost optimization; model page GPT-Realtime-Translate).
"""

from __future__ import annotations

import msgspec

from ai_clients.usage import realtime_usage
from ai_clients.usage.answer import NO_USAGE, Answer, has_usage, text, usage_block
from ai_clients.websockets.messages import Message
from ai_clients.websockets.records import LIVE, TRANSCRIPTION, TRANSLATIONS, SocketRecords
from ai_clients.websockets.responses import ResponseCalls
from ai_clients.websockets.waiting import Request, request_now
from usage_billing.recording import Attribution
from usage_billing.recording.event import Status

MOST_TRANSCRIPTIONS = 1000


class SessionCalls:
    """Records the transcriptions and the duration of a session, for who opened it: nothing tells who else spoke."""

    def __init__(self, records: SocketRecords, responses: ResponseCalls, opener: Attribution) -> None:
        self._records = records
        self._responses = responses
        self._opener = opener
        self._session = realtime_usage.Session()
        self._transcriptions: dict[str, Request] = {}
        self._timed: Request | None = None
        self._usage: msgspec.Raw = NO_USAGE
        self._has_audio = False

    def audio_sent(self) -> None:
        """Note that a translation session got audio: one without is not billed."""
        self._has_audio = True

    def told(self, message: Message, _body: bytes) -> None:
        """Read a `session.created`, `session.updated` or `session.started`."""
        told = realtime_usage.read_session(message.session)
        known = self._session
        self._session = msgspec.structs.replace(told, id=told.id or known.id, model=told.model or known.model)
        self._records.model = self._session.model or self._records.model
        if self._timed is None and (self._records.is_live or self._records.is_translation):
            self._timed = request_now(self._opener)

    def used(self, message: Message, _body: bytes) -> None:
        """Keep a Live session's `session.usage.updated`: a total so far, no increment (SDK: `SessionUsage`)."""
        self._usage = usage_block(message.usage)

    def ended(self, message: Message, _body: bytes) -> None:
        """Record a session that is billed by its duration: `session.closed`."""
        if has_usage(message.session):
            self.told(message, _body)
        request = self._timed or request_now(self._opener)
        self._timed = None
        if self._records.is_translation:
            self._translated("succeeded", request)
        elif not self._records.has_ended(self._session.id):
            # Another connection to the session may have left a pending record, which this one completes.
            self._records.write(self._live_answer(usage_block(message.usage)), request, LIVE, completes=True)

    def closed(self, error_code: str) -> None:
        """Record what is under way: the connection was closed, or broke."""
        transcriptions, self._transcriptions = self._transcriptions, {}
        for item, begun in transcriptions.items():
            self._transcription_ended(item, Answer(status="aborted", error_code=error_code), begun)
        if (request := self._timed) is None:
            return
        self._timed = None
        if self._records.is_translation:
            self._translated("aborted", request, error_code)
            return
        answer = self._live_answer(self._usage)
        # A session that others hold goes on when its observer goes.
        status: Status = "pending" if self._records.is_observer else "aborted"
        answer = msgspec.structs.replace(answer, status=status, error_code=error_code)
        self._records.write(answer, request, LIVE)

    def _live_answer(self, usage: msgspec.Raw) -> Answer:
        # A WebRTC session may have been on standby, at a lower rate, for a time that its usage does not tell.
        # (OpenAI, Cost optimization: “the standby rate applies … in a WebRTC session configured for standby”.)
        context = {"live": "observed"} if self._records.is_observer else {}
        return Answer(id=self._session.id, model=self._session.model, usage=usage, context=context)

    def _translated(self, status: Status, request: Request, error_code: str = "") -> None:
        """Record a translation session. It is billed by the minute, and no event tells how many (SDK:
        `RealtimeTranslationServerEvent`)."""
        if self._has_audio:
            answer = Answer(id=self._session.id, model=self._session.model, status=status, error_code=error_code)
            self._records.write(answer, request, TRANSLATIONS)

    # ── Transcriptions ───────────────────────────────────────────────────────────────────────────────────────────

    def committed(self, message: Message, _body: bytes) -> None:
        """Note that input audio is complete: it is transcribed, and answered, if the session does so."""
        if self._session.responds_to_speech:
            self._responses.spoken()
        item = text(message.item_id)
        if self._session.transcription_model and item and len(self._transcriptions) < MOST_TRANSCRIPTIONS:
            self._transcriptions[item] = request_now(self._opener, self._session.transcription_model)

    def transcribed(self, message: Message, body: bytes) -> None:
        """Record a transcription that was completed or has failed."""
        item = text(message.item_id)
        begun = self._transcriptions.pop(item, None)
        answer = realtime_usage.read_transcription(body, failed=text(message.type).endswith(".failed"))
        if not (item and self._records.has_ended(_transcription_id(item, message.content_index))):
            request = begun or request_now(self._opener, self._session.transcription_model)
            self._transcription_ended(item, answer, request, message.content_index)

    def _transcription_ended(self, item: str, answer: Answer, request: Request, part: object = 0) -> None:
        answer = msgspec.structs.replace(answer, model=request.model)
        self._records.write(answer, request, TRANSCRIPTION, id_=_transcription_id(item, part) if item else "")


def _transcription_id(item: str, part: object) -> str:
    return f"{item}:{part if isinstance(part, int) else 0}:transcription"
