"""Merges the usage blocks of one Anthropic stream (API reference: Streaming messages), field by field.

`message_start` has the prompt's counts, `message_delta` the cumulative ones. Gateways restate them: some write 0 or
null in the delta for a count that they do not have, some move tokens from one count to another (written → read).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PROMPT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
"""The counts of a prompt, which lie beside each other: their sum is the prompt."""

WRITES = "cache_creation"
"""The breakdown of `cache_creation_input_tokens` by lifetime."""


def merged(known: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """The block after a later event. A null never erases a count. A zero does so only in a prompt that is restated.

    A prompt is restated if the later event's counts, laid over the known ones, make it at least as long as before.
    """
    told = {name: value for name, value in later.items() if value is not None}
    restated = _length({**known, **told}) >= _length(known)
    block = {**known}
    for name, value in told.items():
        block[name] = value if restated and name in PROMPT else _merged_value(known.get(name), value)
    if breakdown := _breakdown(block.get("cache_creation_input_tokens"), told.get(WRITES), known.get(WRITES)):
        block[WRITES] = breakdown
    return block


def _merged_value(known: Any, later: Any) -> Any:
    if isinstance(known, Mapping) and isinstance(later, Mapping):
        return {**known, **{name: _merged_value(known.get(name), value) for name, value in later.items()}}
    is_empty = later is None or later == 0 or later == [] or later == {}
    return known if is_empty and known is not None and not isinstance(later, bool) else later


def _breakdown(total: Any, later: Any, known: Any) -> dict[str, Any]:
    """The breakdown that belongs to this sum of cache writes: the later one if it adds up, else the earlier one.

    If neither adds up, one by a single lifetime follows the sum; the later one by both stays, and contradicts the sum.
    """
    told = [{**each} for each in (later, known) if isinstance(each, Mapping)]
    if not told or not _is_count(total):
        return told[0] if told else {}
    for each in told:
        if sum(filter(_is_count, each.values())) == total:
            return each
    for each in told:
        used = [name for name, value in each.items() if _is_count(value) and value]
        if len(used) == 1 or total == 0:
            return {**dict.fromkeys(each, 0), **({used[0]: total} if len(used) == 1 else {})}
    return told[0]


def _length(block: Mapping[str, Any]) -> int:
    return sum(block[name] for name in PROMPT if _is_count(block.get(name)))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
