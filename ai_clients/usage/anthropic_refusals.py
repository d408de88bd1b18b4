"""Tells which turns of an Anthropic answer were declined, and why: the ledger prices them by the day of the call.

Page “Refusals and fallback” (How refusals are billed; Server-side fallback: What the response contains). Text of the
answer is never kept: only the category, which is one of a few words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ai_clients.usage.answer import count, text

FALLBACK = b'"fallback"'
"""The type of the content block between two models' output. Quotes inside JSON strings are escaped."""

UNNAMED = "unnamed"
"""Stands for a `null` category: the refusal maps to no named one."""
UNKNOWN = "unknown"
"""Stands for the category of a declined turn that the answer does not tell."""

WHOLE = "all"
"""Stands for the turn of an answer without `usage.iterations`."""

_OTHER_TURNS = ("compaction", "advisor_message")


def told(
    content: Any, stop_reason: Any, stop_details: Any, usage: Mapping[str, Any], *, streamed: bool = False
) -> dict[str, Any]:
    """The response facts of an answer with refusals; empty for an answer without any.

    `refusal`: the category, if the answer itself is a refusal. `declined`: turn → category, of the turns that were
    declined before any output; a turn is an index of `usage.iterations`, or `all`.
    content: the content blocks; of a stream (`streamed`), those that began.
    """
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, Sequence) else []
    refused = stop_reason == "refusal"
    fallbacks = [index for index, block in enumerate(blocks) if block.get("type") == "fallback"]
    if not refused and not fallbacks:
        return {}
    turns = _turns(usage)
    declined = _declined_hops(blocks, fallbacks, turns, usage, streamed)
    facts: dict[str, Any] = {}
    if refused:
        category = _category(stop_details)
        facts["refusal"] = category
        after = blocks[fallbacks[-1] + 1 :] if fallbacks else blocks
        if not after:
            last = turns[-1][-1] if turns else None
            declined[WHOLE if last is None else str(last)] = category
    if declined:
        facts["declined"] = declined
    return facts


def _declined_hops(
    blocks: list[dict[str, Any]], fallbacks: list[int], turns: list[list[int]], usage: Mapping[str, Any], streamed: bool
) -> dict[str, str]:
    """Turn → category, of the turns that ended in a `fallback` block before any output.

    A plain answer leaves out the partial output of a declined model; then the turn's own output tokens tell.
    """
    if not fallbacks:
        return {}
    if len(turns) <= len(fallbacks):
        return {WHOLE: UNKNOWN}  # the turns do not match the blocks
    declined: dict[str, str] = {}
    begin = 0
    for hop, index in enumerate(fallbacks):
        last = turns[hop][-1]
        had_output = index > begin if streamed else bool(count(usage["iterations"][last].get("output_tokens")))
        if not had_output and len(turns[hop]) == 1:
            trigger = blocks[index].get("trigger")
            declined[str(last)] = _category(trigger) if isinstance(trigger, dict) else UNKNOWN
        begin = index + 1
    return declined


def _turns(usage: Mapping[str, Any]) -> list[list[int]]:
    """Indexes of `usage.iterations`, grouped by hop: one model in a row, which may loop over server tools."""
    iterations = usage.get("iterations")
    hops: list[list[int]] = []
    latest: Any = None
    for index, turn in enumerate(iterations if isinstance(iterations, list) else []):
        if not isinstance(turn, dict) or turn.get("type") in _OTHER_TURNS:
            continue
        if not hops or turn.get("model") != latest:
            hops.append([])
        hops[-1].append(index)
        latest = turn.get("model")
    return hops


def _category(details: Any) -> str:
    """The category of a refusal. Older models send no details, and newer ones a null where no category fits."""
    return (text(details.get("category")) if isinstance(details, dict) else "") or UNNAMED
