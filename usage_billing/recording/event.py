"""What the outbox keeps of a call: whose it was, and what the provider itself said it used."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from usage_billing.recording.context import NOBODY, Attribution

Flavour = Literal["chat", "responses", "embeddings", "images", "messages"]
"""The provider's API, which decides how its usage block is read. Every one but `messages` is OpenAI's."""

Status = Literal["succeeded", "failed", "aborted", "pending"]


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One answered call. Never holds prompt or answer text, keys or headers.

    started_at: moment of the call, seconds since the epoch. duration_ms: from there to the last byte, ms.
    url: the address without query or credentials. usage: the provider's usage block as it came; `null` if none came.
    context: what else the answer says about its price (`service_tier`, …). response: what else is kept of the answer.
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
    context: dict[str, str] = {}
    response: dict[str, Any] = {}
    attribution: Attribution = NOBODY


_encoder = msgspec.json.Encoder(enc_hook=str)
_decoder = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """The event as JSON. Metadata that JSON cannot hold is written as its text."""
    return _encoder.encode(event)


def decode(body: bytes) -> Event:
    """The event of `encode`. Raises `msgspec.DecodeError` for anything else."""
    return _decoder.decode(body)
