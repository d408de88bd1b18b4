"""Hides from the caller the parts of a streamed chat completion that came only because we asked for usage.

When it is asked, OpenAI writes a null usage into each chunk and sends one more, which has the usage and no choices (API
reference: Chat, `stream_options.include_usage`). Other servers differ; some send that chunk whether asked or not.

| event of a stream for whose usage we asked                 | the caller                                              |
|------------------------------------------------------------|---------------------------------------------------------|
| a null usage                                               | does not see it                                         |
| usage beside choices (BerriAI/litellm#28735)               | sees it: it may come unasked, and harms nobody          |
| usage, `choices` null or left out (Portkey-AI/gateway#1627) | does not see it: `chunk.choices[0]` would raise        |
| usage, `choices: []`, from a server that is known          | does not see it: the server did what we asked           |
| usage, `choices: []`, null usages before it                | does not see it: as above                               |
| usage, `choices: []`, no null usage, other chunks without  | sees it: it may come unasked, and this caller copes     |
| choices before it, or read by the SDK's own `.stream()`    | with such chunks                                        |
| usage, `choices: []`, nothing of this                      | does not see it: `chunk.choices[0]` would raise         |
| an error, or anything else                                 | sees it                                                 |

No single answer tells whether the usage of the last two kinds came unasked. The next stream of the server is left
unasked, and tells (`usage_option`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from ai_clients.usage.answer import NO_USAGE, STREAM_BEGINNINGS, decoder, has_usage, names_usage

LONGEST_USAGE_CHUNK = 2**16
"""A longer event is not the usage chunk, which has a few hundred bytes."""

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LONGEST_END = 4
_NULL_USAGE = re.compile(rb',[ \t]{0,8}"usage"[ \t]{0,8}:[ \t]{0,8}null')
_LONGEST_NULL_USAGE = len(',"usage":null') + 3 * 8

_NO_CHOICES = re.compile(rb'"choices"\s{0,8}:\s{0,8}\[\s{0,8}\]')
_DONE = b"[DONE]"

Finding = Literal["when asked", "perhaps unasked", "unasked", "none"]
"""When the usage chunk of a stream came. `none`: it was not asked for and did not come."""


def _ignore(finding: Finding) -> None:
    """Learn nothing."""


class _Chunk(msgspec.Struct):
    choices: Any = None
    usage: msgspec.Raw = NO_USAGE
    error: msgspec.Raw = NO_USAGE


_decode_chunk = decoder(_Chunk)


class UsageChunkFilter:
    """Takes the stream's network chunks and gives them back without the parts that came only because we asked.

    An incomplete event is held back until it is complete, or longer than a usage chunk can be. A complete one goes
    through at once. Each byte is searched once, however small the network chunks are.

    certain: whether the server gives usage only when asked. copes: whether the caller copes with chunks without
    choices. found: called when the usage chunk came.
    """

    __slots__ = ("_certain", "_copes", "_found", "_held", "_null_usage_came", "_passes")

    def __init__(
        self, *, certain: bool = True, copes: bool = False, found: Callable[[Finding], None] = _ignore
    ) -> None:
        self._certain = certain
        self._copes = copes
        self._found = found
        self._null_usage_came = False
        self._held = bytearray()
        self._passes = False
        """Whether `_held` is the end of an event longer than a usage chunk, which goes through as it comes."""

    def feed(self, chunk: bytes) -> bytes:
        if not (self._held or self._passes) and chunk.endswith(b"\n\n"):
            if self._certain and b'"usage"' not in (visible := chunk.replace(b',"usage":null', b"")):
                return visible  # as `_visible` would: nearly all events of a server that is known, 1 µs less for each
            return self._visible(chunk)
        # The end of an event may lie across two chunks.
        search_from = max(0, len(self._held) - _LONGEST_END + 1)
        self._held += chunk
        return self._end_of_long_event(search_from) if self._passes else self._complete_events(search_from)

    def _complete_events(self, search_from: int) -> bytes:
        ends = _event_ends(self._held, search_from)
        visible = self._visible(self._taken(ends[-1])) if ends else b""
        if len(self._held) <= LONGEST_USAGE_CHUNK:
            return visible
        self._passes = True
        return visible + self._part_of_long_event()

    def _end_of_long_event(self, search_from: int) -> bytes:
        ends = _event_ends(self._held, search_from)
        if not ends:
            return self._part_of_long_event()
        self._passes = False
        return self._without_null_usage(self._taken(ends[0])) + self._complete_events(0)

    def _part_of_long_event(self) -> bytes:
        """The part of a long event that came, without an end of it in which a null usage may begin."""
        certain = len(self._held) - _LONGEST_NULL_USAGE
        if b'"usage"' in self._held:
            certain = max(certain, *(match.end() for match in _NULL_USAGE.finditer(self._held)), 0)
        return self._without_null_usage(self._taken(max(certain, 0)))

    def _taken(self, end: int) -> bytes:
        taken = bytes(self._held[:end])
        del self._held[:end]
        return taken

    def flush(self) -> bytes:
        """The rest of a stream that ended inside an event, or without an end of its last one."""
        rest, passes, self._passes = self._taken(len(self._held)), self._passes, False
        return self._without_null_usage(rest) if passes else self._visible(rest)

    def _visible(self, events: bytes) -> bytes:
        """The events without the null usage in each and without the usage chunk."""
        events = self._without_null_usage(events)
        if names_usage(events):
            ends = _event_ends(events, 0)
            each = (events[start:end] for start, end in zip([0, *ends], [*ends, len(events)], strict=True))
            return b"".join(event for event in each if self._shows(event))
        if not (self._certain or self._copes):
            self._copes = _NO_CHOICES.search(events) is not None
        return events

    def _without_null_usage(self, part: bytes) -> bytes:
        visible = _without_null_usage(part)
        self._null_usage_came |= len(visible) < len(part)
        return visible

    def _shows(self, event: bytes) -> bool:
        chunk = _usage_chunk(event)
        if chunk is None:
            self._copes |= _NO_CHOICES.search(event) is not None
            return True
        if self._certain:
            return False
        self._found("when asked" if self._null_usage_came else "perhaps unasked")
        return self._copes and not self._null_usage_came and chunk.choices is not None


class UnaskedStream:
    """Gives the network chunks of a stream back unchanged, and looks for a usage chunk that came unasked.

    It comes last, before `[DONE]`, so only the end of the stream is kept. A stream that is cut before tells nothing.
    """

    __slots__ = ("_end", "_found")

    def __init__(self, *, found: Callable[[Finding], None]) -> None:
        self._found = found
        self._end = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        search_from = max(0, len(self._end) - len(_DONE) + 1)
        self._end += chunk
        # The SDK reads no further than this event.
        if self._end.find(_DONE, search_from) >= 0:
            events = _EVENT_END.split(bytes(self._end))
            self._found("unasked" if any(_usage_chunk(event) for event in events) else "none")
        if len(self._end) > 2 * LONGEST_USAGE_CHUNK:
            del self._end[:-LONGEST_USAGE_CHUNK]
        return chunk

    def flush(self) -> bytes:
        return b""


class UndeclaredStreamFilter:
    """The same for a body that does not say that it is a stream. One that does not begin like a stream is unchanged."""

    __slots__ = ("_beginning", "_declared_filter", "_passes", "_usage_filter")

    def __init__(self, usage_filter: UsageChunkFilter) -> None:
        self._beginning = b""
        self._declared_filter = usage_filter
        self._usage_filter: UsageChunkFilter | None = None
        self._passes = False

    def feed(self, chunk: bytes) -> bytes:
        if self._usage_filter is not None:
            return self._usage_filter.feed(chunk)
        if self._passes:
            return chunk
        self._beginning += chunk
        if self._beginning.startswith(STREAM_BEGINNINGS):
            self._usage_filter = self._declared_filter
            return self._usage_filter.feed(self._beginning)
        if any(word.startswith(self._beginning) for word in STREAM_BEGINNINGS):
            return b""
        self._passes = True
        return self._beginning

    def flush(self) -> bytes:
        if self._usage_filter is not None:
            return self._usage_filter.flush()
        return b"" if self._passes else self._beginning


def _without_null_usage(part: bytes) -> bytes:
    return _NULL_USAGE.sub(b"", part) if b'"usage"' in part else part


def _event_ends(events: bytes | bytearray, search_from: int) -> list[int]:
    return [match.end() for match in _EVENT_END.finditer(events, search_from)]


def _usage_chunk(event: bytes) -> _Chunk | None:
    """The chunk of an event that has usage and no choices; None of any other event."""
    if len(event) > LONGEST_USAGE_CHUNK or not names_usage(event):
        return None
    try:
        chunk = _decode_chunk(_data(event))
    except msgspec.DecodeError:
        return None  # the caller's SDK judges it
    is_usage_chunk = chunk.choices in (None, []) and has_usage(chunk.usage) and bytes(chunk.error) == b"null"
    return chunk if is_usage_chunk else None


def _data(event: bytes) -> bytes:
    """The event's data. Other lines may stand before it: its name, its id, a comment, an empty line."""
    return b"\n".join(line[5:] for line in event.splitlines() if line.startswith(b"data:"))
