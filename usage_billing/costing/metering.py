"""What an answer's usage amounts to: units of the price list, by model. The first half of a price; it knows no money.

Ordinary usage blocks are read by genai-prices' own extractors. What they leave out is here, each with its source.
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
}
"""API flavour → the provider that designed it, and that provider's extractor in genai-prices for its usage block."""


class Tokens(msgspec.Struct, frozen=True):
    """Token counts as the ledger keeps them: `prompt` includes cached and cache-written, `completion` reasoning."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(*map(add, msgspec.structs.astuple(self), msgspec.structs.astuple(other)))

    def within(self) -> Tokens:
        """The counts with no part larger than its whole, for sums over them; the block itself is kept as it came."""
        cached = min(self.cached, self.prompt)
        return replace(
            self,
            cached=cached,
            cache_write=min(self.cache_write, self.prompt - cached),
            reasoning=min(self.reasoning, self.completion),
        )


class Line(msgspec.Struct, frozen=True):
    """Units used on one model; an empty `model` is the call's own. `code_sessions`: of a hosted code interpreter."""

    usage: Usage
    model: str = ""
    code_sessions: int = 0


class Metered(msgspec.Struct, frozen=True):
    """What is to be paid for, line by line; or, in `problem`, why that cannot be told. `tokens` are what is known."""

    lines: tuple[Line, ...] = ()
    tokens: Tokens = Tokens()
    problem: str = ""


class NoPriceError(Exception):
    """A unit for which nobody publishes a price; the message is its name."""


def meter(flavour: Flavour, usage: Mapping[str, Any]) -> Metered:
    """Meter a call. `usage` is the provider's block with, beside it, what else the answer or the request tells:

    `units`: units of the price list that the block does not have (`web_searches`, `input_characters`, …);
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
    """The provider's usage block of an event; None if there is none, or none that is JSON."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None


def compact(block: Any) -> Any:
    """The usage block without the units that were not used: zeros, nulls and what is left empty by that."""
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
    """Compaction, advisor and fallback turns each at their own model.

    (Anthropic, Compaction: the top-level counts leave out the compaction turns; what is billed is the sum over all
    `usage.iterations`.) Searches are told only at the top.
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
    """Units beside the block. The price list has no unit for code interpreter sessions, which OpenAI charges for."""
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
"""The two counts that a block has; every API but chat calls them by the newer names."""
NEWER_COUNTS = ("input_tokens", "output_tokens")


def _counted(flavour: Flavour, block: Mapping[str, Any]) -> dict[str, Any]:
    """The block with its counts written out: zeros are not stored. Raises `ValueError` where it has none of them."""
    counts = TOKEN_COUNTS.get(flavour, NEWER_COUNTS)
    if block.keys().isdisjoint(counts):
        raise ValueError(f"neither of {counts}")
    return {**dict.fromkeys(counts, 0), **block}


def _extracted(flavour: Flavour, block: Mapping[str, Any]) -> Usage:
    counted = _counted(flavour, block)
    if (usage := _plainly_extracted(flavour, counted)) is not None:
        return usage
    provider, extractor = EXTRACTORS[flavour]
    return _provider(provider).extract_usage({"usage": counted}, api_flavor=extractor)[1]


def _plainly_extracted(flavour: Flavour, block: Mapping[str, Any]) -> Usage | None:
    """What genai-prices would extract by the same mappings, of a block that is as usual: objects and whole numbers.

    None for any other, and for an extractor that asks for more: what is odd is the library's to judge.
    """
    values: dict[str, int] = {}
    for path, destination, is_required in _paths(flavour) or ():
        value: Any = block
        for step in path:
            value = value.get(step)
            if value is None:
                break
            if not isinstance(value, dict) and (type(value) is not int or value < 0 or step is not path[-1]):
                return None
        if isinstance(value, dict) or (value is None and is_required):
            return None
        if value is not None:
            values[destination] = values.get(destination, 0) + value
    if not values:
        return None
    usage = Usage()
    vars(usage).update(values)
    return usage


@functools.cache
def _paths(flavour: Flavour) -> list[tuple[tuple[str, ...], str, bool]] | None:
    """Where the extractor of a flavour finds what, and whether it must; None if it is not all plain names."""
    provider, name = EXTRACTORS[flavour]
    extractor = next(each for each in _provider(provider).extractors or () if each.api_flavor == name)
    # What the price list has no unit for, the extractor itself leaves out.
    mappings = [mapping for mapping in extractor.mappings if mapping.dest in _get_registry().units]
    paths = [mapping.path if isinstance(mapping.path, list) else [mapping.path] for mapping in mappings]
    if extractor.root != "usage" or not all(isinstance(step, str) for path in paths for step in path):
        return None
    return [
        (tuple(map(str, path)), mapping.dest, mapping.required) for path, mapping in zip(paths, mappings, strict=True)
    ]


def _responses(flavour: Flavour, block: Mapping[str, Any]) -> Usage:
    """(OpenAI, Response object: writes are kept for 30 minutes or, at another price, for 12 hours.)"""
    writes = _mapping(_mapping(block.get("input_tokens_details")).get("cache_write_tokens_details"))
    if writes.get("ttl_12h_tokens"):
        raise NoPriceError("cache_write_12h_tokens")
    return _extracted(flavour, block)


def _messages(flavour: Flavour, block: Mapping[str, Any]) -> Usage:
    """(Anthropic, Streaming: `message_delta` counts on, while the breakdown of cache writes is that of the start.)"""
    usage = _extracted(flavour, block)
    told = vars(usage)
    used = [name for name in WRITES_BY_TIME if told.get(name)]
    if len(used) == 1 and told[used[0]] < told.get("cache_write_tokens", 0):
        setattr(usage, used[0], told["cache_write_tokens"])
    return usage


WRITES_BY_TIME = ("cache_write_5m_tokens", "cache_write_1h_tokens")
"""Cache writes by how long they last."""


def _images(flavour: Flavour, block: Mapping[str, Any]) -> Usage:
    """(OpenAI, Images: what an image endpoint puts out are image tokens, unless it tells text apart.)"""
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
    """Seconds or tokens, as the model is billed (OpenAI, Transcription object: `usage.type`)."""
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
    """Text goes in, audio comes out, at the model's only output price (OpenAI, Speech: `speech.audio.done`)."""
    counted = _counted(flavour, block)
    return _usage(input_tokens=counted["input_tokens"], output_tokens=counted["output_tokens"])


_READERS = {
    "responses": _responses,
    "messages": _messages,
    "images": _images,
    "embeddings": _embeddings,
    "transcription": _transcription,
    "speech": _speech,
}


def _contradiction(usage: Usage, tokens: Tokens) -> str:
    """Parts that are larger than their whole: somebody counted wrong, and we cannot know who."""
    by_time = sum(int(vars(usage).get(name, 0)) for name in WRITES_BY_TIME)
    is_wrong = (
        tokens.cached + max(tokens.cache_write, by_time) > tokens.prompt
        or by_time not in (0, tokens.cache_write)
        or tokens.reasoning > tokens.completion
    )
    return "contradictory-usage" if is_wrong else ""


def _tokens(usage: Usage) -> Tokens:
    told = vars(usage)
    return Tokens(
        prompt=int(told.get("input_tokens", 0)),
        completion=int(told.get("output_tokens", 0)),
        cached=int(told.get("cache_read_tokens", 0)),
        cache_write=int(told.get("cache_write_tokens", 0)),
        reasoning=int(told.get("output_reasoning_tokens", 0)),
    )


def _plain_tokens(block: Mapping[str, Any]) -> Tokens:
    """What a block that cannot be read still says plainly."""
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
