"""OpenAI's streamed chat completions tell their usage only when asked: ask, and keep the caller from seeing that.

(API reference: Chat, `stream_options.include_usage`: "an additional chunk will be streamed before the `data: [DONE]`
message … its `choices` will always be an empty array. All other chunks will also include a `usage` field, but with a
null value.")
"""

from __future__ import annotations

import re
from typing import Any

import httpx2
import msgspec

from ai_clients.answer import NO_USAGE, has_usage

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_TRUE = msgspec.Raw(b"true")

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null')


def asking(request: httpx2.Request) -> httpx2.Request | None:
    """The request with `include_usage`, all else as the caller wrote it; None where it streams not, or asks already."""
    try:
        body = request.content
        if b'"stream"' not in body:
            return None
        fields = _fields(body)
    except (httpx2.RequestNotRead, msgspec.DecodeError):
        return None  # a body that is sent as it is produced, or that the provider will refuse
    if bytes(fields.get("stream", b"")) != b"true":
        return None
    given = fields.get("stream_options", msgspec.Raw(b"null"))
    options = _fields(given) if bytes(given).startswith(b"{") else {}
    if bytes(options.get("include_usage", b"")) == b"true":
        return None
    fields["stream_options"] = msgspec.Raw(msgspec.json.encode({**options, "include_usage": _TRUE}))
    headers = request.headers.copy()
    del headers["content-length"]
    # A compressed stream could not be edited.
    headers["accept-encoding"] = "identity"
    return type(request)(
        request.method, request.url, headers=headers, content=msgspec.json.encode(fields), extensions=request.extensions
    )


class _Chunk(msgspec.Struct):
    choices: list[Any] | None = None
    usage: msgspec.Raw = NO_USAGE


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class Hider:
    """Takes the stream's network chunks and gives them back without what only came because of `asking`.

    An event that is not complete yet is held back until it is; every complete one goes through at once.
    """

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        data = self._rest + chunk if self._rest else chunk
        if not data.endswith(b"\n\n"):
            end = 0
            for match in _EVENT_END.finditer(data):
                end = match.end()
            self._rest, data = data[end:], data[:end]
        else:
            self._rest = b""
        if b'"usage"' not in data:
            return data
        data = _NULL_USAGE.sub(b"", data)
        return self._without_usage_chunk(data) if b'"usage"' in data else data

    def flush(self) -> bytes:
        """What is left when the stream has ended inside an event."""
        return self._rest

    @staticmethod
    def _without_usage_chunk(data: bytes) -> bytes:
        kept, start = [], 0
        for match in _EVENT_END.finditer(data):
            event = data[start : match.end()]
            start = match.end()
            if not _is_usage_chunk(event):
                kept.append(event)
        return b"".join(kept)


def _is_usage_chunk(event: bytes) -> bool:
    if b'"usage"' not in event or not event.startswith(b"data:"):
        return False
    try:
        chunk = _decode_chunk(event[5:])
    except msgspec.DecodeError:
        return False  # not ours to judge: the caller gets it as it is
    return chunk.choices == [] and has_usage(chunk.usage)
