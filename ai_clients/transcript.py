"""What has gone by of an answer's body: kept only as far as its usage needs it."""

from __future__ import annotations

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


def _is_telling(line: bytes) -> bool:
    return names_usage(line) or any(word in line for word in _TELLING)
