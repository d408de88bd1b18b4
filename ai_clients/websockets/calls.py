"""The calls that are made over one connection, from the messages that pass: each response leaves one record.

A message is read when it matters, and forgotten; nothing is kept of it but ids, models and usage.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ai_clients import budget_check
from ai_clients.usage import openai_usage
from ai_clients.usage.answer import Answer
from ai_clients.websockets.messages import Message, as_bytes, decode, type_of
from ai_clients.websockets.records import RESPONSES, SocketRecords
from ai_clients.websockets.responses import ResponseCalls
from ai_clients.websockets.sessions import SessionCalls
from ai_clients.websockets.waiting import Request, request_now
from usage_billing.recording import Attribution, current_attribution, lost
from usage_billing.recording.admission import BUDGET_EXCEEDED, Planned, Refusal

logger = logging.getLogger(__name__)

ASKS, STEERS = "response.create", "response.steer"
"""Types of the client's events that may begin a response: it is charged to who sent them."""
APPENDS = "session.input_audio_buffer.append"
"""Audio for a translation session."""

SenderOf = Callable[[Any, Attribution], Attribution | None]

NO_ACCOUNT: Mapping[str, str] = MappingProxyType({})


class SocketCalls:
    """The calls of the connection to `url`. Its methods never raise.

    `sending` takes each message before it is sent; `received` each that came, before the caller gets it. opener: the
    attribution of the code that opened the connection. ended: the ids of what was recorded before it broke. account:
    who pays (`Event.account`).
    """

    def __init__(
        self, url: str, opener: Attribution, ended: dict[str, None], account: Mapping[str, str] = NO_ACCOUNT
    ) -> None:
        self._records = records = SocketRecords(url, ended, account)
        self.opener = opener
        self._pid = os.getpid()
        self._lock = threading.RLock()  # re-entrant: the garbage collector may end a connection in the middle
        self._responses = responses = ResponseCalls(records, opener)
        self._sessions = sessions = SessionCalls(records, responses, opener)
        self._handlers: Mapping[str, Callable[[Message, bytes], None]] = {
            "response.created": responses.created,
            **dict.fromkeys(openai_usage.TERMINAL, responses.ended),
            "response.done": responses.done,
            "response.cancelled": responses.cancelled,
            "response.event": responses.delegated,
            "decision.event": responses.decided,
            "error": responses.error,
            "session.created": sessions.told,
            "session.updated": sessions.told,
            "session.started": sessions.told,
            "session.usage.updated": sessions.used,
            "session.closed": sessions.ended,
            "input_audio_buffer.committed": sessions.committed,
            "conversation.item.input_audio_transcription.completed": sessions.transcribed,
            "conversation.item.input_audio_transcription.failed": sessions.transcribed,
        }

    def planned(self, message: Any) -> Planned | None:
        """The response that a message asks for, as its budgets look at it; None if none may count it.

        For a message that its sender sends now. One that waited in a queue is sent by somebody who reconnects.
        """
        try:
            if not isinstance(message, str | bytes) or type_of(message) != ASKS:
                return None
            attribution = current_attribution()
            return self._records.planned(as_bytes(message), attribution) if budget_check.concerns(attribution) else None
        except Exception:
            logger.exception("The budgets of a response could not be asked; its request is sent.")
            return None

    def refused(self, planned: Planned, refusal: Refusal) -> None:
        """Record a response that a budget stops."""
        stopped = Answer(status="refused", error_code=BUDGET_EXCEEDED, response={"budget": refusal.budget})
        self._records.write(stopped, request_now(planned.attribution, planned.model), self._records.api or RESPONSES)

    def sending(self, message: Any, sender_of: SenderOf = lambda _message, _opener: None) -> Request | None:
        """Note a message that is about to be sent. Returns the request in it, for `not_sent`.

        sender_of: tells, from the message and the opener, the attribution of who sent it, if that is not the code that
        sends it now.
        """
        try:
            if not isinstance(message, str | bytes):
                return None
            kind = type_of(message)
            with self._lock:
                if kind in (ASKS, STEERS):
                    attribution = sender_of(message, self.opener) or current_attribution()
                    decoded = decode(as_bytes(message))
                    if kind == ASKS:
                        return self._responses.asked(decoded, attribution)
                    self._responses.steered(decoded, attribution)
                elif kind == APPENDS:
                    self._sessions.audio_sent()
                else:
                    self._responses.other_sent()
        except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the message goes out in any case
            lost(error)
        return None

    def not_sent(self, request: Request) -> None:
        """Forget a request whose message could not be sent."""
        with self._lock:
            self._responses.not_sent(request)
            # A response may have taken it for its own: that one holds nothing then.
            request.holds, holds = budget_check.NO_HOLDS, request.holds
        budget_check.released(holds)

    def received(self, message: Any) -> None:
        """Record the call that a message ends."""
        try:
            if not isinstance(message, str | bytes) or (handle := self._handlers.get(type_of(message))) is None:
                return
            with self._lock:
                body = as_bytes(message)
                handle(decode(body), body)
        except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the caller gets its message
            lost(error)

    def closed(self, error_code: str = "") -> None:
        """Record as aborted what is under way: the connection was closed, or broke. A second time changes nothing."""
        if os.getpid() != self._pid:
            return  # the copy of a connection in a forked child
        try:
            with self._lock:
                self._responses.closed(error_code)
                self._sessions.closed(error_code)
        except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the connection is closed anyway
            lost(error)
