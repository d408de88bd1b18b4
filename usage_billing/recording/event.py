"""What the outbox keeps of a call: whose it was, and what the provider itself said it used."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from usage_billing.recording.context import NOBODY, Attribution

Flavour = Literal["chat", "responses", "embeddings", "images", "transcription", "speech", "messages"]
"""The provider's API, which decides how its usage block is read. Every one but `messages` is OpenAI's."""

FLAVOURS: dict[str, Flavour] = {
    "/completions": "chat",  # the legacy API's usage block is that of chat
    "/responses": "responses",
    "/responses/compact": "responses",
    "/embeddings": "embeddings",
    "/images/generations": "images",
    "/images/edits": "images",
    "/images/variations": "images",
    "/audio/transcriptions": "transcription",
    "/audio/translations": "transcription",
    "/audio/speech": "speech",
    "/v1/messages": "messages",
}
"""End of the path → API; Azure and other hosts put their own words in front. What is not here bills nothing by the
call: `/messages/count_tokens`, `/threads/…/messages`, `/moderations`, `/models`, files, batches when they are made."""


@functools.lru_cache(maxsize=1024)
def flavour_of(path: str) -> Flavour | None:
    """The API that a path (without its query) belongs to; None for one that bills nothing or is not known."""
    path = path.rstrip("/")
    return next((flavour for end, flavour in FLAVOURS.items() if path.endswith(end)), None)


Status = Literal["succeeded", "failed", "aborted", "pending"]


class Part(msgspec.Struct, frozen=True):
    """Usage within a call on another model than its own, such as an image that a tool made.

    `model` is empty where the answer does not name it: the cost is then not known.
    """

    model: str
    api: Flavour
    usage: msgspec.Raw


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One answered call. Never holds prompt or answer text, keys or headers.

    started_at: moment of the call, seconds since the epoch. duration_ms: from there to the last byte, ms.
    url: the address without query or credentials. usage: the provider's usage block as it came; `null` if none came.
    units: what the block does not tell, in genai-prices' words (`web_searches`, `input_characters`, …).
    parts: usage on other models. settles: the answer of a call that was begun before (a background response); it is
    entered with the call that waits for it. context: what else the answer says about its price (`service_tier`,
    `processing`, …). response: what else is kept of the answer.
    """

    request_id: str
    started_at: float
    duration_ms: int
    flavour: Flavour
    url: str
    status: Status
    error_code: str = ""
    model: str = ""
    usage: msgspec.Raw = msgspec.Raw(b"null")
    units: dict[str, int | float] = {}
    parts: list[Part] = []
    completes: bool = False
    context: dict[str, str] = {}
    response: dict[str, Any] = {}
    attribution: Attribution = NOBODY


def plain(value: Any) -> Any:
    """What JSON cannot hold, as its text; of a function its result: what is known only when the call is over."""
    if not inspect.isroutine(value):
        return str(value)
    try:
        return value()
    except Exception as error:  # noqa: BLE001 - promise 1: a bug in metadata must not cost the record
        return f"{type(error).__name__}: {error}"


encode: Callable[[Event], bytes] = msgspec.json.Encoder(enc_hook=plain).encode
"""The event as JSON. Metadata that JSON cannot hold is written as its text, a function as what it returns now."""

decode: Callable[[bytes], Event] = msgspec.json.Decoder(Event).decode
"""The event of `encode`. Raises `msgspec.DecodeError` for anything else."""
