"""Reads facts that only the request has: the model, and the amounts asked for if the answer has no usage.

A form is read from its fields, so that its files are neither consumed nor copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import httpx2
import msgspec

from ai_clients.http_library import content_of
from ai_clients.usage.answer import Answer, decoder, has_usage, seconds, text
from ai_clients.usage.audio_duration import duration_of
from ai_clients.usage.openai_tools import memory_of_new
from usage_billing.recording.event import Flavour

TEXT_FORMATS = ("text", "srt", "vtt")
"""Formats whose transcriptions are plain text (API reference: Create transcription, `response_format`)."""

_NAME = re.compile(rb'; name="([^"]*)"')


class _Request(msgspec.Struct):
    model: Any = None
    input: Any = None
    stream: Any = None
    stream_format: Any = None


class _Tools(msgspec.Struct):
    tools: Any = None


_decode_request = decoder(_Request)
_decode_tools = decoder(_Tools)


def completed(answer: Answer, flavour: Flavour, request: httpx2.Request) -> Answer:
    """The answer with the model and the units that it lacks."""
    model = answer.model or model_of(request)
    units = answer.units
    if not units and not has_usage(answer.usage) and answer.status != "failed":
        if flavour == "speech":
            units = _characters(request)
        elif flavour == "transcription":
            units = _audio(request)
    response = {**answer.response, **_new_containers(answer, request)} if flavour == "responses" else answer.response
    return msgspec.structs.replace(answer, model=model, units=units, response=response)


def tells_containers(answer: Answer) -> bool:
    """Whether the request may tell more about the containers of this answer."""
    return answer.status == "pending" or "containers" in answer.response


def _new_containers(answer: Answer, request: httpx2.Request) -> dict[str, Any]:
    """The response facts about containers that only the request tells: the memory of those that it lets a tool make.

    OpenAI guide, Shell: an answer echoes `container_auto` as a reference to the container that was made. A request that
    makes two kinds of different memory does not tell which is which. A background response runs its tools later:
    `container_memory` waits for them.
    """
    if not tells_containers(answer):
        return {}
    try:
        memories = {*memory_of_new(_decode_tools(request.content).tools).values()}
    except (msgspec.DecodeError, httpx2.RequestNotRead):
        return {}
    if len(memories) != 1:
        return {}
    (memory,) = memories
    if answer.status == "pending":
        return {"container_memory": memory}
    return {"containers": {name: known or memory for name, known in answer.response["containers"].items()}}


def model_of(request: httpx2.Request) -> str:
    """The requested model; empty if the request names none, or was produced while it was sent."""
    return text(_json(request).model) or _form_value(request, "model")


def asks_for_stream(request: httpx2.Request) -> bool:
    """Whether the caller wanted server-sent events."""
    asked = _json(request)
    return asked.stream is True or asked.stream_format == "sse" or _form_value(request, "stream") == "true"


def asks_for_text(request: httpx2.Request) -> bool:
    """Whether the caller asked for a plain text transcription."""
    return _form_value(request, "response_format") in TEXT_FORMATS


def _characters(request: httpx2.Request) -> dict[str, int | float]:
    """Speech is billed by its input characters (OpenAI, Pricing: TTS)."""
    spoken = text(_json(request).input)
    return {"input_characters": len(spoken)} if spoken else {}


def _audio(request: httpx2.Request) -> dict[str, int | float]:
    """The length of the uploaded file, if its head says it."""
    files = [field.file for field in _fields(request) if hasattr(field, "file")]
    return seconds(duration_of(files[0])) if len(files) == 1 else {}


def _json(request: httpx2.Request) -> _Request:
    content = content_of(request)
    try:
        return _Request() if content is None else _decode_request(content)
    except msgspec.DecodeError:
        return _Request()


def _form_value(request: httpx2.Request, name: str) -> str:
    value = next((field.value for field in _fields(request) if field.name == name and hasattr(field, "value")), "")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else text(value)


def _fields(request: httpx2.Request) -> Iterable[Any]:
    """The fields of a multipart form, each with a name and a `value` or a `file`.

    `httpx2` keeps them in the stream that it sends, unless somebody has read that: an event hook, a logging transport.
    """
    fields = getattr(request.stream, "fields", None)
    return fields if isinstance(fields, list) else _read_fields(request)


class _Value(msgspec.Struct):
    name: str
    value: bytes


class _File(msgspec.Struct):
    name: str
    file: bytes


def _read_fields(request: httpx2.Request) -> Iterator[_Value | _File]:
    form, _, boundary = request.headers.get("content-type", "").partition("boundary=")
    if not form.startswith("multipart/form-data") or not boundary:
        return
    content, delimiter = content_of(request), b"--" + boundary.partition(";")[0].strip('"').encode()
    if content is None:
        return
    start = content.find(delimiter)
    while (head_end := content.find(b"\r\n\r\n", start)) >= 0:
        head = content[start + len(delimiter) : head_end]
        end = content.find(b"\r\n" + delimiter, head_end)
        name = _NAME.search(head)
        if end < 0 or name is None:
            return
        kind = _File if b"; filename=" in head else _Value
        yield kind(name[1].decode("utf-8", "replace"), content[head_end + 4 : end])
        start = end + 2
