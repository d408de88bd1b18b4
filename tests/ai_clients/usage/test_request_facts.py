"""Facts that only the request has: from JSON, from forms, from forms that somebody has read."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_clients.usage.answer import Answer
from ai_clients.usage.request_facts import asks_for_stream, asks_for_text, completed, model_of
from tests.support.scripted import Body
from tests.support.wire import wav

URL = "https://api.openai.com/v1/audio/transcriptions"


def json_of(fields: object) -> httpx2.Request:
    return httpx2.Request("POST", URL, json=fields)


def form_of(
    fields: dict[str, Any], *, read: bool = False, file: Any = ("a.wav", b"RIFF"), **more: Any
) -> httpx2.Request:
    request = httpx2.Request("POST", URL, data=fields, files={"file": file}, **more)
    if read:
        request.read()
    return request


READ = pytest.mark.parametrize("read", [False, True], ids=["not read", "read"])


@READ
@pytest.mark.parametrize("model", ["whisper-1", "modèle", 'a"b', "a\\b", "a b", ""])
def test_model_of_a_form(read: bool, model: str) -> None:
    fields = {"language": "en", "model": model, "timestamp_granularities[]": ["word", "segment"]}
    assert model_of(form_of(fields, read=read)) == model


@READ
def test_model_of_a_form_is_not_that_of_a_file(read: bool) -> None:
    trap = b'\r\nContent-Disposition: form-data; name="model"\r\n\r\nanother\r\n'
    assert model_of(form_of({"model": "m"}, read=read, file=("a.wav", trap))) == "m"
    assert model_of(form_of({}, read=read, file=("a.wav", trap))) == ""


@READ
def test_form_of_a_number_names_no_model(read: bool) -> None:
    assert model_of(form_of({"temperature": 0.5, "stream": True}, read=read)) == ""


@pytest.mark.parametrize("fields", [{}, {"model": 7}, {"model": None}, [], "model", {"input": {"model": "m"}}])
def test_model_of_other_json_is_unknown(fields: object) -> None:
    assert model_of(json_of(fields)) == ""


def test_model_of_a_body_that_is_produced_while_sent_is_unknown() -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    request = httpx2.Request("POST", URL, stream=Body([b'{"model": "m"}']), headers=headers)
    assert (model_of(request), asks_for_stream(request), asks_for_text(request)) == ("", False, False)


@READ
@pytest.mark.parametrize("boundary", ["simple", '"quoted"', "with; charset=utf-8"])
def test_model_of_a_form_with_a_boundary_of_its_own(read: bool, boundary: str) -> None:
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    assert model_of(form_of({"model": "m"}, read=read, headers=headers)) == "m"


@pytest.mark.parametrize(
    ("fields", "streams"),
    [
        ({"stream": True}, True),
        ({"stream_format": "sse"}, True),
        ({"stream": False}, False),
        ({"stream": "true"}, False),
    ],
)
def test_asks_for_stream_in_json(fields: dict[str, Any], streams: bool) -> None:
    assert asks_for_stream(json_of(fields)) is streams


@READ
def test_asks_for_stream_in_a_form(read: bool) -> None:
    assert asks_for_stream(form_of({"stream": True}, read=read))
    assert not asks_for_stream(form_of({"stream": False}, read=read))


@READ
@pytest.mark.parametrize(
    ("format_", "plain"), [("text", True), ("srt", True), ("vtt", True), ("json", False), ("verbose_json", False)]
)
def test_asks_for_text(read: bool, format_: str, plain: bool) -> None:
    assert asks_for_text(form_of({"response_format": format_}, read=read)) is plain


@READ
def test_completed_counts_the_seconds_of_the_file(read: bool) -> None:
    file = io.BytesIO(wav(2))
    request = form_of({"model": "whisper-1"}, read=read, file=("a.wav", file))
    place = file.tell()
    answer = completed(Answer(), "transcription", request)
    assert answer == Answer(model="whisper-1", units={"audio_seconds": 2.0, "input_audio_seconds": 2.0})
    assert file.tell() == place


def test_completed_does_not_choose_among_files() -> None:
    files = [("file", ("a.wav", wav(1))), ("file", ("b.wav", wav(2)))]
    request = httpx2.Request("POST", URL, data={"model": "m"}, files=files)
    assert completed(Answer(), "transcription", request).units == {}


@pytest.mark.parametrize("said", [Answer(units={"audio_seconds": 3}), Answer(status="failed")])
def test_completed_leaves_alone_what_needs_nothing(said: Answer) -> None:
    assert completed(said, "transcription", form_of({}, file=("a.wav", wav(2)))) == said


@pytest.mark.parametrize("spoken", [None, "", 7, ["a"]])
def test_completed_speech_of_nothing_is_unknown(spoken: object) -> None:
    assert completed(Answer(), "speech", json_of({"input": spoken})) == Answer()


@given(
    st.dictionaries(st.sampled_from(["model", "input", "stream", "stream_format"]), st.none() | st.text() | st.floats())
)
def test_json_of_any_kind_raises_nothing(fields: dict[str, Any]) -> None:
    request = httpx2.Request("POST", URL, content=json.dumps(fields).encode())
    answer = completed(Answer(), "speech", request)
    assert isinstance(answer.model, str)
    assert answer.units.get("input_characters", 1) > 0


@given(st.binary(max_size=200) | st.sampled_from([b'--b\r\n; name="model"\r\n\r\nm', b"--b\r\n\r\n--b\r\n\r\n--b"]))
@settings(max_examples=200)
def test_form_that_is_none_raises_nothing(content: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    request = httpx2.Request("POST", URL, content=content, headers=headers)
    assert completed(Answer(), "transcription", request).units == {}
