"""Which turns of an answer were declined (Anthropic, Refusals and fallback), without a word of the answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_clients.body.buffer import FOLD_AFTER_CHUNKS, BodyBuffer
from ai_clients.usage.answer import payloads
from ai_clients.usage.anthropic_refusals import told
from ai_clients.usage.anthropic_usage import read_body, read_stream
from tests.support.scripted import sse

CYBER = {"type": "refusal", "category": "cyber", "explanation": "secret", "fallback_credit_token": "secret"}
BOUNDARY: dict[str, Any] = {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}, "trigger": CYBER}
TEXT = {"type": "text", "text": "secret"}


def turns(*models: str, output: int = 0) -> dict[str, Any]:
    return {"iterations": [{"type": "message", "model": model, "output_tokens": output} for model in models]}


CASES: dict[str, tuple[list[Any] | None, Any, Any, dict[str, Any], dict[str, Any]]] = {
    "ordinary": ([TEXT], "end_turn", None, {}, {}),
    "refused before output": ([], "refusal", CYBER, {}, {"refusal": "cyber", "declined": {"all": "cyber"}}),
    "refused, no content told": (None, "refusal", CYBER, {}, {"refusal": "cyber", "declined": {"all": "cyber"}}),
    "refused after output": ([TEXT], "refusal", CYBER, {}, {"refusal": "cyber"}),
    "refused in a turn": ([], "refusal", CYBER, turns("a"), {"refusal": "cyber", "declined": {"0": "cyber"}}),
    "fallback": ([BOUNDARY, TEXT], "end_turn", None, turns("a", "b"), {"declined": {"0": "cyber"}}),
    "fallback, loop of tools": ([BOUNDARY, TEXT], "end_turn", None, turns("a", "b", "b"), {"declined": {"0": "cyber"}}),
    "fallback after a loop": ([BOUNDARY, TEXT], "end_turn", None, turns("a", "a", "b"), {}),
    "fallback after output": ([BOUNDARY, TEXT], "end_turn", None, turns("a", "b", output=3), {}),
    "all declined": (
        [BOUNDARY], "refusal", CYBER, turns("a", "b"), {"refusal": "cyber", "declined": {"0": "cyber", "1": "cyber"}},
    ),
    "turns not told": ([BOUNDARY, TEXT], "end_turn", None, {}, {"declined": {"all": "unknown"}}),
    "turns without models": ([BOUNDARY, TEXT], "end_turn", None, turns("", ""), {"declined": {"all": "unknown"}}),
}  # fmt: skip


@pytest.mark.parametrize(("content", "reason", "details", "usage", "expected"), CASES.values(), ids=CASES.keys())
def test_told_turns(content: Any, reason: Any, details: Any, usage: Any, expected: dict[str, Any]) -> None:
    assert told(content, reason, details, usage) == expected


def test_told_turn_of_a_stream_had_output_if_a_block_came_before_its_end() -> None:
    usage = turns("a", "b", output=3)
    assert told([TEXT, BOUNDARY, TEXT], "end_turn", None, usage, streamed=True) == {}
    assert told([BOUNDARY, TEXT], "end_turn", None, usage, streamed=True) == {"declined": {"0": "cyber"}}


odd = st.none() | st.booleans() | st.integers() | st.text() | st.just(BOUNDARY) | st.just([BOUNDARY, 7])


@given(
    content=odd | st.lists(odd),
    reason=odd,
    details=odd,
    usage=st.dictionaries(st.just("iterations"), odd | st.lists(odd)),
)
def test_told_turns_of_another_shape_raise_nothing(content: Any, reason: Any, details: Any, usage: Any) -> None:
    for streamed in (False, True):
        told(content, reason, details, usage, streamed=streamed)
        told(content, "refusal", details, usage, streamed=streamed)


def test_answer_keeps_no_text_of_a_refusal() -> None:
    body = msgspec.json.encode(
        {"id": "m", "content": [BOUNDARY], "stop_reason": "refusal", "stop_details": CYBER, "usage": turns("a", "b")}
    )
    assert b"secret" not in msgspec.json.encode(read_body("messages", body))


def test_long_stream_keeps_the_blocks_that_tell_of_a_refusal() -> None:
    """Text deltas are dropped from a long stream; the blocks' beginnings and `fallback` stay."""
    deltas = [{"type": "content_block_delta", "index": 0, "delta": {"text": "x"}}] * 2 * FOLD_AFTER_CHUNKS
    events = [
        {"type": "message_start", "message": {"id": "m", "model": "a", "usage": {"input_tokens": 3}}},
        {"type": "content_block_start", "index": 0, "content_block": TEXT},
        *deltas,
        {"type": "content_block_start", "index": 1, "content_block": BOUNDARY},
        *deltas,
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": turns("a", "b", output=3)},
    ]
    buffer = BodyBuffer(streamed=True)
    for chunk in sse(*events, names=True):
        if buffer.take(chunk):
            buffer.fold()
    kept = payloads(buffer.lines())
    assert len(kept) < 10
    assert read_stream("messages", kept).response == {}
    before = [payload for payload in kept if b'"text"' not in payload]
    assert read_stream("messages", before).response == {"declined": {"0": "cyber"}}
