from __future__ import annotations

import json
import time

import pytest

from ai_clients.websockets import messages
from ai_clients.websockets.messages import type_of


@pytest.mark.parametrize(
    ("message", "type_"),
    [
        ('{"type":"response.done","response":{}}', "response.done"),
        (' {\n "event_id" : "event_1", "n": -1.5e3, "is": null,\n"type" : "error"}', "error"),
        ('{"response":{"type":"inner"},"type":"response.done"}', "response.done"),
        (r'{"delta":"a \"type\":\"response.done\" b","type":"response.x.delta"}', "response.x.delta"),
        ('{"delta":"' + "A" * 5000 + '","type":"response.output_audio.delta"}', "response.output_audio.delta"),
        ('{"type":7,"kind":"x"}', ""),
        ('{"kind":"type"}', ""),
        ('["type","response.done"]', ""),
        ("not JSON", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_type_is_that_of_the_outermost_object(message: str, type_: str) -> None:
    assert type_of(message) == type_
    assert type_of(message.encode()) == type_


def test_type_of_bytes_that_are_not_text() -> None:
    assert type_of(b"\xff\x00\xff") == ""


def test_audio_that_begins_with_its_type_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_decode_type", lambda _: pytest.fail("it was decoded"))
    audio = {"type": "response.output_audio.delta", "event_id": "event_1", "delta": "A" * 50_000}
    assert type_of(json.dumps(audio)) == "response.output_audio.delta"


def test_message_that_never_names_a_type_takes_no_longer_than_its_length() -> None:
    began = time.perf_counter()
    assert type_of('{"a":1,' * 300) == ""
    assert type_of('{' + '"a":"",' * 5000) == ""  # fmt: skip
    assert time.perf_counter() - began < 1
