"""Large JSON without its content: what it says about usage takes few bytes, whatever the text, images or vectors take.

No library does it: `ijson` 3.6 (yajl) holds a string until its end, and reads one of 32 MB at 1 MB a second (here:
500); `msgspec` and `jiter` need the whole document.
"""

from __future__ import annotations

import re

STRING_BYTES = 1024
"""The longest string that is kept. Ids, models and tiers are shorter; longer ones are content."""

MAX_BYTES = 8 * 2**20
"""The most that is kept of one JSON value after shortening: an answer of thousands of items takes this."""

VERBATIM_BYTES = 2**20
"""A value up to this size is kept as it came."""

HEAD_BYTES = 4096
"""What is kept of a value that is too large even after shortening: the ids at its beginning."""

# Possessive, so that nothing is tried twice: each byte is looked at a fixed number of times.
_SMALL_TOKENS = re.compile(rb'(?:[^"]{1,255}+(?=")|"[^"\\]{0,255}+")*+')
_BETWEEN_STRINGS = re.compile(rb'[^"]*+')
_QUOTES_OF_ONE_BACKSLASH = re.compile(rb'(?:[^"]*+"(?<=[^\\]\\"))*+[^"]*+')
"""Content up to a quote that may be the closing one. Nearly all of a large answer is one long string: this finds its
end five times as fast as `_STRING_CONTENT` (text with an escaped quote in every 40 bytes: 2 GB/s, 0.4 GB/s)."""

_STRING_CONTENT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_NUMBERS_OF_ARRAY = re.compile(rb"(?<=[\[,])(?:\s*+[-+.0-9eE]++\s*+,){16,}+")
"""Many in a row. Only an array has a number between two commas, or between its bracket and a comma."""


class JSONShortener:
    """Gives JSON back, piece by piece, with each string over `STRING_BYTES` emptied and long rows of numbers cut.

    The result is JSON if the input is, and has every key, every other value and every usage block as it came. A piece
    may end anywhere. What is no JSON comes out as something that is no JSON either, or as it came.
    """

    __slots__ = ("_escaped", "_in_string", "_string", "_too_long")

    def __init__(self) -> None:
        self._in_string = False
        self._escaped = False
        self._string = b""
        self._too_long = False

    def feed(self, piece: bytes) -> bytes:
        """The shortened JSON as far as it is certain."""
        kept: list[bytes] = []
        position, end = 0, len(piece)
        while position < end:
            read_on = self._string_part if self._in_string else self._outside
            position = read_on(piece, position, kept)
        return b"".join(kept)

    def flush(self) -> bytes:
        """What is left when the JSON ends inside a string."""
        return b'"' + self._string if self._in_string else b""

    def _outside(self, piece: bytes, position: int, kept: list[bytes]) -> int:
        """Keep what stands before the next string that has to be looked at; where its content begins."""
        tokens_end = _end(_SMALL_TOKENS, piece, position)
        kept.append(piece[position:tokens_end])
        between_end = _end(_BETWEEN_STRINGS, piece, tokens_end)
        kept.append(_NUMBERS_OF_ARRAY.sub(b"", piece[tokens_end:between_end]))
        self._in_string = between_end < len(piece)
        return between_end + 1

    def _string_part(self, piece: bytes, position: int, kept: list[bytes]) -> int:
        """Note the string's content as far as it is here; where to go on."""
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
        """Where the string's closing quote stands; the end of the piece if it is not here."""
        begin = position + self._escaped
        quote = _end(_QUOTES_OF_ONE_BACKSLASH, piece, begin)
        self._escaped = _ends_escaping(piece[begin:quote])
        if not self._escaped or quote == len(piece):
            return quote
        content_end = _end(_STRING_CONTENT, piece, quote + 1)
        self._escaped = piece.startswith(b"\\", content_end)  # the last byte: what it escapes comes with the next piece
        return len(piece) if self._escaped else content_end


def _ends_escaping(content: bytes) -> bool:
    """Whether what comes next is escaped: by an odd number of backslashes."""
    return content.endswith(b"\\") and (len(content) - len(content.rstrip(b"\\"))) % 2 == 1


def _end(pattern: re.Pattern[bytes], piece: bytes, position: int) -> int:
    """Where the match ends that begins at `position`; these patterns match the empty string, so there is one."""
    match = pattern.match(piece, position)
    return position if match is None else match.end()


class BoundedValue:
    """One JSON value that comes in pieces: as it came while it is small, then shortened, never over `MAX_BYTES`."""

    __slots__ = ("_kept", "_shortener", "too_large")

    def __init__(self) -> None:
        self._kept = bytearray()
        self._shortener: JSONShortener | None = None
        self.too_large = False
        """Whether it is over the bound even so. Then only its beginning is kept."""

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
        """The value as far as it came."""
        return bytes(self._kept) if self._shortener is None else bytes(self._kept) + self._shortener.flush()
