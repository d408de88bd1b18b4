"""The bytes of an answer seen so far: kept only as far as its usage needs them, in a bounded number of bytes.

Each byte is looked at a fixed number of times, whatever the sizes of the network chunks.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

import httpx2
import msgspec

from ai_clients.body.shortening import STRING_BYTES, VERBATIM_BYTES, BoundedValue, JSONShortener
from ai_clients.usage.answer import STREAM_BEGINNINGS, CutLine, names_usage

FOLD_AFTER_CHUNKS = 512
"""Network chunks after which those events of a stream are dropped that cannot say anything about usage."""

FOLD_AFTER_BYTES = VERBATIM_BYTES
"""Bytes of network chunks that are kept as they came."""

CHUNKS_A_LOOK = 32
LARGE_CHUNK = 2**16
"""A chunk larger than the HTTP library reads at once is folded at once."""

LINES_BYTES = 4 * 2**20
"""The most that the telling lines of one stream may take together."""

_OBJECT = b"data: {"

_TELLING = (
    b"response.completed",
    b"response.incomplete",
    b"response.failed",
    b'"error"',
    b"[DONE]",
    b"message_",
    b'"url_citation"',
    b'"image_generation.completed"',
    b'"image_edit.completed"',
    b'"transcript.text.done"',
    b'"speech.audio.done"',
)


_Kind = Literal["undecided", "value", "lines", "dropped"]


class UnreadableBodyError(msgspec.DecodeError):
    """A body that is too large even when shortened, or cannot be decoded: what it says about usage is not known."""


class _Decoder(Protocol):
    def decode(self, data: bytes, /) -> Iterator[bytes]: ...


def content_decoder(encoding: str) -> _Decoder:
    """What undoes this content encoding, piece by piece, each of at most 1 MiB: the one that the SDK itself uses.

    `_get_content_decoder` is private to httpx2, whose major version is capped in pyproject.toml.
    """
    return encoded(encoding)._get_content_decoder()


def encoded(encoding: str, stream: Any = None) -> httpx2.Response:
    """A response whose body is encoded so. A name that no decoder has, in whatever letters, is passed over."""
    return httpx2.Response(200, headers={b"content-encoding": encoding.encode()}, stream=stream)


class BodyBuffer:
    """The bytes of a plain body, or the telling lines of a stream; nothing that the caller has not been given.

    `streamed`: it says that it is a stream of server-sent events; one that does not is known by its beginning.
    `encoding`: its content encoding. `wanted`: whether a body that begins so is kept at all (None: more must be seen).
    """

    __slots__ = (
        "_beginning", "_chunks_bytes", "_chunks_counted", "_decoder", "_encoding", "_folded", "_kept", "_kind",
        "_lines", "_lines_bytes", "_unreadable", "_wanted", "chunks", "look_at",
    )  # fmt: skip

    chunks: list[bytes]
    """What came and was not looked at yet, for those that append to it themselves: a call for each chunk costs."""
    look_at: int
    """How many chunks there may be; `look` then folds them, or raises this number."""

    def __init__(
        self, *, streamed: bool, encoding: str | None = None, wanted: Callable[[bytes], bool | None] | None = None
    ) -> None:
        self.chunks = []
        self.look_at = CHUNKS_A_LOOK
        self._encoding = encoding
        self._decoder: _Decoder | None = None  # made where it may fail
        self._wanted = wanted
        self._kind: _Kind = "lines" if streamed else "undecided"
        self._beginning = b""  # as long as it is undecided
        self._kept = BoundedValue()  # the plain body; of a stream, the line that is not complete yet
        self._lines: list[bytes] = []
        self._lines_bytes = self._chunks_bytes = self._chunks_counted = 0
        self._folded = False
        self._unreadable = False

    def take(self, chunk: bytes) -> None:
        """Note a chunk as it came from the network; it may end anywhere, inside a character too."""
        self.chunks.append(chunk)
        if len(self.chunks) >= self.look_at or len(chunk) > LARGE_CHUNK:
            self.look()

    def look(self) -> None:
        """Fold the chunks if they are many or large."""
        if self.is_full():
            self._fold()

    def is_full(self) -> bool:
        """Whether the chunks have to be folded; if not, they are looked at again when there are some more."""
        self._chunks_bytes += sum(map(len, itertools.islice(self.chunks, self._chunks_counted, None)))
        self._chunks_counted = len(self.chunks)
        if self._chunks_counted >= FOLD_AFTER_CHUNKS or self._chunks_bytes >= FOLD_AFTER_BYTES:
            return True
        self.look_at = self._chunks_counted + CHUNKS_A_LOOK
        return False

    def drop(self) -> None:
        """Keep nothing, from now on too."""
        self._kind = "dropped"
        self.chunks.clear()
        self._lines.clear()
        self._kept, self._beginning = BoundedValue(), b""

    def is_stream(self) -> bool:
        """Whether it is a stream of server-sent events, said so or not."""
        if self._is_as_it_came():
            return self._kind == "lines" or self._joined().startswith(STREAM_BEGINNINGS)
        self._fold()
        return self._kind == "lines"

    def body(self) -> bytes:
        """The plain body, decoded; a large one is shortened (`JSONShortener`). Raises `UnreadableBodyError`."""
        if self._is_as_it_came():
            return self._joined()
        self._fold()
        self._check()
        if self._kind == "lines":
            raise UnreadableBodyError("the body is a stream")
        return self._beginning + self._kept.value()

    def lines(self) -> list[bytes]:
        """The stream's lines so far that matter, the last one possibly cut short. Raises `UnreadableBodyError`."""
        if self._is_as_it_came():
            return self._joined().splitlines()
        self._fold()
        self._check()
        return [*self._lines, self._kept.value()]

    def outline(self) -> tuple[bytes, bytes] | None:
        """Of a whole stream of chat completion chunks: the data of its first event and of the last that tells usage.

        They say the same as all lines do, in a tenth of the time. None where they might not.
        """
        if not self._is_as_it_came():
            return None
        body = self._joined()
        if not body.endswith(b"\n\ndata: [DONE]\n\n") or b"\r" in body or b'"url_citation"' in body:
            return None
        usage_at = body.rfind(b'"usage"')
        if not body.startswith(b'"usage":{', usage_at):
            return None
        first = body[: body.index(b"\n")]
        closing = body[body.rfind(b"\n", 0, usage_at) + 1 : body.index(b"\n", usage_at)]
        if first.startswith(_OBJECT) and closing.startswith(_OBJECT):
            return first[6:], closing[6:]
        return None

    def _is_as_it_came(self) -> bool:
        """Whether `chunks` is the body: nothing of it was folded, and nothing has to be done to it."""
        return not self._folded and self._encoding is None and self._wanted is None

    def _joined(self) -> bytes:
        return b"".join(self.chunks)

    def _check(self) -> None:
        if self._unreadable or self._kept.too_large:
            raise UnreadableBodyError("the body is too large, or cannot be decoded")

    def _fold(self) -> None:
        """Keep of the chunks what may tell usage."""
        for _ in self._folded_pieces():
            pass

    def _folded_pieces(self) -> Iterator[None]:
        """Fold the chunks; pause after each piece of what they are when decoded, of which there may be many."""
        came = self._joined()
        self.chunks.clear()
        self.look_at = CHUNKS_A_LOOK
        self._chunks_bytes = self._chunks_counted = 0
        self._folded = True
        if self._unreadable or not came:
            return
        for piece in self._decoded(came):
            if self._kind == "dropped":
                return
            self._keep(piece)
            yield

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
            # The caller's own copy fails at the same place.
            if first:  # a body that is not compressed, though it says so: it may be readable
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
        """What the body is by its beginning, if there is enough of it to tell."""
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
        for line in self._worth_a_look(lines, piece):
            self._line(line)
        if rest:
            self._kept.take(rest)

    def _worth_a_look(self, lines: list[bytes], piece: bytes) -> list[bytes]:
        """The lines that may be telling: of a piece that is not, only the first, for it began in another."""
        return lines if not self._lines or _is_telling(piece) else lines[:1]

    def _line(self, line: bytes) -> None:
        """Keep a line of a stream if it is telling. The first event names the model and the id, whatever it says."""
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
    """The lines of a batch's results: `pop_lines` takes those that are complete, and they are kept no more."""

    __slots__ = ()

    def _kind_of(self, beginning: bytes) -> _Kind:
        kind = super()._kind_of(beginning)
        return "lines" if kind == "value" else kind

    def _worth_a_look(self, lines: list[bytes], piece: bytes) -> list[bytes]:
        return lines

    def _line(self, line: bytes) -> None:
        line = _bounded(line)
        if isinstance(line, CutLine) or (line := line.strip()):
            self._lines.append(line)

    def pop_lines(self, *, whole: bool) -> Iterator[list[bytes]]:
        """The lines that hold something, some at a time; `whole`: also the last one, which nothing ends."""
        for _ in self._folded_pieces():
            lines, self._lines = self._lines, []
            yield lines
        if whole and self._kind == "lines":
            kept, self._kept = self._kept, BoundedValue()
            self._line(_line_of(kept))
            yield self._lines


def thinned(lines: Sequence[bytes]) -> list[bytes]:
    """The first and the last two lines of each kind: later ones repeat what usage was until then, and add to it."""
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
