"""Reads the usage in the server events of OpenAI's Realtime and Live APIs. Pure; no Django.

SDK: `types.realtime.RealtimeServerEvent`, `types.live.ServerEvent`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ai_clients.usage.answer import NO_USAGE, Answer, decoder, text, usage_block
from ai_clients.usage.openai_usage import RESPONSE_STATUS, error_code


class Session(msgspec.Struct, frozen=True):
    """The facts of a session that decide what its responses cost.

    transcription_model: empty if input audio is not transcribed. responds_to_speech: whether the server makes a
    response at each end of speech without being asked.
    """

    id: str = ""
    model: str = ""
    transcription_model: str = ""
    responds_to_speech: bool = True


class _Response(msgspec.Struct):
    id: Any = None
    model: Any = None
    status: Any = None
    status_details: Any = None
    usage: msgspec.Raw = NO_USAGE


class _Transcription(msgspec.Struct):
    usage: msgspec.Raw = NO_USAGE
    error: Any = None


class _Session(msgspec.Struct):
    id: Any = None
    model: Any = None
    audio: Any = None
    # The beta of Realtime: `types.beta.realtime.Session`.
    input_audio_transcription: Any = None
    turn_detection: Any = msgspec.UNSET


_decode_response = decoder(_Response)
_decode_session = decoder(_Session)
_decode_transcription = decoder(_Transcription)


def read_response(response: msgspec.Raw) -> Answer:
    """The answer in a `response.done`, whose usage block is that of the bill (SDK: `RealtimeResponse.usage`)."""
    body = _decode_response(response)
    details = body.status_details if isinstance(body.status_details, dict) else {}
    status = RESPONSE_STATUS.get(text(body.status), "succeeded")
    return Answer(
        id=text(body.id),
        model=text(body.model),
        usage=usage_block(body.usage),
        status="aborted" if status == "pending" else status,
        error_code=error_code(details.get("error")) or ("" if status == "succeeded" else text(details.get("reason"))),
    )


def read_transcription(event: bytes, *, failed: bool) -> Answer:
    """The answer in a `conversation.item.input_audio_transcription.completed` or `….failed`.

    Its usage, tokens or seconds, is billed at the price of the transcription model (SDK:
    `ConversationItemInputAudioTranscriptionCompletedEvent.usage`).
    """
    body = _decode_transcription(event)
    return Answer(
        usage=usage_block(body.usage), status="failed" if failed else "succeeded", error_code=error_code(body.error)
    )


def read_session(session: msgspec.Raw) -> Session:
    """The session in a `session.created`, `session.updated` or `session.started`."""
    body = _decode_session(session)
    audio = _mapping(_mapping(body.audio).get("input"))
    turns = audio.get("turn_detection", body.turn_detection)
    return Session(
        id=text(body.id),
        model=text(body.model),
        transcription_model=text(
            _mapping(audio.get("transcription")).get("model") or _mapping(body.input_audio_transcription).get("model")
        ),
        # Unless it is told otherwise, the server detects turns (SDK: `RealtimeAudioConfigInput.turn_detection`).
        responds_to_speech=turns is msgspec.UNSET
        or (turns is not None and _mapping(turns).get("create_response") is not False),
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
