"""Keeps the bytes of an answer that its usage needs, in a bounded amount of memory.

Each byte is looked at a fixed number of times, whatever the sizes of the network chunks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

import httpx2
import msgspec

from ai_clients.body.shortening import STRING_BYTES, VERBATIM_BYTES, BoundedValue, JSONShortener
from ai_clients.usage.answer import STREAM_BEGINNINGS, CutLine, names_usage

FOLD_AFTER_CHUNKS = 512
"""Number of network chunks after which the events of a stream that say nothing about usage are dropped."""

FOLD_AFTER_BYTES = VERBATIM_BYTES
"""How many bytes of network chunks are kept unchanged."""

LINES_BYTES = 4 * 2**20
"""The most bytes that the kept lines of one stream may take together."""

_TELLING = (
    b"response.completed",
    b"response.incomplete",
    b"response.failed",
    b'"error"',
    b"[DONE]",
    b"message_",
    b'"content_block_start"',
    b'"fallback"',
    b'"url_citation"',
    b'"image_generation.completed"',
    b'"image_edit.completed"',
    b'"transcript.text.done"',
    b'"speech.audio.done"',
    b'"thread.run"',
)


_Kind = Literal["undecided", "value", "lines", "dropped"]


class UnreadableBodyError(msgspec.DecodeError):
    """A body that is too large even when shortened, or that cannot be decoded."""


class _Decoder(Protocol):
    def decode(self, data: bytes, /) -> Iterator[bytes]: ...


def content_decoder(encoding: str) -> _Decoder:
    """The SDK's own decoder of this content encoding; it gives pieces of at most 1 MiB.

    `_get_content_decoder` is private to httpx2, whose major version is capped in pyproject.toml.
    """
    return encoded(encoding)._get_content_decoder()


def encoded(encoding: str, stream: Any = None, library: Any = httpx2) -> httpx2.Response:
    """A response whose body has this content encoding. `httpx2` ignores an encoding that it does not know.

    `library`: the HTTP library that `stream` is of.
    """
    response: httpx2.Response = library.Response(200, headers={b"content-encoding": encoding.encode()}, stream=stream)
    return response


class BodyBuffer:
    """The bytes of a plain body, or the lines of a stream that say something about usage.

    `streamed`: the response says that it is a stream of server-sent events. A stream that does not say so is known by
    its first bytes. `encoding`: its content encoding. `wanted`: says by the first bytes whether to keep the body at
    all; None: it needs more bytes.
    """

    __slots__ = (
        "_beginning", "_chunks", "_chunks_bytes", "_decoder", "_encoding", "_folded", "_kept", "_kind", "_lines",
        "_lines_bytes", "_unreadable", "_wanted",
    )  # fmt: skip

    def __init__(
        self, *, streamed: bool, encoding: str | None = None, wanted: Callable[[bytes], bool | None] | None = None
    ) -> None:
        self._chunks: list[bytes] = []  # as they came from the network
        self._encoding = encoding
        self._wanted = wanted
        self._kind: _Kind = "lines" if streamed else "undecided"
        self._chunks_bytes = 0
        self._folded = False

    def take(self, chunk: bytes) -> bool:
        """Keep a network chunk, which may end anywhere; return whether there are so many that they need a `fold`."""
        chunks = self._chunks
        chunks.append(chunk)
        self._chunks_bytes += len(chunk)
        return len(chunks) >= FOLD_AFTER_CHUNKS or self._chunks_bytes >= FOLD_AFTER_BYTES

    def forget_chunks(self) -> None:
        """Drop the chunks that were not folded yet: nobody will ask for them."""
        self._chunks.clear()
        self._chunks_bytes = 0

    def fold(self) -> None:
        """Keep only the parts of the chunks that may say something about usage."""
        for _ in self._folded_pieces():
            pass

    def is_stream(self) -> bool:
        """Whether it is a stream of server-sent events, even if the response does not say so."""
        if self._is_unchanged():
            return self._kind == "lines" or self._joined().startswith(STREAM_BEGINNINGS)
        self.fold()
        return self._kind == "lines"

    def unchanged(self) -> bytes | None:
        """The whole body as it came; None if it is compressed, or if only parts of it were kept."""
        return self._joined() if self._is_unchanged() else None

    def body(self) -> bytes:
        """The plain body, decoded; a large one is shortened (`JSONShortener`). Raises `UnreadableBodyError`."""
        if self._is_unchanged():
            return self._joined()
        self.fold()
        self._check()
        if self._kind == "lines":
            raise UnreadableBodyError("the body is a stream")
        return self._beginning + self._kept.value()

    def lines(self) -> list[bytes]:
        """The stream's lines that may matter; the last one may be cut short. Raises `UnreadableBodyError`."""
        if self._is_unchanged():
            return self._joined().splitlines()
        self.fold()
        self._check()
        return [*self._lines, self._kept.value()]

    def _is_unchanged(self) -> bool:
        """Whether the chunks are the whole body, and plain.

        Nearly all bodies are. A fold costs 5 µs for each event of a stream; without one it is 0.5 µs.
        """
        return not self._folded and self._encoding is None and self._wanted is None

    def _joined(self) -> bytes:
        return b"".join(self._chunks)

    def _check(self) -> None:
        if self._unreadable or self._kept.too_large:
            raise UnreadableBodyError("the body is too large, or cannot be decoded")

    def _folded_pieces(self) -> Iterator[None]:
        """Fold the chunks. Yield after each decoded piece: a compressed chunk may become many."""
        came = self._joined()
        self.forget_chunks()
        if not self._folded:
            self._begin_folding()
        if self._unreadable or not came:
            return
        for piece in self._decoded(came):
            if self._kind == "dropped":
                return
            self._keep(piece)
            yield

    def _begin_folding(self) -> None:
        """Make the state of a body that is folded. Nearly none is."""
        self._folded = True
        self._decoder: _Decoder | None = None
        self._beginning = b""  # while the kind is undecided
        self._kept = BoundedValue()  # the plain body; of a stream, the line that is not complete yet
        self._lines: list[bytes] = []
        self._lines_bytes = 0
        self._unreadable = False

    def _decoded(self, came: bytes) -> Iterator[bytes]:
        if self._encoding is None:
            yield came
            return
        first = self._decoder is None
        try:
            self._decoder = self._decoder or content_decoder(self._encoding)
            for piece in self._decoder.decode(came):
                first = False
                yield piece
        except httpx2.DecodingError:
            # The caller's own decoder fails at the same place.
            if first:  # the body is not compressed, although its header says so
                self._encoding = None
                yield came
            else:
                self._unreadable = True

    def _keep(self, piece: bytes) -> None:
        if self._kind == "undecided":
            piece, self._beginning = self._beginning + piece, b""
            self._kind = self._kind_of(piece)
            if self._kind == "undecided":
                self._beginning = piece
        if self._kind == "value":
            self._kept.take(piece)
        elif self._kind == "lines":
            self._take_lines(piece)

    def _kind_of(self, beginning: bytes) -> _Kind:
        """The kind of a body with this beginning."""
        if self._wanted is not None and (verdict := self._wanted(beginning)) is not True:
            return "undecided" if verdict is None else "dropped"
        if beginning.startswith(STREAM_BEGINNINGS):
            return "lines"
        return "undecided" if any(word.startswith(beginning) for word in STREAM_BEGINNINGS) else "value"

    def _take_lines(self, piece: bytes) -> None:
        if b"\n" not in piece and b"\r" not in piece:
            self._kept.take(piece)
            return
        lines = piece.splitlines(keepends=True)
        rest = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        if self._kept:
            self._kept.take(lines[0])
            lines[0], self._kept = _line_of(self._kept), BoundedValue()
        for line in self._candidates(lines, piece):
            self._line(line)
        if rest:
            self._kept.take(rest)

    def _candidates(self, lines: list[bytes], piece: bytes) -> list[bytes]:
        """The lines that may have to be kept: the first, which began in another piece, and all if the piece tells."""
        return lines if not self._lines or _is_telling(piece) else lines[:1]

    def _line(self, line: bytes) -> None:
        """Keep a line of a stream if it says something about usage. The first event names the model and the id."""
        if line.startswith(b"data:") and (not self._lines or isinstance(line, CutLine) or _is_telling(line)):
            line = _bounded(line)
            self._unreadable |= isinstance(line, CutLine)
            self._lines.append(line.strip())
            self._lines_bytes += len(line)
            if self._lines_bytes > LINES_BYTES:
                self._lines = thinned([_shortened(line) for line in self._lines])
                self._lines_bytes = sum(map(len, self._lines))
                self._unreadable |= self._lines_bytes > LINES_BYTES // 2


class BatchBuffer(BodyBuffer):
    """The lines of a batch's results, until `pop_lines` takes them."""

    __slots__ = ()

    def _kind_of(self, beginning: bytes) -> _Kind:
        kind = super()._kind_of(beginning)
        return "lines" if kind == "value" else kind

    def _candidates(self, lines: list[bytes], piece: bytes) -> list[bytes]:
        return lines

    def _line(self, line: bytes) -> None:
        line = _bounded(line)
        if isinstance(line, CutLine) or (line := line.strip()):
            self._lines.append(line)

    def pop_lines(self, *, whole: bool) -> Iterator[list[bytes]]:
        """Yield the complete lines, some at a time, and forget them; `whole`: also the last line, without its end."""
        for _ in self._folded_pieces():
            lines, self._lines = self._lines, []
            yield lines
        if whole and self._kind == "lines":
            kept, self._kept = self._kept, BoundedValue()
            self._line(_line_of(kept))
            yield self._lines


def thinned(lines: Sequence[bytes]) -> list[bytes]:
    """The first and the last two lines of each kind: the usage in later lines includes that in earlier ones."""
    kinds: dict[tuple[bool, ...], list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        kinds[names_usage(line), *(word in line for word in _TELLING)].append(number)
    return [lines[number] for number in sorted({n for kind in kinds.values() for n in (kind[0], *kind[-2:])})]


def _shortened(line: bytes) -> bytes:
    if len(line) <= STRING_BYTES:
        return line
    shortener = JSONShortener()
    return shortener.feed(line) + shortener.flush()


def _bounded(line: bytes) -> bytes:
    """The line, shortened if it is large."""
    if len(line) <= VERBATIM_BYTES:
        return line
    kept = BoundedValue()
    kept.take(line)
    return _line_of(kept)


def _line_of(kept: BoundedValue) -> bytes:
    return CutLine(kept.value()) if kept.too_large else kept.value()


def _is_telling(line: bytes) -> bool:
    return names_usage(line) or any(word in line for word in _TELLING)
