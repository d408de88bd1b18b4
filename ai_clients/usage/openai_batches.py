"""Reads the lines of OpenAI's batch output files (API reference: Batch, the request output object). Pure; no Django."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ai_clients.usage import openai_usage
from ai_clients.usage.answer import (
    CUSTOM_ID,
    NO_USAGE,
    UNREADABLE,
    Answer,
    BatchLine,
    CutLine,
    decoder,
    has_usage,
    text,
)
from usage_billing.recording.event import flavour_of

LOOK = 4096
"""A batch's first line names its `custom_id` within this many bytes: only a short id stands before it."""

PATHS = {
    "chat.completion": "/chat/completions",
    "text_completion": "/completions",
    "response": "/responses",
    "list": "/embeddings",
}
"""The `object` of an answer → the path of its API. An answer with images has no `object`."""


class _Line(msgspec.Struct):
    id: Any = None
    custom_id: Any = None
    response: msgspec.Raw = NO_USAGE
    error: Any = None


class _Response(msgspec.Struct):
    status_code: Any = None
    body: msgspec.Raw = NO_USAGE


class _Body(msgspec.Struct):
    object: Any = None
    data: msgspec.Raw = NO_USAGE
    error: Any = None


_decode_line = decoder(_Line)
_decode_response = decoder(_Response)
_decode_body = decoder(_Body)


def may_be_output(beginning: bytes) -> bool | None:
    """Whether a file with this beginning may be a batch's output; None if more bytes are needed."""
    if b'"custom_id"' in beginning[:LOOK]:
        return beginning.startswith(b"{")
    if not beginning.startswith(b"{"[: len(beginning)]) or b"\n" in beginning or len(beginning) >= LOOK:
        return False
    return None


def read_line(line: bytes) -> BatchLine | None:
    """The answer on a line; None if it bills nothing. Raises `msgspec.DecodeError` if it is not such a line."""
    decoded = _decode_line(line)
    response = _decode_response(decoded.response) if has_usage(decoded.response) else _Response()
    if not text(decoded.custom_id) or (not has_usage(decoded.response) and not isinstance(decoded.error, dict)):
        raise msgspec.DecodeError("not a line of a batch's output")
    body = _decode_body(response.body) if has_usage(response.body) else _Body()
    if failure := _failure(decoded, response, body):
        failed = Answer(id=text(decoded.id), status="failed", error_code=failure)
        return BatchLine(failed, "chat", "", decoded.custom_id)
    path = PATHS.get(text(body.object), "")
    if body.object is None and bytes(body.data).startswith(b"["):
        path = "/images/generations"
    flavour = flavour_of(path)
    if flavour is None:
        return None
    answer = openai_usage.read_body(flavour, bytes(response.body))
    context = {name: word for name, word in answer.context.items() if name != "service_tier"}
    return BatchLine(
        msgspec.structs.replace(
            answer, id=answer.id or text(decoded.id), completes=False, context={**context, "processing": "batch"}
        ),
        flavour,
        path,
        decoded.custom_id,
    )


def _failure(line: _Line, response: _Response, body: _Body) -> str:
    """Why a request failed: its HTTP status and the short name of the error, or that of the batch itself."""
    if isinstance(response.status_code, int) and response.status_code >= 400:
        return f"{response.status_code} {openai_usage.error_code(body.error)}".rstrip()
    return (openai_usage.error_code(line.error) or "error") if isinstance(line.error, dict) else ""


class OutputReader:
    """Reads a batch's output as it comes. Any other file is ignored; the first line decides."""

    def __init__(self) -> None:
        self._is_output: bool | None = None
        self._latest: BatchLine | None = None

    def read_lines(self, lines: Iterable[bytes]) -> Iterator[BatchLine | Exception]:
        """Yield the answers on the file's next lines, or the error of an unreadable one.

        A failed line belongs to the same API as the answers before it.
        """
        for line in lines:
            if self._is_output is False:
                return
            try:
                read = _cut_line(line) if isinstance(line, CutLine) else read_line(line)
            except msgspec.DecodeError as error:
                if self._is_output is None:
                    self._is_output = False
                else:
                    yield error
                continue
            self._is_output = True
            if read is None:
                continue
            if read.path:
                self._latest = read
            elif self._latest is not None:
                read = msgspec.structs.replace(read, flavour=self._latest.flavour, path=self._latest.path)
            yield read


def _cut_line(line: bytes) -> BatchLine:
    """The answer on a line that is too large to keep. Its cost is unknown."""
    named = CUSTOM_ID.search(line)
    if named is None or b'"response"' not in line:
        raise msgspec.DecodeError("not a line of a batch's output, or too large")
    return BatchLine(UNREADABLE, "chat", "", named[1].decode("utf-8", "replace"))
