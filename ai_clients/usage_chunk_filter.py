"""Asks OpenAI's streamed chat completions for usage, which they give only when asked, and hides that from the caller.

(API reference: Chat, `stream_options.include_usage`: "an additional chunk will be streamed before the `data: [DONE]`
message … its `choices` will always be an empty array. All other chunks will also include a `usage` field, but with a
null value.")
"""

from __future__ import annotations

import re
from typing import Any

import httpx2
import msgspec

from ai_clients.http_library import content_of, library_of
from ai_clients.usage.answer import NO_USAGE, STREAM_BEGINNINGS, decoder, has_usage, names_usage

_SIGNATURES = frozenset((b"x-amz-content-sha256", b"content-digest", b"digest", b"content-md5"))
"""Headers that sign the body, as OpenAI's Bedrock provider does: such a request must not be changed."""
_SIGNING_SCHEME = "AWS4-HMAC-SHA256"
"""It signs the body too (AWS, Signature Version 4), and botocore then sets none of these headers."""

LONGEST_USAGE_CHUNK = 2**16
"""A longer event is not the usage chunk, which has a few hundred bytes."""

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LONGEST_END = 4
_NULL_USAGE = re.compile(rb',[ \t]{0,8}"usage"[ \t]{0,8}:[ \t]{0,8}null')
_LONGEST_NULL_USAGE = len(',"usage":null') + 3 * 8
_TRUE = msgspec.Raw(b"true")


class _PageParameters(msgspec.Struct):
    stream: msgspec.Raw = NO_USAGE
    stream_options: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_fields = decoder(_PageParameters)
_all_fields = decoder(dict[str, msgspec.Raw])


def asking(request: httpx2.Request) -> httpx2.Request | None:
    """The request with `include_usage`, otherwise unchanged; None if it does not stream, or asks already."""
    try:
        body = content_of(request)
        if body is None or b'"stream"' not in body:
            return None
        asked = _fields(body)
        if bytes(asked.stream) != b"true":
            return None
        content = _with_option(body) if asked.stream_options is msgspec.UNSET else _with_options(body)
    except msgspec.DecodeError:
        return None  # the provider will refuse it
    return None if content is None else _with_content(request, content)


def _with_option(body: bytes) -> bytes:
    """The JSON object with `stream_options` added at its end. It has a field already, and no `stream_options`."""
    return body.rstrip()[:-1] + b',"stream_options":{"include_usage":true}}'


def _with_options(body: bytes) -> bytes | None:
    """The JSON object with `include_usage` in its `stream_options`; None if they ask for usage already."""
    fields = _all_fields(body)
    given = bytes(fields["stream_options"])
    options = _all_fields(given) if given.startswith(b"{") else {}
    if bytes(options.get("include_usage", b"")) == b"true":
        return None
    fields["stream_options"] = msgspec.Raw(msgspec.json.encode({**options, "include_usage": _TRUE}))
    return msgspec.json.encode(fields)


def _with_content(request: httpx2.Request, content: bytes) -> httpx2.Request | None:
    """The request with another body; None if it is signed."""
    is_signed = not _SIGNATURES.isdisjoint([name.lower() for name, _ in request.headers.raw])
    if is_signed or request.headers.get("authorization", "").startswith(_SIGNING_SCHEME):
        return None
    # Given a stream, the library adds no headers of its own: that would take as long as everything else here.
    sent = type(request)(
        request.method,
        request.url,
        headers=request.headers,
        stream=library_of(request).ByteStream(content),
        extensions=request.extensions,
    )
    sent.read()
    sent.headers["content-length"] = str(len(content))
    # A compressed stream could not be edited.
    sent.headers["accept-encoding"] = "identity"
    return sent


class _Chunk(msgspec.Struct):
    choices: list[Any] | None = None
    usage: msgspec.Raw = NO_USAGE


_decode_chunk = decoder(_Chunk)


class UsageChunkFilter:
    """Takes the stream's network chunks and gives them back without the parts that came only because of `asking`.

    An incomplete event is held back until it is complete, or longer than a usage chunk can be. A complete one goes
    through at once. Each byte is searched once, however small the network chunks are.
    """

    __slots__ = ("_held", "_passes")

    def __init__(self) -> None:
        self._held = bytearray()
        self._passes = False
        """Whether `_held` is the end of an event longer than a usage chunk, which goes through as it comes."""

    def feed(self, chunk: bytes) -> bytes:
        if not (self._held or self._passes) and chunk.endswith(b"\n\n"):
            return _visible(chunk)
        # The end of an event may lie across two chunks.
        search_from = max(0, len(self._held) - _LONGEST_END + 1)
        self._held += chunk
        return self._end_of_long_event(search_from) if self._passes else self._complete_events(search_from)

    def _complete_events(self, search_from: int) -> bytes:
        ends = _event_ends(self._held, search_from)
        visible = _visible(self._taken(ends[-1])) if ends else b""
        if len(self._held) <= LONGEST_USAGE_CHUNK:
            return visible
        self._passes = True
        return visible + self._part_of_long_event()

    def _end_of_long_event(self, search_from: int) -> bytes:
        ends = _event_ends(self._held, search_from)
        if not ends:
            return self._part_of_long_event()
        self._passes = False
        return _without_null_usage(self._taken(ends[0])) + self._complete_events(0)

    def _part_of_long_event(self) -> bytes:
        """The part of a long event that came, without an end of it in which a null usage may begin."""
        certain = len(self._held) - _LONGEST_NULL_USAGE
        if b'"usage"' in self._held:
            certain = max(certain, *(match.end() for match in _NULL_USAGE.finditer(self._held)), 0)
        return _without_null_usage(self._taken(max(certain, 0)))

    def _taken(self, end: int) -> bytes:
        taken = bytes(self._held[:end])
        del self._held[:end]
        return taken

    def flush(self) -> bytes:
        """The rest of a stream that ended inside an event, or without an end of its last one."""
        rest, passes, self._passes = self._taken(len(self._held)), self._passes, False
        return _without_null_usage(rest) if passes else _visible(rest)


class UndeclaredStreamFilter:
    """The same for a body that does not say that it is a stream. One that does not begin like a stream is unchanged."""

    __slots__ = ("_beginning", "_passes", "_usage_filter")

    def __init__(self) -> None:
        self._beginning = b""
        self._usage_filter: UsageChunkFilter | None = None
        self._passes = False

    def feed(self, chunk: bytes) -> bytes:
        if self._usage_filter is not None:
            return self._usage_filter.feed(chunk)
        if self._passes:
            return chunk
        self._beginning += chunk
        if self._beginning.startswith(STREAM_BEGINNINGS):
            self._usage_filter = UsageChunkFilter()
            return self._usage_filter.feed(self._beginning)
        if any(word.startswith(self._beginning) for word in STREAM_BEGINNINGS):
            return b""
        self._passes = True
        return self._beginning

    def flush(self) -> bytes:
        if self._usage_filter is not None:
            return self._usage_filter.flush()
        return b"" if self._passes else self._beginning


def _visible(events: bytes) -> bytes:
    """The events without the null usage in each and without the usage chunk."""
    if names_usage(events):
        ends = _event_ends(events, 0)
        each = (events[start:end] for start, end in zip([0, *ends], [*ends, len(events)], strict=True))
        events = b"".join(event for event in each if not _is_usage_chunk(event))
    return _without_null_usage(events)


def _without_null_usage(part: bytes) -> bytes:
    return _NULL_USAGE.sub(b"", part) if b'"usage"' in part else part


def _event_ends(events: bytes | bytearray, search_from: int) -> list[int]:
    return [match.end() for match in _EVENT_END.finditer(events, search_from)]


def _is_usage_chunk(event: bytes) -> bool:
    if len(event) > LONGEST_USAGE_CHUNK or not names_usage(event):
        return False
    try:
        chunk = _decode_chunk(_data(event))
    except msgspec.DecodeError:
        return False  # the caller's SDK judges it
    return chunk.choices == [] and has_usage(chunk.usage)


def _data(event: bytes) -> bytes:
    """The event's data. Other lines may stand before it: its name, its id, a comment, an empty line."""
    return b"\n".join(line[5:] for line in event.splitlines() if line.startswith(b"data:"))
