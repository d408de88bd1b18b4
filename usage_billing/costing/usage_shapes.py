"""Decides how a usage block is read: by whose extractor of genai-prices, and whether its numbers can be trusted.

Three checks keep a small sum from passing for the cost: the total must be the sum of its parts, reasoning that stands
beside the answer is added, and a field that nobody knows makes the cost unknown.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import Provider, UsageExtractor

Block = Mapping[str, Any]
"""A usage block."""

STANDARD = {
    "chat": ("openai", "chat"),
    "responses": ("openai", "responses"),
    "embeddings": ("openai", "embeddings"),
    "images": ("openai", "images"),
    "realtime": ("openai", "realtime"),
    "decisions": ("openai-decisions", "default"),
    "messages": ("anthropic", "default"),
    "converse": ("aws", "default"),
}
"""API → the provider that designed it, and that provider's extractor in genai-prices for its usage block.

`converse` is Bedrock's own API; only its block tells it.
"""

OWN = {"chat": ("chat", "default"), "responses": ("responses", "default"), "realtime": ("realtime",)}
"""API → names that the extractors of other providers have for it. Anthropic's own reads every Claude."""


def shape_of(block: Block, provider: str, model: str) -> str:
    """Return the API whose block this looks like, for an endpoint that nobody knows; empty if it looks like none."""
    if "prompt_tokens" in block or "completion_tokens" in block:
        return "chat"
    if "inputTokens" in block or "outputTokens" in block:
        return "converse"
    if not block.keys().isdisjoint(ANTHROPIC_FIELDS):
        return "messages"
    if block.keys().isdisjoint(("input_tokens", "output_tokens")):
        return "transcription" if "seconds" in block else ""
    if "input_token_details" in block or "output_token_details" in block:
        return "realtime"
    is_claude = provider == "anthropic" or "claude" in model.lower()
    return "messages" if is_claude else "responses"


ANTHROPIC_FIELDS = ("cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation", "server_tool_use")


def extract(api: str, block: Block, provider: str) -> Usage:
    """Return the units of a block, read by the extractor of whoever answered, else by that of the API.

    Raises `ValueError` and its like for a block that the extractor refuses.
    """
    reader = _reader(api, block, provider)
    if counts := _whole_counts(reader, block):
        usage = Usage()
        vars(usage).update(counts)
        return usage
    root = [reader.extractor.root] if isinstance(reader.extractor.root, str) else list(reader.extractor.root)
    data: Any = block
    for name in reversed(root):
        data = {name: data}
    return reader.extractor.extract(data)[1]


class _Reader(NamedTuple):
    """An extractor of genai-prices.

    required: fields without which it refuses a block. is_plain: whether it reads the block alone. counts: path and unit
    of each count, and whether it is required, if the paths are plain names. fields: those that it reads, with dots.
    """

    extractor: UsageExtractor
    required: frozenset[str]
    is_plain: bool
    counts: tuple[tuple[tuple[str, ...], str, bool], ...]
    fields: frozenset[str]


def _reader(api: str, block: Block, provider: str) -> _Reader:
    for reader in _own_readers(api, provider):
        if reader.is_plain and reader.required <= block.keys():
            return reader
    return _own_readers(STANDARD[api][1], STANDARD[api][0])[0]


@functools.lru_cache(maxsize=256)
def _own_readers(api: str, provider_id: str) -> tuple[_Reader, ...]:
    """Return the provider's own extractors for the API (or of that name), best first."""
    found: Provider | None = next((each for each in get_snapshot().providers if each.id == provider_id), None)
    by_name = {reader.api_flavor: reader for reader in (found.extractors or () if found else ())}
    names = (api,) if (provider_id, api) in STANDARD.values() else OWN.get(api, ())
    return tuple(_compiled(by_name[name]) for name in names if name in by_name)


def _compiled(extractor: UsageExtractor) -> _Reader:
    mappings = extractor.mappings
    paths = [(mapping.path if isinstance(mapping.path, list) else [mapping.path]) for mapping in mappings]
    counts = [
        (tuple(map(str, path)), mapping.dest, mapping.required)
        for path, mapping in zip(paths, mappings, strict=True)
        if mapping.dest in extractor._reported_usage_keys
    ]
    return _Reader(
        extractor,
        frozenset(str(mapping.path) for mapping in mappings if mapping.required),
        extractor.root in ("usage", ["response", "usage"]),
        tuple(counts) if all(isinstance(step, str) for path in paths for step in path) else (),
        frozenset(".".join(map(str, path)) for path in paths),
    )


def _whole_counts(reader: _Reader, block: Block) -> dict[str, int] | None:
    """Return what the extractor would, for a block of whole numbers; None if it has anything else to decide.

    genai-prices checks each step of each path and each value: 15 µs of CPU a call more than this.
    """
    counts: dict[str, int] = {}
    for path, unit, is_required in reader.counts:
        value: Any = block
        for step in path:
            value = value.get(step) if type(value) is dict else None
        if value is None and not is_required:
            continue
        if type(value) is not int or value < 0:
            return None
        counts[unit] = counts.get(unit, 0) + value
    return counts


# ── Totals ───────────────────────────────────────────────────────────────────────────────────────────────────────

COUNTS = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"), ("inputTokens", "outputTokens"))


def is_total_right(block: Block, usage: Usage) -> bool:
    """Return whether the block's total is the sum of its parts; `usage` gets reasoning that stands beside the answer.

    Most providers count reasoning within the completion, xAI and some gateways beside it; the total tells which. A
    block without a total is read as whoever answered documents it.
    """
    total = _count(block.get("total_tokens", block.get("totalTokens")))
    if not total:
        return True
    reported = vars(usage)
    prompt, completion = int(reported.get("input_tokens", 0)), int(reported.get("output_tokens", 0))
    nested = _nested_reasoning(block)
    reasoning = nested or _count(block.get("reasoning_tokens"))
    plain = _plain_counts(block)
    if total == prompt + completion:
        return True
    if reasoning and total == prompt + completion + reasoning:
        usage.output_tokens, usage.output_reasoning_tokens = completion + reasoning, reasoning
        return True
    if total != sum(plain):
        return False
    # The extractor has added something to the plain counts. Reasoning in the details is within the total. What
    # Perplexity tells beside (`reasoning_tokens`, `citation_tokens`) is billed on top of it (Perplexity, Pricing).
    if nested:
        usage.output_tokens = plain[1]
        return nested <= plain[1]
    return True


def _plain_counts(block: Block) -> tuple[int, int]:
    """Return the two counts as they stand in the block, whichever names it has for them."""
    for names in COUNTS:
        if not block.keys().isdisjoint(names):
            return _count(block.get(names[0])), _count(block.get(names[1]))
    return 0, 0


def _nested_reasoning(block: Block) -> int:
    details = block.get("completion_tokens_details") or block.get("output_tokens_details")
    return _count(details.get("reasoning_tokens")) if isinstance(details, dict) else 0


# ── Fields that nobody knows ─────────────────────────────────────────────────────────────────────────────────────

BILLABLE = re.compile(
    r".*(tokens|requests|seconds|minutes|hours|characters|searches|queries|calls|sessions|images|pages|sources"
    r"|executions|used|Tokens|Requests|Count)"
)
"""Names that a count has which may bear on the price. Times (`queue_time`) and amounts (`cost`) have others."""

INFORMATIVE = {
    "total_tokens", "totalTokens",
    # OpenAI, CompletionUsage: parts of counts that are billed as a whole.
    "text_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens",
    "prompt_tokens_details.image_tokens", "input_tokens_details.image_tokens",
    "reasoning_tokens", "cached_tokens", "cache_write_tokens",
    # DeepSeek, Context Caching: hits are `cached_tokens` again, misses the rest of the prompt.
    "prompt_cache_hit_tokens", "prompt_cache_miss_tokens", "num_cached_tokens",
}  # fmt: skip
KNOWN: dict[str, set[str]] = {
    # OpenAI, ResponseUsage: the lifetimes of cache writes.
    "responses": {"ttl_12h_tokens", "ttl_30m_tokens"},
    # Anthropic, ServerToolUsage: fetching is free. Tool search tool: only its tokens are billed.
    "messages": {"web_fetch_requests", "tool_search_requests"},
    "embeddings": {"prompt_tokens"},
    # OpenAI, Response object, `tool_usage.image_gen`: `metering` parts cached text from cached images.
    "images": {"image_tokens", "cached_text_tokens", "cached_image_tokens"},
    "realtime": {"seconds", "input_tokens", "output_tokens", "input_token_details.audio_tokens"},
    "transcription": {"seconds", "input_tokens", "output_tokens", "input_token_details.audio_tokens"},
    "speech": {"input_tokens", "output_tokens"},
}
"""API → names in its blocks that `metering` reads itself, or that are known not to bear on the price.

A name stands for a field wherever it is; with a dot, for a field of that object.
"""

NOT_COUNTS = ("iterations", "cost", "cost_details", "fallback_credit", "context_details")
"""Fields of a block that hold no counts of this turn.

`fallback_credit` (Anthropic, Fallback credit): “The refund is visible in the retry's `usage`”: fewer written tokens,
more read ones. So the counts price the retry as it is billed, whether the credit was redeemed or not.
"""


def unknown_field(api: str, block: Block, provider: str) -> str:
    """Return the name of a count in the block that may bear on the price and that nobody reads; empty if none."""
    known = _known(api)
    read = _reader(api, block, provider).fields if api in STANDARD else known
    for path, value in _counts(block):
        if value > 0 and path not in read and path not in known and path.rpartition(".")[2] not in known:
            return path
    return ""


@functools.cache
def _known(api: str) -> frozenset[str]:
    return frozenset(INFORMATIVE | KNOWN.get(api, set()))


def _counts(block: Block, within: str = "") -> Iterator[tuple[str, int | float]]:
    """Yield path and value of each number in the block whose name is that of a count."""
    for name, value in block.items():
        if name in NOT_COUNTS:
            continue
        if isinstance(value, dict):
            yield from _counts(value, f"{within}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and _is_billable(name):
            yield within + name, value


@functools.lru_cache(maxsize=4096)
def _is_billable(name: str) -> bool:
    return BILLABLE.fullmatch(name) is not None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
