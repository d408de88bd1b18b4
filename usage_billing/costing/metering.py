"""Turns a provider's usage block into units of the price list, by model; `pricing` turns those into money.

genai-prices' own extractors read ordinary usage blocks. This module adds the cases they do not cover, each with its
source.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from operator import add
from typing import Any

import msgspec
from genai_prices import Usage
from genai_prices.units import _get_registry
from msgspec.structs import replace

from usage_billing.costing import reported_costs, usage_shapes
from usage_billing.costing.refusals import WHOLE
from usage_billing.recording.event import Flavour
from usage_billing.recording.gate import LARGEST_NUMBER, PARTS

UNKNOWN_ENDPOINT = "unknown-endpoint"
"""The problem of a call to an endpoint that nobody knows, whose answer has no usage."""


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
    """Units used on one model (empty: the call's own), or sessions of containers: the memory of each (`1g`).

    requests: how many requests to the model the counts may be the sum of: a loop of server tools makes one more than
    it uses tools. searches: web searches of the call, whose results are within the counts.
    """

    usage: Usage
    model: str = ""
    containers: tuple[str, ...] = ()
    requests: int = 1
    searches: int = 0


class Metered(msgspec.Struct, frozen=True):
    """The units of a call, line by line. `problem`: why they are not known in full; the lines are what is known then.

    tokens: the counts that are known.
    """

    lines: tuple[Line, ...] = ()
    tokens: Tokens = Tokens()
    problem: str = ""

    def failed(self, problem: str) -> Metered:
        """Return the same counts, with this problem unless there is one already."""
        return replace(self, problem=self.problem or problem)


class NoPriceError(Exception):
    """Raised for a unit that has no published price; the message is its name."""


_NO_BLOCK = dict.fromkeys(usage_shapes.STANDARD, "no-usage")
"""API → the problem of an answer without a block. Speech and transcription may be metered by their request alone."""


def meter(
    flavour: Flavour | None,
    usage: Mapping[str, Any],
    provider: str = "",
    model: str = "",
    *,
    free_turns: Set[str] = frozenset(),
) -> Metered:
    """Meter a call. `usage` is the provider's block, with three keys of our own beside it:

    `units`: units of the price list that the block does not report (`web_searches`, `input_characters`, …);
    `parts`: usage on other models, each `{"model", "api", "usage"}` (an image made by a tool);
    `containers`: containers whose session is charged to this call, each with its memory.

    provider, model: who answered, and with which model. For an endpoint that nobody knows, the block's own shape tells
    how to read it. free_turns: turns of the block that are not billed; their tokens are counted all the same
    (`refusals.free_turns`).
    """
    block = {name: value for name, value in usage.items() if name not in _NOT_USAGE}
    containers = _mapping(usage.get("containers"))
    api: str = flavour or "unknown"
    if api == "unknown" or (api in _TOLD_BY_SHAPE and block.keys().isdisjoint(TOKEN_COUNTS.get(api, NEWER_COUNTS))):
        api = usage_shapes.shape_of(block, provider, model) or api.replace("unknown", "")
    if not api and not usage.get("units") and not containers:
        return Metered(tokens=_plain_tokens(block), problem="unreadable-usage" if block else UNKNOWN_ENDPOINT)
    # Units beside a block that did not come are not the whole usage.
    metered = _block(api, block, provider, free_turns) if block and api else Metered(problem=_NO_BLOCK.get(api, ""))
    for part in _mappings(usage.get("parts")):
        metered = _together(metered, _part(part))
    if units := usage.get("units"):
        metered = _together(metered, _units(units))
    if containers:
        metered = _together(metered, Metered((Line(_usage(), containers=tuple(map(str, containers.values()))),)))
    if not metered.lines and not metered.problem and not free_turns:
        return replace(metered, problem="no-usage")
    if max(msgspec.structs.astuple(metered.tokens)) > LARGEST_NUMBER:
        return Metered(problem="unreadable-usage")
    return _with_requests(metered, block, usage.get("units"))


_NOT_USAGE = {"units", "parts", "containers"} | reported_costs.FIELDS

_TOLD_BY_SHAPE = ("chat", "responses", "messages")
"""APIs whose gateways may answer with another API's block."""


def _with_requests(metered: Metered, block: Mapping[str, Any], units: Any) -> Metered:
    """Note on the first line which searches its counts contain, and how many requests they may be the sum of."""
    beside = _mapping(units)
    uses = sum(_count(value) for value in _mapping(block.get("server_tool_use")).values())
    uses += _count(beside.get("web_searches")) + _count(beside.get("storage_searches"))
    if not uses or not metered.lines or block.get("iterations"):
        return metered
    first, *others = metered.lines
    return replace(
        metered, lines=(replace(first, requests=1 + uses, searches=_count(beside.get("web_searches"))), *others)
    )


def decode_usage(raw: msgspec.Raw) -> Any:
    """Decode the provider's usage block of an event; None if it is not JSON."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None


def compact(block: Any) -> Any:
    """Return the usage block without zeros and nulls, and without objects that this leaves empty.

    If nothing was used, the zeros of the block and of its `units` stay: zero usage is known, absent usage is not. A
    charge of zero that the host reports stays as well: it says that the call was free.
    """
    kept = _without_zeros(block)
    if not isinstance(block, dict) or uses_something(kept):
        return kept
    units = {"units": block["units"]} if block.get("units") else {}
    return {**kept, **{key: value for key, value in block.items() if _is_number(value)}, **units}


def _without_zeros(block: Any) -> Any:
    if isinstance(block, list):
        return [_without_zeros(item) for item in block]
    if not isinstance(block, dict):
        return block
    kept = {}
    for key, value in block.items():
        inner = _without_zeros(value) if isinstance(value, dict | list) else value
        if inner or inner == "" or (key in reported_costs.KEPT_ZEROS and inner == 0 and inner is not False):
            kept[key] = inner
    return kept


def uses_something(usage: Any) -> bool:
    """Return whether the usage holds a number other than zero, or one that cannot be read."""
    if isinstance(usage, dict):
        if "unreadable" in usage:
            return True
        usage = usage.values()
    elif not isinstance(usage, list):
        return _is_number(usage) and bool(usage)
    return any(map(uses_something, usage))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


NOTHING_TO_DO = frozenset({"transcription", "embeddings"})
"""APIs whose input may be empty (silence, no text). Any other answered call used something: its zeros are wrong."""


def _block(api: str, block: Mapping[str, Any], provider: str = "", free_turns: Set[str] = frozenset()) -> Metered:
    if iterations := block.get("iterations"):
        return _iterations(block, iterations if isinstance(iterations, list) else [], free_turns)
    if api not in NOTHING_TO_DO and not uses_something(block) and any(map(_is_number, block.values())):
        return Metered(problem="no-usage")
    try:
        usage = _READERS.get(api, _extracted)(api, block, provider)
        adds_up = usage_shapes.is_total_right(block, usage)
    except NoPriceError as unit:
        return Metered(tokens=_plain_tokens(block), problem=f"no-price-for:{unit}")
    except (ValueError, TypeError, KeyError, ArithmeticError):
        return Metered(tokens=_plain_tokens(block), problem="unreadable-usage")
    tokens = _tokens(usage)
    if problem := _contradiction(usage, tokens):
        return Metered(tokens=tokens.within(), problem=problem)
    if not adds_up:
        # At least what the parts say was used, if the total says more.
        is_more = _count(block.get("total_tokens")) > tokens.prompt + tokens.completion
        return Metered((Line(usage),) if is_more else (), tokens, problem="contradictory-usage")
    if field := usage_shapes.unknown_field(api, block, provider):
        return Metered((Line(usage),), tokens, problem=f"unknown-usage-field:{field}")
    return Metered(() if WHOLE in free_turns else (Line(usage),), tokens)


def _iterations(block: Mapping[str, Any], iterations: list[Any], free_turns: Set[str]) -> Metered:
    """Meter compaction, advisor and fallback turns, each on its own model.

    Anthropic, Compaction: the top-level counts leave out the compaction turns; the bill is the sum over all
    `usage.iterations`. Only the top level reports searches. A turn that used nothing is left out.
    """
    metered = Metered()
    for index, iteration in enumerate(iterations):
        if not isinstance(iteration, dict) or not uses_something(iteration):
            continue
        turn = _block("messages", {name: value for name, value in iteration.items() if name != "iterations"})
        model = iteration.get("model")
        lines = tuple(replace(line, model=model if isinstance(model, str) else "") for line in turn.lines)
        metered = _together(metered, replace(turn, lines=() if str(index) in free_turns else lines))
    searches = block.get("server_tool_use")
    if isinstance(searches, dict) and searches.get("web_search_requests"):
        metered = _together(metered, _units({"web_searches": searches["web_search_requests"]}))
    return metered


def _part(part: Mapping[str, Any]) -> Metered:
    model, flavour, usage = part.get("model"), part.get("api"), part.get("usage")
    if not isinstance(usage, dict) or not isinstance(model, str) or not model or (flavour not in usage_shapes.STANDARD):
        return Metered(problem="no-model-of-a-tool")
    metered = _block(flavour, usage)
    return replace(metered, lines=tuple(replace(line, model=model) for line in metered.lines))


def _units(units: Any) -> Metered:
    """Meter units beside the block. The price list has no unit for OpenAI's code interpreter sessions."""
    rest = dict(_mapping(units))
    sessions = _count(rest.pop("code_interpreter_sessions", 0))  # events of earlier versions
    if not rest.keys() <= _get_registry().units.keys():
        return Metered(problem="unknown-unit:" + ",".join(sorted(rest.keys() - _get_registry().units.keys())))
    containers = ("1g",) * min(sessions, PARTS)
    try:
        lines = (Line(_usage(**rest)),) if rest or not containers else ()
    except ValueError:
        return Metered(problem="unreadable-usage")
    return Metered(lines + ((Line(_usage(), containers=containers),) if containers else ()))


def _together(one: Metered, other: Metered) -> Metered:
    return Metered(one.lines + other.lines, one.tokens + other.tokens, one.problem or other.problem)


# ── Usage blocks ─────────────────────────────────────────────────────────────────────────────────────────────────


TOKEN_COUNTS = {
    "chat": ("prompt_tokens", "completion_tokens"),
    "converse": ("inputTokens", "outputTokens"),
    "messages": ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
}
"""Names of a block's counts. Every other API uses the newer names; a message may only write or read the cache."""
NEWER_COUNTS = ("input_tokens", "output_tokens")


def _counted(api: str, block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block with all its counts: records omit zeros. Raises `ValueError` if it has none."""
    counts = TOKEN_COUNTS.get(api, NEWER_COUNTS)
    if block.keys().isdisjoint(counts):
        raise ValueError(f"none of {counts}")
    return {**dict.fromkeys(counts, 0), **block}


def _extracted(api: str, block: Mapping[str, Any], provider: str) -> Usage:
    return usage_shapes.extract(api, _counted(api, block), provider)


def _chat(api: str, block: Mapping[str, Any], provider: str) -> Usage:
    """Meter a chat. DeepSeek, Moonshot, Mistral have named cached tokens at the top of the block, each otherwise."""
    usage = _extracted(api, block, provider)
    if "cache_read_tokens" not in vars(usage):
        named = (_count(block.get(name)) for name in ("cached_tokens", "prompt_cache_hit_tokens", "num_cached_tokens"))
        if cached := max(named):
            usage.cache_read_tokens = cached
    return usage


def _responses(api: str, block: Mapping[str, Any], provider: str) -> Usage:
    """Meter a response. OpenAI, ResponseUsage: cache writes last 30 minutes or, at another price, 12 hours.

    The price list has two units for lifetimes of cache writes, named after Anthropic's: the shorter and the longer one.
    """
    usage = _extracted(api, block, provider)
    details = _mapping(_mapping(block.get("input_tokens_details")).get("cache_write_tokens_details"))
    if longer := _count(details.get("ttl_12h_tokens")):
        usage.cache_write_1h_tokens = longer
        usage.cache_write_5m_tokens = max(0, int(vars(usage).get("cache_write_tokens", 0)) - longer)
    return usage


def _messages(api: str, block: Mapping[str, Any], provider: str) -> Usage:
    """Meter a message. Anthropic, Streaming: `message_delta` raises the sum of cache writes, not their breakdown."""
    usage = _extracted(api, block, provider)
    reported = vars(usage)
    used = [name for name in WRITES_BY_TIME if reported.get(name)]
    if len(used) == 1 and reported[used[0]] < reported.get("cache_write_tokens", 0):
        setattr(usage, used[0], reported["cache_write_tokens"])
    return usage


WRITES_BY_TIME = ("cache_write_5m_tokens", "cache_write_1h_tokens")
"""Units of cache writes, by lifetime."""


def _images(api: str, block: Mapping[str, Any], provider: str) -> Usage:
    """Meter an image. OpenAI, Images: output tokens are image tokens unless the block reports text tokens apart."""
    if "input_tokens_details" in block or not block.get("input_tokens"):
        details = {"text_tokens": 0, "image_tokens": 0} | dict(_mapping(block.get("input_tokens_details")))
        block = {**block, "input_tokens_details": details}
    usage = _extracted(api, block, provider)
    if "output_tokens_details" not in block:
        usage.output_image_tokens = usage.output_tokens
    for unit, cached in _cached_of_images(block).items():
        setattr(usage, unit, cached)
    return usage


def _cached_of_images(block: Mapping[str, Any]) -> dict[str, int]:
    """Return the cached units of an image tool (OpenAI, Response object: `tool_usage.image_gen.cached_tokens_details`).

    Text and images have different prices: raises `NoPriceError` if both came and the details do not part them.
    """
    cached = _count(block.get("cached_tokens"))
    details = _mapping(block.get("cached_tokens_details"))
    text, image = _count(details.get("cached_text_tokens")), _count(details.get("cached_image_tokens"))
    if text + image < cached:
        inputs = _mapping(block.get("input_tokens_details"))
        if text or image or (_count(inputs.get("text_tokens")) and _count(inputs.get("image_tokens"))):
            raise NoPriceError("cached_tokens_of_either_kind")
        text, image = (0, cached) if _count(inputs.get("image_tokens")) else (cached, 0)
    units = {"cache_read_tokens": text + image, "cache_text_read_tokens": text, "cache_image_read_tokens": image}
    return {unit: number for unit, number in units.items() if number}


def _decisions(api: str, block: Mapping[str, Any], provider: str) -> Usage:
    """Meter a decision. OpenAI, Decisions: input alone is billed, at one price for cached and other tokens."""
    usage = _extracted(api, block, provider)
    return _usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)


def _embeddings(_api: str, block: Mapping[str, Any], _provider: str) -> Usage:
    return _usage(input_tokens=block["prompt_tokens"] if "prompt_tokens" in block else block["total_tokens"])


def _transcription(api: str, block: Mapping[str, Any], _provider: str) -> Usage:
    """Meter seconds or tokens, whichever the model is billed by (OpenAI, Transcription object: `usage.type`)."""
    if "seconds" in block:
        return _usage(audio_seconds=block["seconds"], input_audio_seconds=block["seconds"])
    counted = _counted(api, block)
    details = _mapping(block.get("input_token_details"))
    return _usage(
        input_tokens=counted["input_tokens"],
        output_tokens=counted["output_tokens"],
        input_audio_tokens=details.get("audio_tokens"),
        input_text_tokens=details.get("text_tokens"),
    )


def _speech(api: str, block: Mapping[str, Any], _provider: str) -> Usage:
    """Meter speech: audio output at the model's only output price (OpenAI, Speech: `speech.audio.done`)."""
    counted = _counted(api, block)
    return _usage(input_tokens=counted["input_tokens"], output_tokens=counted["output_tokens"])


def _realtime(api: str, block: Mapping[str, Any], provider: str) -> Usage:
    """Meter a Realtime response, the transcription of input audio, or the seconds of a Live session.

    OpenAI, Managing costs (Realtime): text, audio and image tokens have prices of their own, cached ones too
    (RealtimeResponseUsage). A count whose modalities are not told has no price. OpenAI, Cost optimization: a Live
    session is billed by the second. Records omit zeros: a kind that the details leave out was not cached.
    """
    if "seconds" in block:
        return _usage(audio_seconds=block["seconds"])
    if block.get("type") == "tokens":  # SDK: `UsageTranscriptTextUsageTokens`
        return _transcription(api, block, provider)
    counted = _counted(api, block)
    inputs = _mapping(block.get("input_token_details"))
    for total, details in (
        (counted["input_tokens"], inputs),
        (counted["output_tokens"], _mapping(block.get("output_token_details"))),
        (inputs.get("cached_tokens", 0), _mapping(inputs.get("cached_tokens_details"))),
    ):
        if sum(details.get(name, 0) for name in MODALITIES) != total:
            raise ValueError("the modalities do not add up to their total")
    usage = _extracted(api, counted, provider)
    if _mapping(inputs.get("cached_tokens_details")):
        for unit in ("cache_text_read_tokens", "cache_audio_read_tokens", "cache_image_read_tokens"):
            setattr(usage, unit, vars(usage).get(unit, 0))
    return usage


MODALITIES = ("text_tokens", "audio_tokens", "image_tokens")

_READERS = {
    "chat": _chat,
    "realtime": _realtime,
    "responses": _responses,
    "messages": _messages,
    "images": _images,
    "decisions": _decisions,
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
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
