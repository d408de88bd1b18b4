"""Answers of many megabytes: recorded as small ones are, in a bounded number of bytes beside the caller's own."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_clients.body import buffer, shortening
from ai_clients.transport import record_calls
from tests.ai_clients.test_batches import LINES, RESULTS, SEARCH, jsonl
from tests.ai_clients.test_fuzz import (
    CHAT,
    IMAGES,
    MESSAGES,
    RESPONSES,
    SPEAK,
    Ask,
    Notes,
    assert_sound,
)
from tests.support.recorded import Recorded, usage_of
from tests.support.scripted import REQUEST_ID, USAGE, Body, Provider, chat_chunk, slices, sse
from tests.support.wire import chat, embeddings, images, response, response_events
from usage_billing.recording import health
from usage_billing.recording.event import Event

MIB = 2**20
LARGE = 40 * MIB
HELD = 24 * MIB
"""The most that recording may hold beside the caller; a third of it is what Python holds anyway."""

EMBEDDINGS: Ask = ("POST", "https://api.openai.com/v1/embeddings", {"model": "m", "input": "Hello"})
FILE: Ask = ("GET", "https://api.openai.com/v1/files/file-1/content", {})
RESULTS_OF: Ask = ("GET", "https://api.anthropic.com/v1/messages/batches/b/results", {})
JSON, STREAM = "application/json", "text/event-stream"


def streaming(ask: Ask) -> Ask:
    return (*ask[:2], {**ask[2], "stream": True})


def written(answer: dict[str, Any], text: str) -> bytes:
    return json.dumps(answer).replace("THE TEXT", text).encode()


def events(payloads: list[Any], text: str) -> bytes:
    return b"".join(sse(*payloads)).replace(b"THE TEXT", text.encode())


def long_response(**fields: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": []}
    message["content"] = [{"type": "output_text", "text": "THE TEXT", "annotations": []}]
    return {"output": [SEARCH, message], "tools": [{"type": "web_search"}], **fields}


MESSAGE_EVENTS = [
    {"type": "message_start", "message": {"id": "msg_01", "model": "c", "usage": {"input_tokens": 25}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "THE TEXT"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}},
    {"type": "message_stop"},
]
ANSWERS: dict[str, tuple[Ask, str, Callable[[str], bytes]]] = {
    "chat": (CHAT, JSON, lambda text: written(chat(message={"content": "THE TEXT"}), text)),
    "response": (RESPONSES, JSON, lambda text: written(response(**long_response()), text)),
    "image": (IMAGES, JSON, lambda text: written(images(data=[{"b64_json": "THE TEXT"}]), text)),
    "embeddings": (
        EMBEDDINGS,
        JSON,
        lambda text: json.dumps({**embeddings(), "data": [{"embedding": [0.12345678] * (len(text) // 12)}]}).encode(),
    ),
    "chat stream": (
        streaming(CHAT),
        STREAM,
        lambda text: events([chat_chunk("THE TEXT"), chat_chunk(None, usage=USAGE), "[DONE]"], text),
    ),
    "chat stream that does not say so": (
        streaming(CHAT),
        "text/plain",
        lambda text: events([chat_chunk("THE TEXT"), chat_chunk(None, usage=USAGE), "[DONE]"], text),
    ),
    "response stream": (
        streaming(RESPONSES),
        STREAM,
        lambda text: events(response_events("completed", **long_response()), text),
    ),
    "message stream": (streaming(MESSAGES), STREAM, lambda text: events(MESSAGE_EVENTS, text)),
    "speech": (SPEAK, "audio/mpeg", lambda text: text.encode()),
}
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": lambda body: body,
    "gzip": lambda body: gzip.compress(body, 1),
    "deflate": lambda body: zlib.compress(body, 1),
    "gzip, gzip": lambda body: gzip.compress(gzip.compress(body, 1), 1),
}


def held_while_read(ask: Ask, body: bytes, content_type: str, encoding: str = "identity", size: int = 65536) -> int:
    """The most bytes that are held at once while a caller reads the answer and keeps none of it."""
    method, url, asked = ask
    chunks = slices(ENCODINGS[encoding](body), size)
    headers = {"content-type": content_type, "x-request-id": REQUEST_ID}
    if encoding != "identity":
        headers["content-encoding"] = encoding
    with httpx2.Client(
        transport=Provider(lambda _: httpx2.Response(200, headers=headers, stream=Body(chunks)))
    ) as client:
        record_calls(client)
        tracemalloc.start()
        try:
            with client.stream(method, url, json=asked) as answer:
                for _ in answer.iter_raw():
                    pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def told(event: Event) -> dict[str, Any]:
    """The facts in the answer."""
    return {
        "usage": usage_of(event), "units": event.units, "context": event.context, "model": event.model,
        "status": event.status, "request_id": event.request_id[:3], "error_code": event.error_code,
    }  # fmt: skip


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("name", ANSWERS)
def test_large_answer_is_recorded_as_a_small_one_and_held_in_few_bytes(
    recorded: Recorded, name: str, encoding: str
) -> None:
    ask, content_type, body_of = ANSWERS[name]
    held_while_read(ask, body_of("x" * 24), content_type)
    assert held_while_read(ask, body_of("x" * LARGE), content_type, encoding) < HELD
    small, large = recorded.all()
    assert told(large) == told(small)
    if name != "speech":
        assert usage_of(large)


@pytest.mark.parametrize("encoding", ["deflate", "gzip, gzip"])
def test_compressed_answer_that_inflates_is_held_in_few_bytes(recorded: Recorded, encoding: str) -> None:
    body = written(chat(message={"content": "THE TEXT"}), "x" * 4 * LARGE)
    assert held_while_read(CHAT, body, JSON, encoding) < HELD
    assert usage_of(recorded.one()) == chat()["usage"]


@pytest.mark.parametrize("size", [65536, 2 * LARGE], ids=["network chunks", "one chunk"])
@pytest.mark.parametrize(
    ("ask", "content_type", "body"),
    [
        (CHAT, JSON, json.dumps(chat())[:-1].encode() + b',"x":[' + b'{"a":"b"},' * (LARGE // 10) + b"0]}"),
        (streaming(CHAT), STREAM, b'data: {"x":[' + b'{"a":"b"},' * (LARGE // 10) + b"0]}\n\ndata: [DONE]\n\n"),
        (
            streaming(MESSAGES),
            STREAM,
            b'data: {"type":"error","error":{"type":"%b"}}\n\n' * (2 * buffer.LINES_BYTES // 50),
        ),
        (CHAT, JSON, b'{"id":"' + b"x" * LARGE),
        (CHAT, JSON, b" " * LARGE + json.dumps(chat()).encode()),
    ],
    ids=["items", "items of an event", "errors", "no end", "spaces"],
)
def test_answer_that_cannot_be_held_is_recorded_without_its_usage(
    recorded: Recorded, ask: Ask, content_type: str, body: bytes, size: int
) -> None:
    held = held_while_read(ask, body, content_type, size=size)
    if size < LARGE:
        assert held < HELD
    event = recorded.one()
    assert_sound(event)
    assert usage_of(event) is None
    assert event.error_code
    assert health().lost == 0


def test_stream_that_tells_its_usage_in_each_of_many_chunks_is_recorded(recorded: Recorded) -> None:
    told_so_far = [{**USAGE, "total_tokens": number} for number in range(1, 20_001)]
    body = b"".join(sse(*[chat_chunk("word", usage=usage) for usage in told_so_far], "[DONE]"))
    assert len(body) > buffer.LINES_BYTES
    assert held_while_read(streaming(CHAT), body, STREAM) < HELD
    assert (told(recorded.one())["usage"], recorded.one().status) == (told_so_far[-1], "succeeded")


# ── Batches ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_large_batch_is_recorded_line_by_line(recorded: Recorded, encoding: str) -> None:
    line = LINES["chat"][0]
    answers = [chat(id=f"chatcmpl-{number:029}", message={"content": "x" * 8000}) for number in range(LARGE // 8192)]
    body = jsonl(*({**line, "response": {**line["response"], "body": answer}} for answer in answers))
    assert held_while_read(FILE, body, "application/octet-stream", encoding) < HELD
    assert [event.request_id for event in recorded.all()] == [answer["id"] for answer in answers]


@pytest.mark.parametrize(
    ("ask", "lines", "url", "request_id"),
    [
        (FILE, [LINES["chat"][0]] * 2, "https://api.openai.com/v1/chat/completions", "file-1:cut"),
        (RESULTS_OF, RESULTS[:2], "https://api.anthropic.com/v1/messages", "b:cut"),
    ],
    ids=["OpenAI", "Anthropic"],
)
def test_line_of_a_batch_that_cannot_be_held_is_recorded_without_its_usage(
    recorded: Recorded, ask: Ask, lines: list[Any], url: str, request_id: str
) -> None:
    first, second = (json.dumps(line).encode() + b"\n" for line in lines)
    items = b'{"a":"b"},' * (LARGE // 10)
    cut = b'{"custom_id":"cut","result":{},"response":{"status_code":200,"body":{"x":[' + items + b"0]}}}\n"
    assert held_while_read(ask, first + cut + second, "application/x-jsonl") < HELD
    _, event, _ = recorded.all()
    assert (event.request_id, event.url, event.status, event.error_code, usage_of(event)) == (
        request_id,
        url,
        "succeeded",
        "unreadable-answer",
        None,
    )
    assert health().lost == 0


def test_large_file_that_is_no_batch_is_not_held(recorded: Recorded) -> None:
    assert held_while_read(FILE, b'{"a": 1}\n' * (LARGE // 9), "application/octet-stream") < HELD
    other = jsonl({"custom_id": "1", "method": "POST", "url": "/v1/responses", "body": {}})
    assert held_while_read(FILE, other * (LARGE // len(other)), "application/octet-stream") < HELD
    assert (recorded.all(), health().lost) == ([], 0)


# ── Any cut ──────────────────────────────────────────────────────────────────────────────────────────────────────


@given(
    name=st.sampled_from(sorted(ANSWERS)),
    length=st.sampled_from([0, 30, 300, 2000, 5000]),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    cuts=st.lists(st.integers(0, 20_000), max_size=20),
)
@settings(max_examples=200)
def test_any_cut_gives_the_same_bytes_and_the_same_record(
    name: str, length: int, encoding: str, cuts: list[int]
) -> None:
    ask, content_type, body_of = ANSWERS[name]
    sent = ENCODINGS[encoding](body_of("y" * length))
    places = sorted({0, *(cut % (len(sent) + 1) for cut in cuts), len(sent)})

    def read(chunks: list[bytes]) -> tuple[bytes, dict[str, Any]]:
        headers = {"content-type": content_type, "content-encoding": encoding, "x-request-id": REQUEST_ID}
        provider = Provider(lambda _: httpx2.Response(200, headers=headers, stream=Body(chunks)))
        with pytest.MonkeyPatch.context() as patch, httpx2.Client(transport=provider) as client:
            notes = Notes(patch)
            patch.setattr(buffer, "FOLD_AFTER_BYTES", 500)
            patch.setattr(buffer, "VERBATIM_BYTES", 1000)
            patch.setattr(shortening, "VERBATIM_BYTES", 1000)
            record_calls(client)
            method, url, asked = ask
            with client.stream(method, url, json=asked) as answer:
                seen = b"".join(answer.iter_bytes())
            (event,) = notes.events
            assert notes.lost == []
            return seen, told(event)

    assert read([sent[start:stop] for start, stop in pairwise(places)]) == read([sent])
