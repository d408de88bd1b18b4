"""The shapes are those of the SDK: `types.realtime` and `types.beta.realtime`."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openai.types.realtime import RealtimeResponse

from ai_clients.usage.realtime_usage import Session, read_response, read_session, read_transcription


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


@pytest.mark.parametrize(
    ("status", "recorded"),
    [("completed", "succeeded"), ("incomplete", "succeeded"), ("failed", "failed"), ("cancelled", "aborted"),
     ("in_progress", "aborted")],
)  # fmt: skip
def test_status_of_a_response(status: str, recorded: str) -> None:
    assert status in str(RealtimeResponse.model_fields["status"].annotation)
    assert read_response(raw({"id": "resp_1", "status": status})).status == recorded


def test_failure_is_named_by_its_code() -> None:
    details = {"type": "failed", "error": {"type": "server_error", "code": "rate_limit_exceeded"}}
    answer = read_response(raw({"status": "failed", "status_details": details}))
    assert answer.error_code == "rate_limit_exceeded"


def test_incomplete_response_has_no_error() -> None:
    answer = read_response(raw({"status": "incomplete", "status_details": {"reason": "max_output_tokens"}}))
    assert (answer.status, answer.error_code) == ("succeeded", "")


@pytest.mark.parametrize("odd", [{}, {"status_details": 7}, {"id": 7, "status": [], "usage": None}])
def test_odd_response_is_read(odd: dict[str, Any]) -> None:
    assert read_response(raw(odd)).status == "succeeded"


def test_failed_transcription() -> None:
    answer = read_transcription(b'{"error":{"code":"audio_unintelligible"}}', failed=True)
    assert (answer.status, answer.error_code) == ("failed", "audio_unintelligible")


@pytest.mark.parametrize(
    ("session", "read"),
    [
        ({"id": "s", "model": "gpt-realtime"}, Session("s", "gpt-realtime", "", True)),
        (
            {"audio": {"input": {"transcription": {"model": "gpt-live-transcribe"}, "turn_detection": None}}},
            Session("", "", "gpt-live-transcribe", False),
        ),
        ({"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}, Session("", "", "", True)),
        ({"audio": {"input": {"turn_detection": {"create_response": False}}}}, Session("", "", "", False)),
        (
            {"input_audio_transcription": {"model": "whisper-1"}, "turn_detection": None},
            Session("", "", "whisper-1", False),
        ),
        ({"id": 7, "audio": [], "turn_detection": 7}, Session("", "", "", True)),
    ],
)
def test_session(session: dict[str, Any], read: Session) -> None:
    assert read_session(raw(session)) == read
