"""Turns a provider's usage block into units of the price list, by model; `pricing` turns those into money.

genai-prices' own extractors read ordinary usage blocks. This module adds the cases they do not cover, each with its
source.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from operator import add
from typing import Any

import msgspec
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import Provider
from genai_prices.units import _get_registry
from msgspec.structs import replace

from usage_billing.recording.event import Flavour
from usage_billing.recording.gate import LARGEST_NUMBER

EXTRACTORS: dict[Flavour, tuple[str, str]] = {
    "chat": ("openai", "chat"),
    "responses": ("openai", "responses"),
    "embeddings": ("openai", "embeddings"),
    "images": ("openai", "images"),
    "messages": ("anthropic", "default"),
    "realtime": ("openai", "realtime"),
}
"""API flavour → the provider that designed it, and that provider's extractor in genai-prices for its usage block."""


class Tokens(msgspec.Struct, frozen=True):
    """Token counts of a record: `prompt` includes cached and cache-written tokens, `completion` includes reasoning."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(*map(add, msgspec.structs.astuple(self), msgspec.structs.astuple(other)))

    def within(self) -> Tokens:
        """Return the counts with each part cut to its whole, so that sums stay consistent."""
        cached = min(self.cached, self.prompt)
        return replace(
            self,
            cached=cached,
            cache_write=min(self.cache_write, self.prompt - cached),
            reasoning=min(self.reasoning, self.completion),
        )


class Line(msgspec.Struct, frozen=True):
    """Units used on one model (empty: the call's own). `code_sessions`: sessions of a hosted code interpreter."""

    usage: Usage
    model: str = ""
    code_sessions: int = 0


class Metered(msgspec.Struct, frozen=True):
    """The units of a call, line by line, or in `problem` why they are unknown. `tokens`: the counts that are known."""

    lines: tuple[Line, ...] = ()
    tokens: Tokens = Tokens()
    problem: str = ""


class NoPriceError(Exception):
    """Raised for a unit that has no published price; the message is its name."""


def meter(flavour: Flavour, usage: Mapping[str, Any]) -> Metered:
    """Meter a call. `usage` is the provider's block, with two keys of our own beside it:

    `units`: units of the price list that the block does not report (`web_searches`, `input_characters`, …);
    `parts`: usage on other models, each `{"model", "api", "usage"}` (an image made by a tool).
    """
    block = {name: value for name, value in usage.items() if name not in ("units", "parts")}
    metered = _block(flavour, block) if block else Metered()
    for part in _mappings(usage.get("parts")):
        metered = _together(metered, _part(part))
    if units := usage.get("units"):
        metered = _together(metered, _units(units))
    if not metered.lines and not metered.problem:
        return replace(metered, problem="no-usage")
    if max(msgspec.structs.astuple(metered.tokens)) > LARGEST_NUMBER:
        return Metered(problem="unreadable-usage")
    return metered


def decode_usage(raw: msgspec.Raw) -> Any:
    """Decode the provider's usage block of an event; None if it is not JSON."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None


def compact(block: Any) -> Any:
    """Return the usage block without zeros and nulls, and without objects that this leaves empty."""
    if isinstance(block, list):
        return [compact(item) for item in block]
    if not isinstance(block, dict):
        return block
    kept = {key: compact(value) if isinstance(value, (dict, list)) else value for key, value in block.items()}
    return {key: value for key, value in kept.items() if value or value == ""}


def _block(flavour: Flavour, block: Mapping[str, Any]) -> Metered:
    if iterations := _mappings(block.get("iterations")):
        return _iterations(block, iterations)
    try:
        usage = _READERS.get(flavour, _extracted)(flavour, block)
    except NoPriceError as unit:
        return Metered(tokens=_plain_tokens(block), problem=f"no-price-for:{unit}")
    except (ValueError, TypeError, KeyError, ArithmeticError):
        return Metered(tokens=_plain_tokens(block), problem="unreadable-usage")
    tokens = _tokens(usage)
    if problem := _contradiction(usage, tokens):
        return Metered(tokens=tokens.within(), problem=problem)
    return Metered((Line(usage),), tokens)


def _iterations(block: Mapping[str, Any], iterations: list[Mapping[str, Any]]) -> Metered:
    """Meter compaction, advisor and fallback turns, each on its own model.

    Anthropic, Compaction: the top-level counts leave out the compaction turns; the bill is the sum over all
    `usage.iterations`. Only the top level reports searches.
    """
    metered = Metered()
    for iteration in iterations:
        turn = _block("messages", {name: value for name, value in iteration.items() if name != "iterations"})
        model = iteration.get("model")
        lines = tuple(replace(line, model=model if isinstance(model, str) else "") for line in turn.lines)
        metered = _together(metered, replace(turn, lines=lines))
    searches = block.get("server_tool_use")
    if isinstance(searches, Mapping) and searches.get("web_search_requests"):
        metered = _together(metered, _units({"web_searches": searches["web_search_requests"]}))
    return metered


def _part(part: Mapping[str, Any]) -> Metered:
    model, flavour, usage = part.get("model"), part.get("api"), part.get("usage")
    if not isinstance(usage, Mapping) or not isinstance(model, str) or not model or flavour not in EXTRACTORS:
        return Metered(problem="no-model-of-a-tool")
    metered = _block(flavour, usage)
    return replace(metered, lines=tuple(replace(line, model=model) for line in metered.lines))


def _units(units: Any) -> Metered:
    """Meter units beside the block. The price list has no unit for OpenAI's code interpreter sessions."""
    rest = dict(_mapping(units))
    sessions = _count(rest.pop("code_interpreter_sessions", 0))
    if not rest.keys() <= _get_registry().units.keys():
        return Metered(problem="unknown-unit:" + ",".join(sorted(rest.keys() - _get_registry().units.keys())))
    try:
        return Metered((Line(_usage(**rest), code_sessions=sessions),))
    except ValueError:
        return Metered(problem="unreadable-usage")


def _together(one: Metered, other: Metered) -> Metered:
    return Metered(one.lines + other.lines, one.tokens + other.tokens, one.problem or other.problem)


# ── Usage blocks ─────────────────────────────────────────────────────────────────────────────────────────────────


TOKEN_COUNTS = {"chat": ("prompt_tokens", "completion_tokens")}
"""Names of a block's two counts; every API but chat uses the newer names."""
NEWER_COUNTS = ("input_tokens", "output_tokens")


def _counted(flavour: Flavour, block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block with both counts: records omit zeros. Raises `ValueError` if it has neither."""
    counts = TOKEN_COUNTS.get(flavour, NEWER_COUNTS)
    if block.keys().isdisjoint(counts):
        raise ValueError(f"neither of {counts}")
    return {**dict.fromkeys(counts, 0), **block}


def _extracted(flavour: Flavour, block: Mapping[str, Any]) -> Usage:
    provider, extractor = EXTRACTORS[flavour]
    return _provider(provider).extract_usage({"usage": _counted(flavour, block)}, api_flavor=extractor)[1]


def _responses(flavour: Flavour, block: Mapping[str, Any]) -> Usage:
    """Meter a response. OpenAI, Response object: cache writes last 30 minutes or, at another price, 12 hours."""
    writes = _mapping(_mapping(block.get("input_tokens_details")).get("cache_write_tokens_details"))
    if writes.get("ttl_12h_tokens"):
        raise NoPriceError("cache_write_12h_tokens")
    return _extracted(flavour, block)


def _messages(flavour: Flavour, block: Mapping[str, Any]) -> Usage:
    """Meter a message. Anthropic, Streaming: `message_delta` raises the sum of cache writes, not their breakdown."""
    usage = _extracted(flavour, block)
    reported = vars(usage)
    used = [name for name in WRITES_BY_TIME if reported.get(name)]
    if len(used) == 1 and reported[used[0]] < reported.get("cache_write_tokens", 0):
        setattr(usage, used[0], reported["cache_write_tokens"])
    return usage


WRITES_BY_TIME = ("cache_write_5m_tokens", "cache_write_1h_tokens")
"""Units of cache writes, by lifetime."""


def _images(flavour: Flavour, block: Mapping[str, Any]) -> Usage:
    """Meter an image. OpenAI, Images: output tokens are image tokens unless the block reports text tokens apart."""
    if "input_tokens_details" in block or not block.get("input_tokens"):
        details = {"text_tokens": 0, "image_tokens": 0} | dict(_mapping(block.get("input_tokens_details")))
        block = {**block, "input_tokens_details": details}
    usage = _extracted(flavour, block)
    if "output_tokens_details" not in block:
        usage.output_image_tokens = usage.output_tokens
    return usage


def _embeddings(_flavour: Flavour, block: Mapping[str, Any]) -> Usage:
    return _usage(input_tokens=block["prompt_tokens"] if "prompt_tokens" in block else block["total_tokens"])


def _transcription(flavour: Flavour, block: Mapping[str, Any]) -> Usage:
    """Meter seconds or tokens, whichever the model is billed by (OpenAI, Transcription object: `usage.type`)."""
    if "seconds" in block:
        return _usage(audio_seconds=block["seconds"], input_audio_seconds=block["seconds"])
    counted = _counted(flavour, block)
    details = _mapping(block.get("input_token_details"))
    return _usage(
        input_tokens=counted["input_tokens"],
        output_tokens=counted["output_tokens"],
        input_audio_tokens=details.get("audio_tokens"),
        input_text_tokens=details.get("text_tokens"),
    )


def _speech(flavour: Flavour, block: Mapping[str, Any]) -> Usage:
    """Meter speech: audio output at the model's only output price (OpenAI, Speech: `speech.audio.done`)."""
    counted = _counted(flavour, block)
    return _usage(input_tokens=counted["input_tokens"], output_tokens=counted["output_tokens"])


def _realtime(flavour: Flavour, block: Mapping[str, Any]) -> Usage:
    """Meter a Realtime response, the transcription of input audio, or the seconds of a Live session.

    OpenAI, Managing costs (Realtime): text, audio and image tokens have prices of their own, cached ones too. A count
    whose modalities are not told has no price. OpenAI, Cost optimization: a Live session is billed by the second.
    """
    if "seconds" in block:
        return _usage(audio_seconds=block["seconds"])
    if block.get("type") == "tokens":  # SDK: `UsageTranscriptTextUsageTokens`
        return _transcription(flavour, block)
    counted = _counted(flavour, block)
    inputs = _mapping(block.get("input_token_details"))
    for total, details in (
        (counted["input_tokens"], inputs),
        (counted["output_tokens"], _mapping(block.get("output_token_details"))),
        (inputs.get("cached_tokens", 0), _mapping(inputs.get("cached_tokens_details"))),
    ):
        if sum(details.get(name, 0) for name in MODALITIES) != total:
            raise ValueError("the modalities do not add up to their total")
    response = {"response": {"usage": counted}}
    return _provider("openai").extract_usage(response, api_flavor="realtime")[1]


MODALITIES = ("text_tokens", "audio_tokens", "image_tokens")

_READERS = {
    "realtime": _realtime,
    "responses": _responses,
    "messages": _messages,
    "images": _images,
    "embeddings": _embeddings,
    "transcription": _transcription,
    "speech": _speech,
}


def _contradiction(usage: Usage, tokens: Tokens) -> str:
    """Return the problem of a block whose parts exceed their whole: it does not say which count is wrong."""
    by_time = sum(int(vars(usage).get(name, 0)) for name in WRITES_BY_TIME)
    is_wrong = (
        tokens.cached + max(tokens.cache_write, by_time) > tokens.prompt
        or by_time not in (0, tokens.cache_write)
        or tokens.reasoning > tokens.completion
    )
    return "contradictory-usage" if is_wrong else ""


def _tokens(usage: Usage) -> Tokens:
    reported = vars(usage)
    return Tokens(
        prompt=int(reported.get("input_tokens", 0)),
        completion=int(reported.get("output_tokens", 0)),
        cached=int(reported.get("cache_read_tokens", 0)),
        cache_write=int(reported.get("cache_write_tokens", 0)),
        reasoning=int(reported.get("output_reasoning_tokens", 0)),
    )


def _plain_tokens(block: Mapping[str, Any]) -> Tokens:
    """Return the token counts of a block that the extractors refuse."""
    return Tokens(
        prompt=_count(block.get("prompt_tokens", block.get("input_tokens"))),
        completion=_count(block.get("completion_tokens", block.get("output_tokens"))),
    )


def _usage(**units: Any) -> Usage:
    return Usage(**{name: value for name, value in units.items() if value is not None})


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_NUMBER else 0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


@functools.cache
def _provider(provider_id: str) -> Provider:
    return get_snapshot().find_provider(None, provider_id, None)
