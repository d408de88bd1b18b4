"""Speech and transcription: tokens or seconds from the answer, else characters and seconds from the request."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai.types.audio import (
    Transcription,
    TranscriptionDiarized,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
    Translation,
    TranslationVerbose,
)

from ai_clients import OpenAI
from ai_clients.body.buffer import BodyBuffer
from ai_clients.call import _may_be_stream
from tests.support import audio
from tests.support.recorded import Recorded
from tests.support.scripted import REQUEST_ID, Body, Provider, plain, sse, streamed
from tests.support.wire import async_openai_of, body, one, openai_of, wav

HOST = "https://api.openai.com/v1"
TOKENS = {
    "type": "tokens",
    "input_tokens": 14,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
    "output_tokens": 45,
    "total_tokens": 59,
}
SECONDS = {"type": "duration", "seconds": 9}
HEARD = {
    "request_id": REQUEST_ID,
    "flavour": "transcription",
    "url": f"{HOST}/audio/transcriptions",
    "status": "succeeded",
    "model": "gpt-4o-transcribe",
}
SPOKEN = {
    "request_id": REQUEST_ID,
    "flavour": "speech",
    "url": f"{HOST}/audio/speech",
    "status": "succeeded",
    "model": "gpt-4o-mini-tts",
}
WHISPER = {**HEARD, "model": "whisper-1"}
ASK: dict[str, Any] = {"model": "gpt-4o-transcribe", "file": ("a.wav", wav(1.5))}
SPEAK: dict[str, Any] = {"model": "gpt-4o-mini-tts", "voice": "alloy"}
UNITS = {"audio_seconds": 1.5, "input_audio_seconds": 1.5}


def typed(answer: bytes, content_type: str = "text/plain; charset=utf-8") -> httpx2.Response:
    return plain(answer, headers={"content-type": content_type})


def transcribed(client: OpenAI, **fields: Any) -> object:
    return client.audio.transcriptions.create(**{**ASK, **fields})


JSON: dict[str, tuple[dict[str, Any], object, dict[str, Any]]] = {
    "tokens": ({}, body(Transcription, text="Hi", usage=TOKENS), {**HEARD, "usage": TOKENS}),
    "seconds": ({"model": "whisper-1"}, body(Transcription, text="Hi", usage=SECONDS), {**WHISPER, "usage": SECONDS}),
    "verbose, seconds": (
        {"model": "whisper-1", "response_format": "verbose_json"},
        body(TranscriptionVerbose, text="Hi", language="en", duration=8.47, usage=SECONDS),
        {**WHISPER, "usage": SECONDS},
    ),
    "verbose, duration": (
        {"model": "whisper-1", "response_format": "verbose_json"},
        body(TranscriptionVerbose, text="Hi", language="en", duration=8.47),
        {**WHISPER, "units": {"audio_seconds": 8.47, "input_audio_seconds": 8.47}},
    ),
    "diarized": (
        {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json"},
        body(TranscriptionDiarized, text="Hi", task="transcribe", duration=8.47, segments=[], usage=TOKENS),
        {**HEARD, "model": "gpt-4o-transcribe-diarize", "usage": TOKENS},
    ),
    "no usage": ({"model": "whisper-1"}, body(Transcription, text="Hi"), {**WHISPER, "units": UNITS}),
    "no usage, not audio": ({"model": "whisper-1", "file": ("a.mp3", b"ID3")}, {"text": "Hi"}, WHISPER),
    "strange duration": ({"model": "whisper-1"}, {"text": "Hi", "duration": "8"}, {**WHISPER, "units": UNITS}),
}


@pytest.mark.parametrize(("asked", "answer", "expected"), JSON.values(), ids=JSON.keys())
def test_transcription(recorded: Recorded, asked: dict[str, Any], answer: object, expected: dict[str, Any]) -> None:
    transcribed(openai_of(lambda _: plain(answer)), **asked)
    assert one(recorded) == expected


@pytest.mark.parametrize("format_", ["text", "srt", "vtt"])
@pytest.mark.parametrize("answer", [b"Hello\n", b"", b"123", b'{"usage": {"seconds": 99}}', b"data: lies"])
def test_transcription_as_text_lasts_as_long_as_its_file(recorded: Recorded, format_: str, answer: bytes) -> None:
    transcribed(openai_of(lambda _: typed(answer)), model="whisper-1", response_format=format_)
    assert one(recorded) == {**WHISPER, "units": UNITS}


DEPRECATED = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # translations, by the SDK


@DEPRECATED
def test_translation(recorded: Recorded) -> None:
    client = openai_of(lambda _: plain(body(Translation, text="Hi")))
    client.audio.translations.create(model="whisper-1", file=("a.wav", wav(1.5)))
    assert one(recorded) == {**WHISPER, "url": f"{HOST}/audio/translations", "units": UNITS}


@DEPRECATED
def test_translation_verbose(recorded: Recorded) -> None:
    client = openai_of(lambda _: plain(body(TranslationVerbose, text="Hi", language="english", duration=2.5)))
    client.audio.translations.create(model="whisper-1", file=("a.mp3", b"ID3"), response_format="verbose_json")
    units = {"audio_seconds": 2.5, "input_audio_seconds": 2.5}
    assert one(recorded) == {**WHISPER, "url": f"{HOST}/audio/translations", "units": units}


DELTA = {"type": "transcript.text.delta", "delta": '"transcript.text.done" {"usage": {}}'}
STREAMS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "tokens": (
        [DELTA, body(TranscriptionTextDoneEvent, type="transcript.text.done", text="Hi", usage=TOKENS)],
        {**HEARD, "usage": TOKENS},
    ),
    "no usage": (
        [DELTA, body(TranscriptionTextDoneEvent, type="transcript.text.done", text="Hi")],
        {**HEARD, "units": UNITS},
    ),
    "cut short": ([DELTA], {**HEARD, "status": "aborted", "units": UNITS}),
    "error inside": (
        [DELTA, {"type": "error", "code": "server_error", "message": "secret"}],
        {**HEARD, "status": "aborted", "error_code": "server_error", "units": UNITS},
    ),
}


@pytest.mark.parametrize("content_type", ["text/event-stream", "text/plain"])
@pytest.mark.parametrize(("events", "expected"), STREAMS.values(), ids=STREAMS.keys())
def test_transcription_stream(
    recorded: Recorded, events: list[dict[str, Any]], expected: dict[str, Any], content_type: str
) -> None:
    client = openai_of(lambda _: streamed(*sse(*events, names=True), headers={"content-type": content_type}))
    list(client.audio.transcriptions.create(**ASK, stream=True))
    assert one(recorded) == expected


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise io.UnsupportedOperation


FILES: dict[str, tuple[Callable[[Path], Any], bool]] = {
    "bytes": (lambda path: path.read_bytes(), True),
    "named bytes": (lambda path: ("a.wav", path.read_bytes()), True),
    "path": (lambda path: path, True),
    "opened": (lambda path: path.open("rb"), True),
    "with headers": (lambda path: ("a.wav", path.read_bytes(), "audio/wav", {"X-Part": "1"}), True),
    "in memory": (lambda path: io.BytesIO(path.read_bytes()), True),
    "not seekable": (lambda path: Unseekable(path.read_bytes()), False),
}


@pytest.mark.parametrize(("file", "known"), FILES.values(), ids=FILES.keys())
def test_file_reaches_the_provider_as_it_is(
    recorded: Recorded, tmp_path: Path, file: Callable[[Path], Any], known: bool
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(1.5))
    bodies: list[bytes] = []

    class Sending(httpx2.BaseTransport):
        """As a real one: it sends the form piece by piece, and the request is never read as a whole."""

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            assert isinstance(request.stream, httpx2.SyncByteStream)
            bodies.append(b"".join(request.stream))
            return typed(b"Hello")

    client = OpenAI(api_key="k", http_client=httpx2.Client(transport=Sending()))
    opened = file(path)
    transcribed(client, model="whisper-1", response_format="text", file=opened)
    place = opened.tell() if hasattr(opened, "tell") else None
    assert wav(1.5) in bodies[0]
    assert place in (None, len(wav(1.5)))
    if hasattr(opened, "close"):
        opened.close()
    assert one(recorded) == ({**WHISPER, "units": UNITS} if known else WHISPER)


def test_file_that_was_read_by_a_hook_names_its_model(recorded: Recorded) -> None:
    hooks: dict[str, list[Callable[..., Any]]] = {"request": [lambda request: request.read()]}
    transport = Provider(lambda _: plain({"text": "Hi"}))
    http_client = httpx2.Client(transport=transport, event_hooks=hooks)
    transcribed(OpenAI(api_key="k", http_client=http_client), model="whisper-1")
    event = recorded.one()
    assert (event.model, event.status) == ("whisper-1", "succeeded")


@pytest.mark.anyio
async def test_transcription_async(recorded: Recorded) -> None:
    client = async_openai_of(lambda _: typed(b"Hello"))
    await client.audio.transcriptions.create(
        model="whisper-1", file=("a.wav", io.BytesIO(wav(1.5))), response_format="text"
    )
    assert one(recorded) == {**WHISPER, "units": UNITS}


@pytest.mark.anyio
async def test_transcription_stream_async(recorded: Recorded) -> None:
    client = async_openai_of(lambda _: streamed(*sse(*STREAMS["tokens"][0], names=True)))
    async for _ in await client.audio.transcriptions.create(**ASK, stream=True):
        pass
    assert one(recorded) == {**HEARD, "usage": TOKENS}


# ── Speech ───────────────────────────────────────────────────────────────────────────────────────────────────────

SOUND = [b"\xff\xfbdata: no", b"\x00" * 50]
DONE = {"type": "speech.audio.done", "usage": {"input_tokens": 11, "output_tokens": 60, "total_tokens": 71}}
AUDIO = {"type": "speech.audio.delta", "audio": "AAAA"}


def sound(*chunks: bytes) -> httpx2.Response:
    headers = {"content-type": "audio/mpeg", "x-request-id": REQUEST_ID}
    return httpx2.Response(200, headers=headers, stream=Body(chunks))


@pytest.mark.parametrize("model", ["tts-1", "tts-1-hd", "gpt-4o-mini-tts"])
@pytest.mark.parametrize(("spoken", "characters"), [("Hello", 5), ("Привет, мир 😀", 13), (" \n", 2)])
def test_speech_is_counted_by_what_is_spoken(recorded: Recorded, model: str, spoken: str, characters: int) -> None:
    client = openai_of(lambda _: sound(*SOUND))
    answer = client.audio.speech.create(model=model, voice="alloy", input=spoken)
    assert answer.content == b"".join(SOUND)
    assert one(recorded) == {**SPOKEN, "model": model, "units": {"input_characters": characters}}


def test_speech_cut_short_was_spoken_all_the_same(recorded: Recorded) -> None:
    client = openai_of(lambda _: sound(*SOUND))
    with client.audio.speech.with_streaming_response.create(**SPEAK, input="Hello") as answer:
        next(answer.iter_bytes(4))
    assert one(recorded) == {**SPOKEN, "status": "aborted", "units": {"input_characters": 5}}


def test_speech_that_failed_spoke_nothing(recorded: Recorded) -> None:
    client = openai_of(lambda _: plain({"error": {"code": "invalid_voice", "message": "secret"}}, 400))
    with pytest.raises(Exception, match="secret"):
        client.audio.speech.create(**SPEAK, input="Hello")
    failed = {"status": "failed", "error_code": "400 invalid_voice", "response": {"http_status": 400}}
    assert one(recorded) == {**SPOKEN, **failed}


@pytest.mark.parametrize("content_type", ["text/event-stream", "audio/mpeg"])
@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([AUDIO, DONE], {**SPOKEN, "usage": DONE["usage"]}),
        ([AUDIO], {**SPOKEN, "status": "aborted", "units": {"input_characters": 5}}),
        (
            [AUDIO, {"type": "error", "error": {"code": "server_error"}}],
            {**SPOKEN, "status": "aborted", "error_code": "server_error", "units": {"input_characters": 5}},
        ),
    ],
    ids=["done", "cut short", "error inside"],
)
def test_speech_stream(
    recorded: Recorded, events: list[dict[str, Any]], expected: dict[str, Any], content_type: str, size: int
) -> None:
    sent = b"".join(sse(*events))
    chunks = [sent[start : start + size] for start in range(0, len(sent), size)]

    def answer(_: httpx2.Request) -> httpx2.Response:
        return streamed(*chunks, headers={"content-type": content_type})

    options: dict[str, Any] = {"stream_format": "sse"}
    assert openai_of(answer).audio.speech.create(**SPEAK, input="Hello", **options).content == sent
    assert one(recorded) == expected


def test_speech_is_not_kept_in_memory() -> None:
    buffer = BodyBuffer(streamed=False, wanted=_may_be_stream)
    for chunk in (b"d", b"at", b"um", b"\x00" * 1000):
        buffer.take(chunk)
    assert buffer.body() == b""


@pytest.mark.parametrize("answer_format", ["text", "srt", "vtt"])
def test_plain_transcription_of_an_mp3_is_metered_by_its_own_length(recorded: Recorded, answer_format: str) -> None:
    """OpenAI, Pricing: whisper-1 is billed by the second. API reference, Create transcription: these tell no usage."""
    content = audio.mp3([32] * 10 + [128, 64] * 200)
    client = openai_of(lambda _: typed(b"Hello"))
    client.audio.transcriptions.create(model="whisper-1", file=("a.mp3", content), response_format=answer_format)  # type: ignore[call-overload]
    units = one(recorded)["units"]
    assert units["audio_seconds"] == units["input_audio_seconds"] == pytest.approx(410 * audio.FRAME_SECONDS)
