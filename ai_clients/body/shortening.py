"""Shortens large JSON: its usage takes few bytes, however long its texts, images or vectors are.

No library does it: `ijson` 3.6 (yajl) holds a string until its end, and reads one of 32 MB at 1 MB a second (here:
500); `msgspec` and `jiter` need the whole document.
"""

from __future__ import annotations

import re

STRING_BYTES = 1024
"""The longest string that is kept. Ids, models and tiers are shorter; longer strings are content."""

MAX_BYTES = 8 * 2**20
"""The most bytes kept of one JSON value after shortening: an answer of thousands of items."""

VERBATIM_BYTES = 2**20
"""A value up to this size is kept unchanged."""

HEAD_BYTES = 4096
"""The bytes kept of a value that is too large even after shortening: the ids at its beginning."""

# Possessive, so that nothing is tried twice: each byte is looked at a fixed number of times.
_SMALL_TOKENS = re.compile(rb'(?:[^"]{1,255}+(?=")|"[^"\\]{0,255}+")*+')
_BETWEEN_STRINGS = re.compile(rb'[^"]*+')
_QUOTES_OF_ONE_BACKSLASH = re.compile(rb'(?:[^"]*+"(?<=[^\\]\\"))*+[^"]*+')
"""Content up to a quote that may be the closing one. Nearly all of a large answer is one long string: this finds its
end five times as fast as `_STRING_CONTENT` (2 GB/s against 0.4 GB/s, an escaped quote in every 40 bytes)."""

_STRING_CONTENT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_NUMBERS_OF_ARRAY = re.compile(rb"(?<=[\[,])(?:\s*+[-+.0-9eE]++\s*+,){16,}+")
"""Many in a row. Only an array has a number between two commas, or between its bracket and a comma."""


class JSONShortener:
    """Gives JSON back, piece by piece, with each string over `STRING_BYTES` emptied and long rows of numbers cut.

    The result is JSON if the input is, with every key, every other value and every usage block unchanged. A piece may
    end anywhere. Input that is not JSON does not become JSON.
    """

    __slots__ = ("_escaped", "_in_string", "_string", "_too_long")

    def __init__(self) -> None:
        self._in_string = False
        self._escaped = False
        self._string = b""
        self._too_long = False

    def feed(self, piece: bytes) -> bytes:
        """Take a piece; return the shortened JSON so far."""
        kept: list[bytes] = []
        position, end = 0, len(piece)
        while position < end:
            read_on = self._string_part if self._in_string else self._outside
            position = read_on(piece, position, kept)
        return b"".join(kept)

    def flush(self) -> bytes:
        """The rest of JSON that ends inside a string."""
        return b'"' + self._string if self._in_string else b""

    def _outside(self, piece: bytes, position: int, kept: list[bytes]) -> int:
        """Keep the JSON up to the next string that may be long; return where its content begins."""
        tokens_end = _end(_SMALL_TOKENS, piece, position)
        kept.append(piece[position:tokens_end])
        between_end = _end(_BETWEEN_STRINGS, piece, tokens_end)
        kept.append(_NUMBERS_OF_ARRAY.sub(b"", piece[tokens_end:between_end]))
        self._in_string = between_end < len(piece)
        return between_end + 1

    def _string_part(self, piece: bytes, position: int, kept: list[bytes]) -> int:
        """Note the string's content in this piece; return where to go on."""
        content_end = self._content_end(piece, position)
        if len(self._string) + content_end - position > STRING_BYTES:
            self._string, self._too_long = b"", True
        elif not self._too_long:
            self._string += piece[position:content_end]
        if content_end < len(piece):
            kept.append(b'"' + self._string + b'"')
            self._in_string, self._string, self._too_long = False, b"", False
        return content_end + 1

    def _content_end(self, piece: bytes, position: int) -> int:
        """The position of the string's closing quote; the end of the piece if it is not here."""
        begin = position + self._escaped
        quote = _end(_QUOTES_OF_ONE_BACKSLASH, piece, begin)
        self._escaped = _ends_escaping(piece[begin:quote])
        if not self._escaped or quote == len(piece):
            return quote
        content_end = _end(_STRING_CONTENT, piece, quote + 1)
        self._escaped = piece.startswith(b"\\", content_end)  # the last byte: what it escapes comes with the next piece
        return len(piece) if self._escaped else content_end


def _ends_escaping(content: bytes) -> bool:
    """Whether the next byte is escaped, by an odd number of backslashes."""
    return content.endswith(b"\\") and (len(content) - len(content.rstrip(b"\\"))) % 2 == 1


def _end(pattern: re.Pattern[bytes], piece: bytes, position: int) -> int:
    """The end of the match at `position`. These patterns always match: they accept the empty string."""
    match = pattern.match(piece, position)
    return position if match is None else match.end()


class BoundedValue:
    """One JSON value that comes in pieces: unchanged while it is small, then shortened, never over `MAX_BYTES`."""

    __slots__ = ("_kept", "_shortener", "too_large")

    def __init__(self) -> None:
        self._kept = bytearray()
        self._shortener: JSONShortener | None = None
        self.too_large = False
        """Whether it is too large even when shortened. Then only its beginning is kept."""

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, piece: bytes) -> None:
        """Add the next piece."""
        if self.too_large:
            return
        if self._shortener is None and len(self._kept) + len(piece) > VERBATIM_BYTES:
            self._shortener = JSONShortener()
            self._kept = bytearray(self._shortener.feed(bytes(self._kept)))
        self._kept += piece if self._shortener is None else self._shortener.feed(piece)
        if len(self._kept) > MAX_BYTES:
            self.too_large = True
            self._shortener = None
            self._kept = self._kept[:HEAD_BYTES]

    def value(self) -> bytes:
        """The value so far."""
        return bytes(self._kept) if self._shortener is None else bytes(self._kept) + self._shortener.flush()
