"""The caller gets the provider's bytes and one event is recorded, for any answer that is cut anywhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ai_clients import call, transport
from ai_clients.transport import record_calls
from tests.ai_clients.test_batches import LINES, RESULTS, jsonl
from tests.ai_clients.test_openai_audio import DONE, SECONDS, STREAMS
from tests.ai_clients.test_openai_wire import CITATION, SVG, image_done, partial_image
from tests.ai_clients.usage.test_openai_tools import CASES
from tests.support.scripted import MESSAGE, Body, Provider, slices, sse
from tests.support.wire import chat, chat_chunks, images, response, response_events
from usage_billing.recording.event import Event, decode, encode

OPENAI = "https://api.openai.com/v1"
TOOLS = CASES["all at once"][0]
MESSAGE_ANSWER = {"id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "model": "claude-sonnet-4-6", "content": []}
MESSAGE_EVENTS = [
    {"type": "message_start", "message": {**MESSAGE_ANSWER, "usage": {"input_tokens": 25, "output_tokens": 1}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 'message_delta "usage": {"'}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}},
    {"type": "message_stop"},
]
SPEECH = [{"type": "speech.audio.delta", "audio": "AAAA"}, DONE]

Ask = tuple[str, str, dict[str, Any]]
CHAT: Ask = ("POST", f"{OPENAI}/chat/completions", {"model": "m", "messages": []})
LEGACY: Ask = ("POST", f"{OPENAI}/completions", {"model": "m", "prompt": "Hello"})
RESPONSES: Ask = ("POST", f"{OPENAI}/responses", {"model": "m", "input": "Hello"})
MESSAGES: Ask = ("POST", "https://api.anthropic.com/v1/messages", MESSAGE)
IMAGES: Ask = ("POST", f"{OPENAI}/images/generations", {"model": "m", "prompt": "A desk"})
SPEAK: Ask = ("POST", f"{OPENAI}/audio/speech", {"model": "m", "input": "Hello"})
TRANSCRIBE: Ask = ("POST", f"{OPENAI}/audio/transcriptions", {"model": "m"})
STREAMED: dict[str, tuple[Ask, bytes]] = {
    "chat": (CHAT, b"".join(sse(*chat_chunks({"annotations": [CITATION]}), "[DONE]"))),
    "legacy": (LEGACY, b"".join(sse(*chat_chunks({}), "[DONE]", end="\r\n"))),
    "responses": (RESPONSES, b"".join(sse(*response_events("completed", **TOOLS), names=True))),
    "background": (RESPONSES, b"".join(sse(*response_events("completed", background=True), names=True))),
    "messages": (MESSAGES, b"".join(sse(*MESSAGE_EVENTS, names=True))),
    "images": (IMAGES, b"".join(sse(partial_image(), image_done(), names=True))),
    "speech": (SPEAK, b"".join(sse(*SPEECH))),
    "transcription": (TRANSCRIBE, b"".join(sse(*STREAMS["tokens"][0], names=True))),
}
PLAIN: dict[str, tuple[Ask, bytes]] = {
    "chat": (CHAT, json.dumps(chat(message={"annotations": [CITATION]})).encode()),
    "responses": (RESPONSES, json.dumps(response(**TOOLS)).encode()),
    "messages": (MESSAGES, json.dumps({**MESSAGE_ANSWER, "usage": {"input_tokens": 1}}).encode()),
    "images": (IMAGES, json.dumps(images(svg_usage=SVG)).encode()),
    "transcription": (TRANSCRIBE, json.dumps({"text": "Hi", "duration": 2.5, "usage": SECONDS}).encode()),
}
FETCHED: dict[str, tuple[Ask, bytes]] = {
    "settling": (("GET", f"{OPENAI}/responses/resp_1", {}), json.dumps(response(background=True)).encode()),
    "batch": (("GET", f"{OPENAI}/files/file-1/content", {}), jsonl(*(written for written, _ in LINES.values()))),
    "results": (("GET", "https://api.anthropic.com/v1/messages/batches/b/results", {}), jsonl(*RESULTS)),
}


class Notes:
    """The events of a call, and those that the recorder lost."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.events: list[Event] = []
        self.lost: list[Exception] = []
        patch.setattr(call, "record", lambda *events: self.events.extend(events))
        patch.setattr(call, "lost", self.lost.append)
        patch.setattr(transport, "lost", self.lost.append)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    return Notes(monkeypatch)


def answer_of(body: bytes, content_type: str, size: int, *, breaks: bool) -> httpx2.Response:
    error = httpx2.ReadError("cut") if breaks else None
    return httpx2.Response(200, headers={"content-type": content_type}, stream=Body(slices(body, size), error))


def read(ask: Ask, answer: httpx2.Response) -> bytes:
    """The bytes that a caller gets."""
    method, url, asked = ask
    seen = b""
    with httpx2.Client(transport=Provider(lambda _: answer)) as client:
        record_calls(client)
        try:
            with client.stream(method, url, json=asked) as response:
                for chunk in response.iter_bytes():
                    seen += chunk
        except httpx2.ReadError:
            pass
    return seen


async def read_async(ask: Ask, answer: httpx2.Response) -> bytes:
    method, url, asked = ask
    seen = b""
    async with httpx2.AsyncClient(transport=Provider(lambda _: answer)) as client:
        record_calls(client)
        try:
            async with client.stream(method, url, json=asked) as response:
                async for chunk in response.aiter_bytes():
                    seen += chunk
        except httpx2.ReadError:
            pass
    return seen


def unasked(body: bytes) -> bytes:
    """The chat events of a server that is not asked for usage, by an independent implementation of the rule."""
    return b"".join(_unasked(body))


def _unasked(body: bytes) -> Iterator[bytes]:
    end = b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
    *events, rest = body.split(end)
    for event in events:
        if b'"choices":[]' not in event:
            yield event.replace(b',"usage":null', b"") + end
    try:
        whole = b'"choices":[]' in rest and bool(json.loads(rest.removeprefix(b"data:")))
    except ValueError:
        whole = False
    yield b"" if whole else rest.replace(b',"usage":null', b"")


def assert_sound(event: Event) -> None:
    """An event that the ledger can read, and that counts nothing below zero."""
    assert encode(decode(encode(event))) == encode(event)
    assert isinstance(msgspec.json.decode(event.usage), dict | None)
    assert all(value > 0 for value in event.units.values())
    assert all(isinstance(msgspec.json.decode(part.usage), dict) for part in event.parts)
    assert event.status in ("succeeded", "failed", "aborted", "pending")


@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("content_type", ["text/event-stream", "text/plain"])
def test_stream_cut_at_every_byte(notes: Notes, name: str, content_type: str) -> None:
    ask, body = STREAMED[name]
    ask = (*ask[:2], {**ask[2], "stream": True})
    hides = name in ("chat", "legacy")
    for cut in range(len(body) + 1):
        sent = body[:cut]
        seen = read(ask, answer_of(sent, content_type, size=1 + cut % 97, breaks=cut % 2 == 1))
        assert seen == (unasked(sent) if hides else sent), cut
        (event,) = notes.events
        notes.events.clear()
        assert_sound(event)
        if cut == len(body):
            assert (event.status, bytes(event.usage) != b"null") == ("succeeded", True)
    assert notes.lost == []


@pytest.mark.parametrize("name", STREAMED)
def test_stream_cut_at_many_bytes_async(notes: Notes, name: str) -> None:
    ask, body = STREAMED[name]
    ask = (*ask[:2], {**ask[2], "stream": True})
    hides = name in ("chat", "legacy")

    async def cut_all() -> None:
        for cut in range(0, len(body) + 1, 23):
            answer = answer_of(body[:cut], "text/event-stream", size=1 + cut % 97, breaks=cut % 2 == 1)
            seen = await read_async(ask, answer)
            assert seen == (unasked(body[:cut]) if hides else body[:cut]), cut
            (event,) = notes.events
            notes.events.clear()
            assert_sound(event)

    asyncio.run(cut_all())
    assert notes.lost == []


@pytest.mark.parametrize("name", PLAIN)
def test_plain_answer_cut_at_every_byte(notes: Notes, name: str) -> None:
    ask, body = PLAIN[name]
    for cut in range(len(body) + 1):
        sent = body[:cut]
        assert read(ask, answer_of(sent, "application/json", size=1 + cut % 97, breaks=cut % 2 == 1)) == sent
        (event,) = notes.events
        notes.events.clear()
        assert_sound(event)
        assert event.status == ("aborted" if cut % 2 == 1 and cut < len(body) else "succeeded"), cut
    assert notes.lost == []


@pytest.mark.parametrize("name", FETCHED)
def test_fetch_cut_at_every_byte(notes: Notes, name: str) -> None:
    ask, body = FETCHED[name]
    before = 0
    for cut in range(0, len(body) + 1, 3):
        sent = body[:cut]
        assert read(ask, answer_of(sent, "application/octet-stream", size=1 + cut % 97, breaks=True)) == sent
        assert len(notes.events) >= before
        before = len(notes.events)
        for event in notes.events:
            assert_sound(event)
        notes.events.clear()
    assert notes.lost == []


WORDS = [
    b"", b"{", b"}", b'"', b"\\ud83d", b"\xff", b"null", b"[]", b"{}", b"-1", b"1e999", b"NaN", b"true", b"\r", b"\n\n",
    b"data: ", b"data: [DONE]\n\n", b"event: x\n", b"[" * 2000, b"9" * 400, b'"usage"', b'"error"', b'"custom_id"',
    b'"web_search_call"', b'"url_citation"', b'{"type":"error"}', b'"background":true', b'"duration":-3',
    b'"num_requests":-1',
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, bodies: list[tuple[Ask, bytes]]) -> tuple[Ask, bytes]:
    """A body in which a few pieces were cut out, doubled, or replaced by words that mean something elsewhere."""
    ask, body = draw(st.sampled_from(bodies))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        stop = min(len(body), start + draw(st.integers(0, 40)))
        word = draw(st.sampled_from(WORDS) | st.binary(max_size=4) | st.just(body[start:stop] * 2))
        body = body[:start] + word + body[stop:]
    return ask, body


MADE = [*PLAIN.values(), *((ask, body) for ask, body in STREAMED.values())]


@given(
    case=mutated(MADE),
    content_type=st.sampled_from(["text/event-stream", "application/json", "text/plain"]),
    streams=st.booleans(),
    size=st.sampled_from([1, 7, 64, 100_000]),
    breaks=st.booleans(),
)
@example(
    case=(CHAT, b'data: {"usage":{"a":"\xff"}}\n\n'), content_type="text/plain", streams=True, size=7, breaks=False
)
@example(case=(SPEAK, b"data:"), content_type="audio/mpeg", streams=True, size=1, breaks=False)
@settings(max_examples=400)
def test_mutated_answer_is_the_callers_and_makes_one_event(
    case: tuple[Ask, bytes], content_type: str, streams: bool, size: int, breaks: bool
) -> None:
    (method, url, asked), body = case
    # A caller who asks for usage is shown it: then every byte is the provider's.
    options = {"stream": True, "stream_options": {"include_usage": True}, "stream_format": "sse"} if streams else {}
    with pytest.MonkeyPatch.context() as patch:
        notes = Notes(patch)
        seen = read((method, url, {**asked, **options}), answer_of(body, content_type, size, breaks=breaks))
        assert seen == body
        (event,) = notes.events
        assert_sound(event)
        assert notes.lost == []


@given(case=mutated(list(FETCHED.values())), size=st.sampled_from([1, 64, 100_000]), breaks=st.booleans())
@settings(max_examples=200)
def test_mutated_fetch_is_the_callers_and_makes_sound_events(case: tuple[Ask, bytes], size: int, breaks: bool) -> None:
    ask, body = case
    with pytest.MonkeyPatch.context() as patch:
        notes = Notes(patch)
        assert read(ask, answer_of(body, "application/octet-stream", size, breaks=breaks)) == body
        for event in notes.events:
            assert_sound(event)
        assert all(isinstance(error, msgspec.DecodeError) for error in notes.lost)
