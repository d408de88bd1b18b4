"""Turns what a span tells of its usage into a block in the words of the provider's API, as the recorder sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from usage_billing.ingest.otlp import embedded
from usage_billing.ingest.otlp.emitters import Habit
from usage_billing.ingest.otlp.names import COUNTS, Unit
from usage_billing.ingest.otlp.values import Attributes, UnreadableCountError, count
from usage_billing.ingest.provider_names import CACHE_WRITE_LIFETIME, is_claude
from usage_billing.recording.event import Flavour

INCLUSIVE_OR_EXCLUSIVE = "inclusive-or-exclusive"

Counts = Mapping[Unit, int | None]


class Told(NamedTuple):
    """api: how the block is read. missing: what was not told and the price depends on, the gravest first."""

    api: Flavour
    block: dict[str, Any] | None
    missing: tuple[str, ...] = ()


def told(attributes: Attributes, *, api: Flavour, provider: str, model: str, habit: Habit) -> Told:
    """Return the usage of a call. A provider's own block wins over counts; without either, the block is None."""
    claude = is_claude(provider, model)
    if (block := embedded.usage_block(attributes) or embedded.answer(attributes).usage) is not None:
        return Told(_api_of(block, api, claude=claude), block)
    api = "messages" if claude and api != "embeddings" else api
    try:
        counts: Counts = {unit: count(attributes, unit) for unit in COUNTS}
    except UnreadableCountError as error:
        return Told(api, None, (f"unreadable-count:{error}",))
    if counts["input"] is None and counts["output"] is None:
        return Told(api, None)
    if api == "embeddings":
        return Told(api, {"prompt_tokens": counts["input"], "total_tokens": counts["input"]}, _untold(counts, "input"))
    missing = (*_untold(counts, "input", "output"), *_odd_units(counts))
    if api == "messages":
        block, of_cache = _message(counts, habit)
    else:
        block, of_cache = _completion(counts, api, is_certain=provider not in ("", "aws", "unknown"))
    return Told(api, block, (*missing, *of_cache))


def _api_of(block: Mapping[str, Any], api: Flavour, *, claude: bool) -> Flavour:
    if api == "embeddings":
        return api
    if "prompt_tokens" in block or "completion_tokens" in block:
        return "chat"
    if "input_tokens" in block or "output_tokens" in block:
        return "messages" if claude else "responses"
    return "unknown"


def _untold(counts: Counts, *units: Unit) -> tuple[str, ...]:
    return tuple(f"{unit}-tokens" for unit in units if counts[unit] is None)


def _odd_units(counts: Counts) -> tuple[str, ...]:
    """Return what was used that no block which we make has a field for."""
    return tuple(
        reason
        for unit, reason in (("other_modality", "modalities"), ("compaction", "compaction"))
        if counts.get(unit)  # type: ignore[call-overload]
    )


def _message(counts: Counts, habit: Habit) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return Anthropic's block, whose input count is without the cached tokens."""
    given, read, written = counts["input"] or 0, counts["cache_read"] or 0, counts["cache_write"] or 0
    missing: tuple[str, ...] = ()
    if 0 < read + written <= given:
        # More cached than all input tells that the count is without them. Otherwise only the emitter's habit tells.
        if habit.counts_cache == "unknown":
            missing = (INCLUSIVE_OR_EXCLUSIVE,)
        if habit.counts_cache != "excluded":
            given -= read + written
    block: dict[str, Any] = {"input_tokens": given, "output_tokens": counts["output"] or 0}
    block |= _present({"cache_read_input_tokens": counts["cache_read"]})
    block |= _present({"cache_creation_input_tokens": counts["cache_write"]})
    lifetimes = _present(
        {
            "ephemeral_5m_input_tokens": counts["cache_write_5m"],
            "ephemeral_1h_input_tokens": counts["cache_write_1h"],
        }
    )
    if lifetimes:
        block["cache_creation"] = lifetimes
    elif written:
        missing = (CACHE_WRITE_LIFETIME, *missing)
    if counts["reasoning"]:
        block["output_tokens_details"] = {"thinking_tokens": counts["reasoning"]}
    if counts["input_audio"] or counts["output_audio"]:
        missing = (*missing, "modalities")
    return block, missing


def _completion(counts: Counts, api: Flavour, *, is_certain: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return OpenAI's block, whose input count contains the cached tokens.

    is_certain: whether the provider's own API counts so too, so that an emitter which copies counts does.
    """
    given, read, written = counts["input"] or 0, counts["cache_read"] or 0, counts["cache_write"] or 0
    missing: tuple[str, ...] = ()
    if read + written > given:
        given += read + written
    elif read + written and not is_certain:
        missing = (INCLUSIVE_OR_EXCLUSIVE,)
    if written:
        missing = (CACHE_WRITE_LIFETIME, *missing)
    inputs = {"cached_tokens": read, "cache_write_tokens": written, "audio_tokens": counts["input_audio"] or 0}
    outputs = {"reasoning_tokens": counts["reasoning"] or 0, "audio_tokens": counts["output_audio"] or 0}
    before, after = ("input", "output") if api == "responses" else ("prompt", "completion")
    return {
        f"{before}_tokens": given,
        f"{before}_tokens_details": _used(inputs),
        f"{after}_tokens": counts["output"] or 0,
        f"{after}_tokens_details": _used(outputs),
        "total_tokens": given + (counts["output"] or 0),
    }, missing


def _present(fields: Mapping[str, int | None]) -> dict[str, int]:
    return {name: number for name, number in fields.items() if number is not None}


def _used(fields: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in fields.items() if number}
