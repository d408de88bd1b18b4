"""What has gone by of an answer's body: kept only as far as its usage needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ai_clients.answer import names_usage

COMPACT_AFTER = 512
"""Network chunks of a stream after which those events are dropped that cannot say anything about usage."""

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


class Transcript:
    """The bytes of a plain body, or the telling events of a stream; nothing that the caller has not been given."""

    __slots__ = ("_chunks", "_lines", "_streamed")

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed
        self._chunks: list[bytes] = []
        self._lines: list[bytes] = []

    def take(self, chunk: bytes) -> None:
        """Note a chunk as it came from the network; it may end anywhere, inside a character too."""
        self._chunks.append(chunk)
        if self._streamed and len(self._chunks) >= COMPACT_AFTER:
            self._compact()

    def body(self) -> bytes:
        """All that came, as it came on the wire."""
        return b"".join(self._chunks)

    def lines(self) -> list[bytes]:
        """The stream's lines so far that matter, the last one possibly cut short."""
        return self._lines + self.body().splitlines()

    def _compact(self) -> None:
        *complete, rest = self.body().split(b"\n")
        first = not self._lines
        for line in complete:
            line = line.strip()
            # The first event names the model and the id, whatever else it says.
            if line.startswith(b"data:") and (first or _is_telling(line)):
                self._lines.append(line)
                first = False
        self._chunks = [rest]


class Choosing(Transcript):
    """The bytes of a body that is worth keeping only if it begins as `wanted` says (None: it has to see more)."""

    __slots__ = ("_verdict", "_wanted")

    def __init__(self, wanted: Callable[[bytes], bool | None]) -> None:
        super().__init__(streamed=False)
        self._wanted = wanted
        self._verdict: bool | None = None

    def take(self, chunk: bytes) -> None:
        if self._verdict is False:
            return
        self._chunks.append(chunk)
        if self._verdict is None:
            self._verdict = self._wanted(self.body())
            if self._verdict is False:
                self._chunks.clear()


def jsonl(body: bytes, *, whole: bool) -> Iterator[bytes]:
    """The lines of a body that hold something, without one that its end cut in two unless it is `whole`."""
    start = 0
    while (end := body.find(b"\n", start)) >= 0:
        if line := body[start:end].strip():
            yield line
        start = end + 1
    if whole and (line := body[start:].strip()):
        yield line


def _is_telling(line: bytes) -> bool:
    return names_usage(line) or any(word in line for word in _TELLING)
