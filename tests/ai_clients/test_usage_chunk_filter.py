"""Hiding the parts of a streamed chat completion that came only because we asked for its usage."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_clients import usage_chunk_filter
from ai_clients.usage_chunk_filter import LONGEST_USAGE_CHUNK, UsageChunkFilter
from tests.support.scripted import USAGE, chat_chunk, chat_events, slices, sse


def visible(chunks: list[bytes]) -> list[bytes]:
    usage_filter = UsageChunkFilter()
    return [*(usage_filter.feed(chunk) for chunk in chunks), usage_filter.flush()]


# ── Hiding ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
def test_filter_gives_what_a_server_that_was_not_asked_sends(end: str, size: int) -> None:
    events = b"".join(chat_events(asked=True, end=end))
    expected = b"".join(chat_events(asked=False, end=end))
    assert b"".join(visible(slices(events, size))) == expected


def test_filter_every_cut_in_two_gives_the_same() -> None:
    events = b"".join(chat_events(asked=True, end="\r\n"))
    expected = b"".join(chat_events(asked=False, end="\r\n"))
    assert {b"".join(visible([events[:cut], events[cut:]])) for cut in range(len(events))} == {expected}


def test_filter_complete_event_goes_through_at_once() -> None:
    events = chat_events(asked=True)
    assert visible(events) == [*chat_events(asked=False)[:-1], b"", b"data: [DONE]\n\n", b""]


@pytest.mark.parametrize("chunks", [1, 2, 3, 60])
def test_filter_events_that_come_together_are_treated_as_each_alone(chunks: int) -> None:
    events = chat_events(asked=True)
    together = [b"".join(events[start : start + chunks]) for start in range(0, len(events), chunks)]
    assert b"".join(visible(together)) == b"".join(chat_events(asked=False))


def test_filter_spaces_in_json_are_no_obstacle() -> None:
    spaced = b'data: {"id": "a", "choices": [1], "usage": null}\n\ndata: {"choices": [], "usage": {"a": 1}}\n\n'
    assert visible([spaced]) == [b'data: {"id": "a", "choices": [1]}\n\n', b""]


@pytest.mark.parametrize(
    "event",
    [
        *sse(chat_chunk(None, prompt_filter_results=[])),  # Azure's first chunk
        *sse(chat_chunk(None, prompt_filter_results=[{"usage": {}}])),
        *sse(chat_chunk("Hi", usage=USAGE)),
        *sse(chat_chunk('{"usage":null}, "usage": null')),
        b": keep-alive\n\n",
        b'data: "usage"\n\n',
        b'data: {"usage": {"a"\n\n',
        b'data: {"choices":[],"usage":{"a":1}} trailing\n\n',
        b'data: {"choices":' + b"[" * 100_000 + b'"usage"\n\n',
        b'event: x\ndata: {"choices":[1],"usage":{"a":1}}\n\n',
    ],
    ids=lambda event: event[:40].decode(),
)
def test_filter_keeps_what_is_not_the_usage_chunk(event: bytes) -> None:
    assert b"".join(visible([event])) == event


@pytest.mark.parametrize(
    "before", [b"event: message\n", b"id: 7\n", b": a comment\n", b"\n", b"id: 7\r\nevent: x\r\n"], ids=repr
)
@pytest.mark.parametrize("size", [1, 10_000])
def test_filter_hides_the_usage_chunk_whatever_lines_stand_before_its_data(before: bytes, size: int) -> None:
    """The SDK hands the caller the data of all of these: a chunk without choices, which it did not ask for."""
    unasked, end = b'data: {"choices":[1]}\n\n', b"data: [DONE]\n\n"
    hidden = before + b'data: {"choices":[],\ndata: "usage":{"a":1}}\n\n'
    assert b"".join(visible(slices(unasked + hidden + end, size))) == unasked + end


def test_filter_last_event_without_an_end_is_hidden_too() -> None:
    events = b"".join(chat_events(asked=True)[:-1]).rstrip(b"\n")
    assert b"".join(visible(slices(events, 5))) == b"".join(chat_events(asked=False)[:-1])


def test_filter_stream_cut_inside_an_event_gives_its_beginning() -> None:
    assert visible([b'data: {"id":"a"}\n\nda', b'ta: {"cho']) == [b'data: {"id":"a"}\n\n', b"", b'data: {"cho']


# ── Long events ──────────────────────────────────────────────────────────────────────────────────────────────────


def long_event(length: int, *, asked: bool, end: bytes = b"\n\n") -> bytes:
    """An event of at least so many bytes; its null usage lies at its end, as OpenAI writes it."""
    usage = b',"usage":null' if asked else b""
    return b'data: {"choices":[{"delta":{"content":"%s"}}]%s}%s' % (b"y" * length, usage, end)


def test_filter_holds_no_more_of_an_event_than_a_usage_chunk_may_have() -> None:
    event = long_event(16 * 2**20, asked=True)
    usage_filter = UsageChunkFilter()
    taken = given_back = most_held = 0
    for chunk in slices(event, 1024):
        taken += len(chunk)
        given_back += len(usage_filter.feed(chunk))
        most_held = max(most_held, taken - given_back)
    assert most_held <= LONGEST_USAGE_CHUNK
    assert given_back == len(long_event(16 * 2**20, asked=False))


def _with_long_event(end: str, *, asked: bool) -> bytes:
    usual, long = chat_events(asked=asked, end=end), long_event(2**20, asked=asked, end=end.encode() * 2)
    return b"".join([*usual, long, *usual])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_filter_searches_each_byte_once(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    searched = 0
    event_ends, without_null_usage = usage_chunk_filter._event_ends, usage_chunk_filter._without_null_usage

    def counting_event_ends(events: bytes, search_from: int) -> list[int]:
        nonlocal searched
        searched += len(events) - search_from
        return event_ends(events, search_from)

    def counting_without_null_usage(part: bytes) -> bytes:
        nonlocal searched
        searched += len(part)
        return without_null_usage(part)

    monkeypatch.setattr(usage_chunk_filter, "_event_ends", counting_event_ends)
    monkeypatch.setattr(usage_chunk_filter, "_without_null_usage", counting_without_null_usage)
    asked_for, unasked = (_with_long_event(end, asked=asked) for asked in (True, False))
    assert b"".join(visible(slices(asked_for, 1024))) == unasked
    # For the end of an event, and for a null usage.
    assert searched < 2.2 * len(asked_for)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_filter_finds_the_end_of_a_long_event_wherever_it_is_cut(end: bytes) -> None:
    rest = chat_events(asked=True)
    event = long_event(LONGEST_USAGE_CHUNK, asked=True, end=end)
    expected = long_event(LONGEST_USAGE_CHUNK, asked=False, end=end) + b"".join(chat_events(asked=False))
    for cut in range(1, 60):
        body = event + b"".join(rest)
        pieces = [body[:100], body[100 : len(event) - cut], body[len(event) - cut : len(event)], *rest]
        assert b"".join(visible(pieces)) == expected, cut
        assert b"".join(visible([body[: len(event) - cut], body[len(event) - cut :]])) == expected, cut


def test_filter_long_event_cut_by_the_network_gives_all_that_came() -> None:
    event = long_event(2 * LONGEST_USAGE_CHUNK, asked=True, end=b"")
    assert b"".join(visible(slices(event, 5000))) == long_event(2 * LONGEST_USAGE_CHUNK, asked=False, end=b"")


@pytest.mark.parametrize("size", [1000, 2**20])
def test_filter_takes_no_long_event_for_the_usage_chunk(size: int) -> None:
    usage = {**USAGE, "more": "x" * LONGEST_USAGE_CHUNK}
    body = b"".join(sse(chat_chunk(None, usage=usage), "[DONE]"))
    assert b"".join(visible(slices(body, size))) == body


CHUNKS = st.builds(
    lambda content, extra: chat_chunk(content, **extra),
    st.none()
    | st.text(max_size=8)
    | st.sampled_from(['"usage":null', ',"usage":null', "data: [DONE]\n\n", "y" * 300, ',"usage":null' * 40]),
    st.dictionaries(st.sampled_from(["service_tier", "x", "obfuscation"]), st.text(max_size=4), max_size=2),
)


def _events(chunks: list[dict[str, Any]], end: str, *, asked: bool) -> bytes:
    """The bytes of a server: null usage in each chunk and a chunk of usage where it was asked, nothing else."""
    null = {"usage": None} if asked else {}
    usage = [chat_chunk(None, usage=USAGE)] if asked else []
    return b"".join(sse(*({**chunk, **null} for chunk in chunks), *usage, "[DONE]", end=end))


@given(
    chunks=st.lists(CHUNKS, max_size=5),
    longest=st.sampled_from([len(sse(chat_chunk(None, usage=USAGE), end="\r\n")[0]), LONGEST_USAGE_CHUNK]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 3000), max_size=12),
)
@settings(max_examples=200)
def test_filter_any_events_in_any_slices_equal_the_reference(
    chunks: list[dict[str, Any]], longest: int, end: str, cuts: list[int]
) -> None:
    body = _events(chunks, end, asked=True)
    places = sorted({0, *(min(cut, len(body)) for cut in cuts), len(body)})
    pieces = [body[start:stop] for start, stop in pairwise(places)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usage_chunk_filter, "LONGEST_USAGE_CHUNK", longest)
        assert b"".join(visible(pieces)) == _events(chunks, end, asked=False)


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"\n\n", b"data: ", b'{"usage":', b'"choices":[]'])))
@settings(max_examples=100)
def test_filter_bytes_without_usage_pass_whatever_they_are(pieces: list[bytes]) -> None:
    body = b"".join(pieces).replace(b"usage", b"")
    assert b"".join(visible(slices(body, 7))) == body
