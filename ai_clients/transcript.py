"""What has gone by of an answer's body: kept only as far as its usage needs it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from ai_clients.answer import names_usage

COMPACT_AFTER = 512
"""Network chunks of a stream after which those events are dropped that cannot say anything about usage."""

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


class Transcript:
    """The bytes of a plain body, or the telling events of a stream; nothing that the caller has not been given."""

    __slots__ = ("_lines", "chunks", "look_at")

    chunks: list[bytes]
    """What came and was not looked at yet, for those that append to it themselves: a call for each chunk costs."""
    look_at: int
    """How many chunks there may be; `look` then lets go of some, or raises this number."""

    def __init__(self, *, streamed: bool) -> None:
        self.chunks = []
        self.look_at = COMPACT_AFTER if streamed else sys.maxsize
        self._lines: list[bytes] = []

    def take(self, chunk: bytes) -> None:
        """Note a chunk as it came from the network; it may end anywhere, inside a character too."""
        self.chunks.append(chunk)
        if len(self.chunks) >= self.look_at:
            self.look()

    def body(self) -> bytes:
        """All that came, as it came on the wire."""
        return b"".join(self.chunks)

    def lines(self) -> list[bytes]:
        """The stream's lines so far that matter, the last one possibly cut short."""
        return self._lines + self.body().splitlines()

    def outline(self) -> tuple[bytes, bytes] | None:
        """Of a whole stream of chat completion chunks: the data of its first event and of the last that tells usage.

        They say the same as all lines do, in a tenth of the time. None where they might not.
        """
        body = self.body()
        if self._lines or not body.endswith(b"\n\ndata: [DONE]\n\n") or b"\r" in body or b'"url_citation"' in body:
            return None
        usage_at = body.rfind(b'"usage"')
        if not body.startswith(b'"usage":{', usage_at):
            return None
        first = body[: body.index(b"\n")]
        closing = body[body.rfind(b"\n", 0, usage_at) + 1 : body.index(b"\n", usage_at)]
        if first.startswith(_OBJECT) and closing.startswith(_OBJECT):
            return first[6:], closing[6:]
        return None

    def look(self) -> None:
        """Keep of the chunks what is telling."""
        *complete, rest = self.body().split(b"\n")
        first = not self._lines
        for line in complete:
            line = line.strip()
            # The first event names the model and the id, whatever else it says.
            if line.startswith(b"data:") and (first or _is_telling(line)):
                self._lines.append(line)
                first = False
        self.chunks[:] = [rest]


class Choosing(Transcript):
    """The bytes of a body that is worth keeping only if it begins as `wanted` says (None: it has to see more)."""

    __slots__ = ("_wanted",)

    def __init__(self, wanted: Callable[[bytes], bool | None]) -> None:
        super().__init__(streamed=False)
        self.look_at = 1
        self._wanted = wanted

    def look(self) -> None:
        """Decide, if there is enough to tell; a body that is not wanted is let go of, chunk by chunk."""
        verdict = self._wanted(self.body())
        if verdict is True:
            self.look_at = sys.maxsize
        elif verdict is False:
            self.chunks.clear()
            self._wanted = _never


def _never(_beginning: bytes) -> bool:
    return False


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
