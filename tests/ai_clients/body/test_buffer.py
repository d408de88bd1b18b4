"""The bytes that are kept of a body, how many, and the lines of a long stream that are dropped."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_clients.body import buffer as buffer_module
from ai_clients.body.buffer import (
    FOLD_AFTER_CHUNKS,
    LINES_BYTES,
    BatchBuffer,
    BodyBuffer,
    UnreadableBodyError,
    content_decoder,
    thinned,
)
from ai_clients.body.shortening import VERBATIM_BYTES
from ai_clients.usage import anthropic_usage, openai_usage
from ai_clients.usage.answer import Answer, payloads
from tests.support.scripted import USAGE, chat_chunk, chat_events, slices, sse
from usage_billing.recording.event import Flavour


def taken(chunks: Iterable[bytes], *, streamed: bool = True, encoding: str | None = None) -> BodyBuffer:
    buffer = BodyBuffer(streamed=streamed, encoding=encoding)
    for chunk in chunks:
        if buffer.take(chunk):
            buffer.fold()
    return buffer


def answer(chunks: list[bytes]) -> Answer:
    return openai_usage.read_stream("chat", payloads(taken(chunks).lines()))


def kept_bytes(buffer: BodyBuffer) -> int:
    return sum(map(len, buffer.lines()))


def test_body_is_all_that_came() -> None:
    assert taken([b"ab", b"", b"c\xff"], streamed=False).body() == b"abc\xff"


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("gzip, deflate", lambda b: zlib.compress(gzip.compress(b)))],
)
def test_content_decoder_of_httpx2_decodes_in_small_pieces(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    """`httpx2.Response._get_content_decoder` is private: a new version of httpx2 may name it otherwise."""
    pieces = list(content_decoder(encoding).decode(compress(b"x" * 5_000_000)))
    assert b"".join(pieces) == b"x" * 5_000_000
    assert max(map(len, pieces)) <= 2**20


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip, gzip, gzip, gzip, gzip"])
def test_body_that_is_not_compressed_as_it_says_is_kept_as_it_came(encoding: str, size: int) -> None:
    assert taken(slices(b'{"a": 1}', size), streamed=False, encoding=encoding).body() == b'{"a": 1}'


def test_body_whose_compression_breaks_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer_module, "FOLD_AFTER_BYTES", 1)
    compressor = zlib.compressobj()
    sound = compressor.compress(b'{"a": 1, ') + compressor.flush(zlib.Z_SYNC_FLUSH)
    buffer = taken([b"", sound, b"\xff" * 1000, b"more"], streamed=False, encoding="deflate")
    with pytest.raises(UnreadableBodyError):
        buffer.body()


def test_thinned_lines_keep_the_first_and_the_last_two_of_each_kind() -> None:
    usage, error = (b'data: {"usage":{"a":%d}}', b'data: {"error":%d}')
    lines = [usage % 1, error % 1, *(usage % number for number in range(2, 9)), error % 2, b"data: [DONE]"]
    assert thinned(lines) == [usage % 1, error % 1, usage % 7, usage % 8, error % 2, b"data: [DONE]"]


def test_lines_may_end_in_any_way() -> None:
    assert taken([b"a\r", b"\nb\nc\rd"]).lines() == [b"a", b"b", b"c", b"d"]


def test_body_of_a_small_plain_answer_is_kept_as_it_came() -> None:
    chunks = [b'{"a":\n'] * (FOLD_AFTER_CHUNKS * 2)
    assert taken(chunks, streamed=False).body() == b"".join(chunks)


@pytest.mark.parametrize("asked", [True, False], ids=["null usage in each chunk", "no usage"])
def test_long_stream_lets_go_of_what_tells_nothing(asked: bool) -> None:
    null = {"usage": None} if asked else {}
    chunks = sse(*(chat_chunk("word " * 20, **null) for _ in range(FOLD_AFTER_CHUNKS * 3)))
    buffer = taken([*chunks, *sse(chat_chunk(None, usage=USAGE), "[DONE]")])
    assert kept_bytes(buffer) < sum(map(len, chunks)) // 100
    read = openai_usage.read_stream("chat", payloads(buffer.lines()))
    assert (read.id, read.model, read.status) == (chat_chunk()["id"], chat_chunk()["model"], "succeeded")
    assert json.loads(bytes(read.usage)) == USAGE


def test_long_stream_keeps_the_first_event_and_the_error() -> None:
    chunks = sse(*(chat_chunk("word") for _ in range(FOLD_AFTER_CHUNKS)), {"error": {"code": "server_error"}})
    read = answer([*chunks, *sse(*(chat_chunk("word") for _ in range(FOLD_AFTER_CHUNKS)))])
    assert (read.id, read.status, read.error_code) == (chat_chunk()["id"], "aborted", "server_error")


def test_long_stream_keeps_what_anthropic_tells() -> None:
    start = {"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 5}}}
    text = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 50}}
    delta = {"type": "message_delta", "usage": {"output_tokens": 9}}
    events = sse(start, *([text] * FOLD_AFTER_CHUNKS * 2), delta, {"type": "message_stop"}, names=True)
    buffer = taken(events)
    read = anthropic_usage.read_stream("messages", payloads(buffer.lines()))
    assert (read.id, json.loads(bytes(read.usage))) == ("m", {"input_tokens": 5, "output_tokens": 9})
    assert kept_bytes(buffer) < FOLD_AFTER_CHUNKS * 3


def test_huge_event_in_small_chunks_is_whole() -> None:
    huge = sse(chat_chunk("y" * 200_000), chat_chunk(None, usage=USAGE), "[DONE]")
    assert json.loads(bytes(answer(slices(b"".join(huge), 100)).usage)) == USAGE


EVENTS = st.lists(
    st.sampled_from(
        [
            *chat_events(asked=True),
            *chat_events(asked=False, end="\r\n"),
            *sse({"error": {"code": "c"}}, {"type": "response.completed", "response": {"usage": {"a": 1}}}),
            b": comment\n\n",
            b"event: x\ndata: 1\n\n",
        ]
    ),
    max_size=8,
)


@given(events=EVENTS, size=st.integers(1, 60), cut=st.integers(0, 200), fold_after=st.integers(1, 300))
@settings(max_examples=200)
def test_slicing_and_folding_do_not_change_the_answer(
    events: list[bytes], size: int, cut: int, fold_after: int
) -> None:
    # The first event of every stream is an object; it names the model and the id.
    body = b"".join([*chat_events(asked=False)[:1], *events])
    body = body[: max(0, len(body) - cut)]
    whole = openai_usage.read_stream("chat", payloads(body.splitlines()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffer_module, "FOLD_AFTER_BYTES", fold_after)
        sliced = answer(slices(body, size))
    # Raw blocks are equal only if they are the same object: compare what is in them.
    assert bytes(sliced.usage) == bytes(whole.usage)
    assert sliced == msgspec.structs.replace(whole, usage=sliced.usage)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("body", "kept"),
    [(b"yes, and more", True), (b"yes", True), (b"ye", True), (b"no", False), (b"y", True), (b"", True)],
)
def test_buffer_keeps_a_body_by_its_beginning(body: bytes, kept: bool, size: int) -> None:
    def wanted(beginning: bytes) -> bool | None:
        return True if beginning.startswith(b"yes") else None if b"yes".startswith(beginning) else False

    buffer = BodyBuffer(streamed=False, wanted=wanted)
    for chunk in slices(body, size):
        buffer.take(chunk)
    assert buffer.body() == (body if kept else b"")


@pytest.mark.parametrize(
    ("body", "whole", "expected"),
    [
        (b"", True, []),
        (b"a\n", False, [b"a"]),
        (b"a\r\nb\n\n", True, [b"a", b"b"]),
        (b"a\nb", False, [b"a"]),
        (b"a\nb", True, [b"a", b"b"]),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_batch_buffer_has_the_lines_that_are_complete(
    body: bytes, whole: bool, expected: list[bytes], size: int
) -> None:
    buffer = BatchBuffer(streamed=False)
    for chunk in slices(body, size):
        buffer.take(chunk)
    assert [line for lines in buffer.pop_lines(whole=whole) for line in lines] == expected
    assert list(buffer.pop_lines(whole=False)) == []


@pytest.mark.parametrize(
    ("flavour", "done"),
    [
        ("images", {"type": "image_generation.completed"}),
        ("images", {"type": "image_edit.completed"}),
        ("transcription", {"type": "transcript.text.done"}),
        ("speech", {"type": "speech.audio.done"}),
    ],
)
def test_long_stream_keeps_the_event_that_ends_it(flavour: Flavour, done: dict[str, str]) -> None:
    events = sse(*[{"type": "delta", "text": "x"}] * FOLD_AFTER_CHUNKS, done, *[{"type": "delta"}] * FOLD_AFTER_CHUNKS)
    assert openai_usage.read_stream(flavour, payloads(taken(events).lines())).status == "succeeded"


def test_stream_of_many_images_tells_its_usage() -> None:
    """Each is small enough to be kept as it came; together they are not."""
    done = {
        "type": "image_generation.completed",
        "b64_json": "A" * (VERBATIM_BYTES - 1000),
        "usage": {"input_tokens": 5},
    }
    lines = taken(sse(*[done] * (2 * LINES_BYTES // VERBATIM_BYTES), names=True)).lines()
    read = openai_usage.read_stream("images", payloads(lines))
    assert (bytes(read.usage), read.context) == (b'{"input_tokens":5}', {"images": "several-usages"})
    assert sum(map(len, lines)) < LINES_BYTES


def test_long_stream_keeps_its_citations() -> None:
    cites = chat_chunk("word", annotations=[{"type": "url_citation"}])
    chunks = sse(*[chat_chunk("word")] * FOLD_AFTER_CHUNKS, cites, *[chat_chunk("word")] * FOLD_AFTER_CHUNKS, "[DONE]")
    assert answer(chunks).context == {"search": "unknown-number"}


# ── Folding ──────────────────────────────────────────────────────────────────────────────────────────────────────

odd_chunks = st.sampled_from(
    [
        chat_chunk("word"),
        chat_chunk("word", usage=None),
        chat_chunk('"usage":{"x":1}'),
        chat_chunk(None, usage=USAGE),
        chat_chunk(None, usage={"prompt_tokens": 1}, service_tier="flex"),
        chat_chunk("word", annotations=[{"type": "url_citation"}]),
        {"error": {"code": "server_error"}},
        {"id": "another", "usage": {"prompt_tokens": 2}},
        "not JSON",
        "",
        "[DONE]",
    ]
)


@given(
    st.lists(odd_chunks, max_size=6),
    st.sampled_from([["[DONE]"], [chat_chunk(None, usage=USAGE), "[DONE]"], []]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(0, 12),
)
def test_folded_stream_says_the_same(chunks: list[object], closing: list[object], end: str, cut: int) -> None:
    body = b"".join(sse(chat_chunk("first"), *chunks, *closing, end=end))
    body = body[: len(body) - cut]
    folded = taken([body])
    folded.fold()
    assert openai_usage.read_stream("chat", payloads(folded.lines())) == answer([body])
