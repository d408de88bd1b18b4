"""Turns named units of an event into the usage block that the provider itself would have told.

So an event with units is metered and priced exactly as a recorded answer with the same counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
from django.utils.translation import gettext
from msgspec import Meta

from usage_billing.ingest.provider_names import CACHE_WRITE_LIFETIME, is_claude
from usage_billing.recording.event import Flavour
from usage_billing.recording.gate import LARGEST_NUMBER

Count = Annotated[int, Meta(ge=0, le=LARGEST_NUMBER)]
Seconds = Annotated[float, Meta(ge=0, le=LARGEST_NUMBER)]


class UnitsError(ValueError):
    """Raised for units that contradict each other. The text says what is wrong."""


class Units(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a call used. Each total includes its parts; a unit that is left out was not used.

    input_tokens: all, with what was read from and written to the cache. cached_input_tokens: read from it.
    cache_write_tokens: written to it; by lifetime: 5 minutes and 1 hour (Anthropic), 12 hours (OpenAI; the rest lasts
    30 minutes). output_tokens: all, with reasoning. images: their number, which no price list knows.
    """

    input_tokens: Count = 0
    cached_input_tokens: Count = 0
    cache_write_tokens: Count = 0
    cache_write_5m_tokens: Count = 0
    cache_write_1h_tokens: Count = 0
    cache_write_12h_tokens: Count = 0
    input_audio_tokens: Count = 0
    cached_input_audio_tokens: Count = 0
    input_image_tokens: Count = 0
    output_tokens: Count = 0
    reasoning_tokens: Count = 0
    output_audio_tokens: Count = 0
    output_image_tokens: Count = 0
    web_searches: Count = 0
    storage_searches: Count = 0
    rerank_searches: Count = 0
    code_executions: Count = 0
    document_pages: Count = 0
    images: Count = 0
    input_characters: Count = 0
    audio_seconds: Seconds = 0

    @property
    def written(self) -> int:
        by_lifetime = self.cache_write_5m_tokens + self.cache_write_1h_tokens + self.cache_write_12h_tokens
        return max(self.cache_write_tokens, by_lifetime)


class Told(NamedTuple):
    """A usage block with its API, the units beside it in genai-prices' words, and a fact that was not told."""

    api: Flavour
    block: dict[str, Any] | None
    units: dict[str, int | float]
    missing: str = ""


_BESIDE = {
    "web_searches": "web_searches",
    "storage_searches": "storage_searches",
    "rerank_searches": "rerank_searches",
    "code_executions": "code_executions",
    "document_pages": "input_document_pages",
    "images": "images",
    "input_characters": "input_characters",
    "audio_seconds": "audio_seconds",
}
"""Units that stand beside the block → the price list's name."""


def told_by(units: Units, *, api: Flavour | None, provider: str, model: str) -> Told:
    """Return the block of these units. Raises `UnitsError`. api: None: by the units, the provider and the model."""
    _check(units)
    api = api or _api_of(units, provider, model)
    beside = {theirs: getattr(units, ours) for ours, theirs in _BESIDE.items() if getattr(units, ours)}
    is_message = is_claude(provider, model) and api in ("messages", "chat", "responses", "unknown")
    shape: Flavour = "messages" if is_message else api if api in _BLOCKS else "chat"
    whole = _BLOCKS[shape](units)
    told = {name for name in units.__struct_fields__ if getattr(units, name)}
    beside = {theirs: count for theirs, count in beside.items() if theirs not in _CARRIED[shape]}
    if left := sorted(told - _CARRIED[shape] - _BESIDE.keys()):
        raise UnitsError(
            gettext("The API %(api)s does not report %(units)s. Leave it out, or name another api.")
            % {"api": api, "units": ", ".join(left)}
        )
    block = _without_zeros(whole)
    if not block:
        return Told(api, None if beside else dict.fromkeys(_counts(whole), 0), beside)
    has_lifetimes = units.written == units.cache_write_5m_tokens + units.cache_write_1h_tokens
    return Told(api, block, beside, CACHE_WRITE_LIFETIME if is_message and not has_lifetimes else "")


def _counts(block: dict[str, Any]) -> list[str]:
    return [name for name, value in block.items() if not isinstance(value, dict)]


def _check(units: Units) -> None:
    parts = units.cached_input_tokens + units.written
    if parts > units.input_tokens:
        raise UnitsError(
            gettext("input_tokens must include the %(parts)d tokens that were read from or written to the cache.")
            % {"parts": parts}
        )
    for whole, part in (
        ("output_tokens", "reasoning_tokens"),
        ("output_tokens", "output_audio_tokens"),
        ("output_tokens", "output_image_tokens"),
        ("input_tokens", "input_audio_tokens"),
        ("input_tokens", "input_image_tokens"),
        ("cached_input_tokens", "cached_input_audio_tokens"),
        ("input_audio_tokens", "cached_input_audio_tokens"),
    ):
        if getattr(units, part) > getattr(units, whole):
            raise UnitsError(gettext("%(whole)s must include %(part)s.") % {"whole": whole, "part": part})
    if units.cache_write_tokens and units.written > units.cache_write_tokens:
        raise UnitsError(gettext("cache_write_tokens must be the sum of its lifetimes, or more."))


def _api_of(units: Units, provider: str, model: str) -> Flavour:
    if is_claude(provider, model):
        return "messages"
    if units.cached_input_audio_tokens:
        return "realtime"
    if units.input_image_tokens or units.output_image_tokens or units.images:
        return "images"
    if not units.input_tokens and not units.output_tokens:
        if units.audio_seconds:
            return "transcription"
        if units.input_characters:
            return "speech"
    if units.cache_write_12h_tokens:
        return "responses"
    return "embeddings" if "embed" in model.lower() and not units.output_tokens else "chat"


# ── Blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _chat(units: Units) -> dict[str, Any]:
    if units.cache_write_12h_tokens:
        return _responses(units)  # only its block tells this lifetime
    return {
        "prompt_tokens": units.input_tokens,
        "completion_tokens": units.output_tokens,
        "total_tokens": units.input_tokens + units.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": units.cached_input_tokens,
            "cache_write_tokens": units.written,
            "audio_tokens": units.input_audio_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": units.reasoning_tokens,
            "audio_tokens": units.output_audio_tokens,
        },
    }


def _responses(units: Units) -> dict[str, Any]:
    longer = units.cache_write_12h_tokens
    lifetimes = {"ttl_12h_tokens": longer, "ttl_30m_tokens": units.written - longer} if longer else {}
    return {
        "input_tokens": units.input_tokens,
        "output_tokens": units.output_tokens,
        "total_tokens": units.input_tokens + units.output_tokens,
        "input_tokens_details": {
            "cached_tokens": units.cached_input_tokens,
            "cache_write_tokens": units.written,
            "cache_write_tokens_details": lifetimes,
        },
        "output_tokens_details": {"reasoning_tokens": units.reasoning_tokens},
    }


def _messages(units: Units) -> dict[str, Any]:
    return {
        "input_tokens": units.input_tokens - units.cached_input_tokens - units.written,
        "cache_read_input_tokens": units.cached_input_tokens,
        "cache_creation_input_tokens": units.written,
        "cache_creation": {
            "ephemeral_5m_input_tokens": units.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": units.cache_write_1h_tokens,
        },
        "output_tokens": units.output_tokens,
        "output_tokens_details": {"thinking_tokens": units.reasoning_tokens},
        "server_tool_use": {"web_search_requests": units.web_searches},
    }


def _embeddings(units: Units) -> dict[str, Any]:
    return {"prompt_tokens": units.input_tokens, "total_tokens": units.input_tokens}


def _images(units: Units) -> dict[str, Any]:
    image = units.output_image_tokens or units.output_tokens
    return {
        "input_tokens": units.input_tokens,
        "output_tokens": units.output_tokens,
        "total_tokens": units.input_tokens + units.output_tokens,
        "input_tokens_details": {
            "text_tokens": units.input_tokens - units.input_image_tokens,
            "image_tokens": units.input_image_tokens,
        },
        "output_tokens_details": {"image_tokens": image, "text_tokens": units.output_tokens - image},
    }


def _transcription(units: Units) -> dict[str, Any]:
    if units.audio_seconds:
        return {"type": "duration", "seconds": units.audio_seconds}
    return {
        "input_tokens": units.input_tokens,
        "output_tokens": units.output_tokens,
        "total_tokens": units.input_tokens + units.output_tokens,
        "input_token_details": {
            "audio_tokens": units.input_audio_tokens,
            "text_tokens": units.input_tokens - units.input_audio_tokens,
        },
    }


def _speech(units: Units) -> dict[str, Any]:
    return {
        "input_tokens": units.input_tokens,
        "output_tokens": units.output_tokens,
        "total_tokens": units.input_tokens + units.output_tokens,
    }


def _realtime(units: Units) -> dict[str, Any]:
    if units.audio_seconds:
        return {"seconds": units.audio_seconds}
    audio, image, cached = units.input_audio_tokens, units.input_image_tokens, units.cached_input_tokens
    return {
        "input_tokens": units.input_tokens,
        "output_tokens": units.output_tokens,
        "total_tokens": units.input_tokens + units.output_tokens,
        "input_token_details": {
            "text_tokens": units.input_tokens - audio - image,
            "audio_tokens": audio,
            "image_tokens": image,
            "cached_tokens": cached,
            "cached_tokens_details": {
                "text_tokens": cached - units.cached_input_audio_tokens,
                "audio_tokens": units.cached_input_audio_tokens,
            },
        },
        "output_token_details": {
            "text_tokens": units.output_tokens - units.output_audio_tokens,
            "audio_tokens": units.output_audio_tokens,
        },
    }


_BLOCKS: dict[Flavour, Callable[[Units], dict[str, Any]]] = {
    "chat": _chat,
    "responses": _responses,
    "messages": _messages,
    "embeddings": _embeddings,
    "images": _images,
    "transcription": _transcription,
    "speech": _speech,
    "realtime": _realtime,
    "decisions": _responses,
}

_TEXT = {"input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"}
_CARRIED: dict[Flavour, set[str]] = {
    "chat": _TEXT | {"cache_write_12h_tokens", "input_audio_tokens", "output_audio_tokens"},
    "responses": _TEXT | {"cache_write_12h_tokens"},
    "messages": _TEXT | {"cache_write_5m_tokens", "cache_write_1h_tokens", "web_searches"},
    "embeddings": {"input_tokens"},
    "images": {"input_tokens", "input_image_tokens", "output_tokens", "output_image_tokens"},
    "transcription": {"input_tokens", "input_audio_tokens", "output_tokens", "audio_seconds"},
    "speech": {"input_tokens", "output_tokens"},
    "realtime": {
        "input_tokens", "cached_input_tokens", "input_audio_tokens", "cached_input_audio_tokens", "input_image_tokens",
        "output_tokens", "output_audio_tokens", "audio_seconds",
    },
    "decisions": _TEXT,
}  # fmt: skip
"""API → the units that its block reports."""


def _without_zeros(block: dict[str, Any]) -> dict[str, Any]:
    kept = {name: _without_zeros(value) if isinstance(value, dict) else value for name, value in block.items()}
    return kept if "seconds" in kept else {name: value for name, value in kept.items() if value}
