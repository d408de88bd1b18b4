"""The usage blocks of one stream are merged field by field (Anthropic, Streaming messages)."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_clients.usage.anthropic_stream_usage import PROMPT, merged

WRITTEN = {
    "input_tokens": 317,
    "cache_creation_input_tokens": 4425,
    "cache_read_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 4425, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 1,
}
BOTH = {**WRITTEN, "cache_creation": {"ephemeral_5m_input_tokens": 4000, "ephemeral_1h_input_tokens": 425}}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "zero input": (
        {"input_tokens": 15, "output_tokens": 1},
        {"input_tokens": 0, "output_tokens": 42},
        {"input_tokens": 15, "output_tokens": 42},
    ),
    "nulls": (
        WRITTEN,
        dict.fromkeys(WRITTEN) | {"output_tokens": 7},
        {**WRITTEN, "output_tokens": 7},
    ),
    "zeros for everything": (WRITTEN, dict.fromkeys(PROMPT, 0) | {"output_tokens": 7}, {**WRITTEN, "output_tokens": 7}),
    "zero output": ({"output_tokens": 5}, {"output_tokens": 0}, {"output_tokens": 5}),
    "written restated as read": (
        WRITTEN,
        {"input_tokens": 317, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4425, "output_tokens": 20},
        {
            "input_tokens": 317,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4425,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 20,
        },
    ),
    "all input restated as read": (
        {"input_tokens": 4742, "output_tokens": 1},
        {"input_tokens": 0, "cache_read_input_tokens": 4742, "output_tokens": 9},
        {"input_tokens": 0, "cache_read_input_tokens": 4742, "output_tokens": 9},
    ),
    "zero input beside the same cache": (
        {"input_tokens": 15, "cache_read_input_tokens": 4425},
        {"input_tokens": 0, "cache_read_input_tokens": 4425},
        {"input_tokens": 15, "cache_read_input_tokens": 4425},
    ),
    "more written, of one lifetime": (
        WRITTEN,
        {"cache_creation_input_tokens": 5000},
        {
            **WRITTEN,
            "cache_creation_input_tokens": 5000,
            "cache_creation": {"ephemeral_5m_input_tokens": 5000, "ephemeral_1h_input_tokens": 0},
        },
    ),
    "more written, of both lifetimes: the contradiction stays": (
        BOTH,
        {"cache_creation_input_tokens": 5000},
        {**BOTH, "cache_creation_input_tokens": 5000},
    ),
    "breakdown restated": (
        WRITTEN,
        {
            "input_tokens": 317,
            "cache_creation_input_tokens": 4425,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 4425},
        },
        {**WRITTEN, "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 4425}},
    ),
    "breakdown of zeros beside the sum": (
        WRITTEN,
        {"cache_creation_input_tokens": 4425, "cache_creation": {"ephemeral_5m_input_tokens": 0}},
        WRITTEN,
    ),
    "nested zero": (
        {"server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0}},
        {"server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 1}},
        {"server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1}},
    ),
    "iterations": (
        {"iterations": [{"input_tokens": 1}]},
        {"iterations": []},
        {"iterations": [{"input_tokens": 1}]},
    ),
    "words": ({"service_tier": "standard"}, {"service_tier": "batch"}, {"service_tier": "batch"}),
    "no start": ({}, {"input_tokens": 0, "output_tokens": 3}, {"input_tokens": 0, "output_tokens": 3}),
}


@pytest.mark.parametrize(("start", "delta", "expected"), CASES.values(), ids=CASES.keys())
def test_merged_block_of_a_start_and_a_delta(
    start: dict[str, Any], delta: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert merged(merged({}, start), delta) == expected


def test_merged_block_of_several_deltas_grows() -> None:
    deltas = [{"output_tokens": 5}, {"input_tokens": 0, "output_tokens": 9}, {"output_tokens": 0}]
    assert reduce(merged, deltas, {"input_tokens": 15, "output_tokens": 1}) == {"input_tokens": 15, "output_tokens": 9}


values = st.none() | st.integers(-3, 10) | st.booleans() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
blocks = st.dictionaries(
    st.sampled_from([*PROMPT, "output_tokens", "cache_creation", "other"]),
    values | st.dictionaries(st.sampled_from(["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"]), values),
)


@given(st.lists(blocks, max_size=4))
def test_merged_block_of_anything_loses_no_count(several: list[dict[str, Any]]) -> None:
    known: dict[str, Any] = {}
    for later in several:
        before = known
        known = merged(known, later)
        assert before.keys() <= known.keys()
        assert not any(value is None for name, value in known.items() if name in later and before.get(name) is not None)
        if type(later.get("output_tokens")) is int and later["output_tokens"] == 0:
            assert known["output_tokens"] == (before.get("output_tokens") or 0)
