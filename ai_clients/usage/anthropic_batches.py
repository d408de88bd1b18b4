"""Reads the lines of Anthropic's batch results (API reference: Retrieve Message Batch results). Pure; no Django."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ai_clients.usage import anthropic_usage
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

PATH = "/messages"


class _Result(msgspec.Struct):
    type: Any = None
    message: msgspec.Raw = NO_USAGE
    error: Any = None


class _Line(msgspec.Struct):
    result: _Result
    custom_id: Any = None


_decode_line = decoder(_Line)


def read_lines(lines: Iterable[bytes]) -> Iterator[BatchLine | Exception]:
    """Yield the answer on each line, or the error of an unreadable one. Only requests that succeeded are billed."""
    for line in lines:
        if isinstance(line, CutLine) and (named := CUSTOM_ID.search(line)):
            yield BatchLine(UNREADABLE, "messages", PATH, named[1].decode("utf-8", "replace"))
            continue
        try:
            decoded = _decode_line(line)
            yield BatchLine(_answer(decoded.result), "messages", PATH, text(decoded.custom_id))
        except msgspec.DecodeError as error:
            yield error


def _answer(result: _Result) -> Answer:
    if result.type == "succeeded" and has_usage(result.message):
        answer = anthropic_usage.read_body("messages", bytes(result.message))
        return msgspec.structs.replace(answer, context={**answer.context, "processing": "batch"})
    error = result.error.get("error") if isinstance(result.error, dict) else None
    return Answer(status="failed", error_code=anthropic_usage.error_code(error) or text(result.type) or "error")
