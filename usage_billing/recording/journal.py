"""The files that callers append to, beside the outbox; whoever reads the outbox collects them into it.

Each process writes one of its own, so an append is one `write`: no lock but a thread's, no page of a database to look
up. What it has written is the kernel's and survives the death of the process. The file lock that a writer holds ends
with it, however it dies: that is how a reader knows that nothing more will come.

A journal is a row of frames: a mark, the CRC-32 and the length of what follows, and that: an `Entry` as MessagePack.
One append is one frame, so its bodies are kept together or not at all. A frame that is not whole hides none of the
others: the next one is found by its mark. Each frame carries its writer's running count of events, so the first and the
last frame of a part tell how many events are in it, whatever its size.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from usage_billing.recording.private_files import make_folder, open_private

SUFFIX = ".journal2"
SUFFIXES = (SUFFIX, ".journal")
"""Earlier versions, whose frames have no count, use the second one. If one of them still drains, it must not find the
new frames: it would take them for damage."""
LARGEST_BYTES = 4 * 1024 * 1024
"""A writer begins a new file when its own has grown to this; the old one goes once it is collected."""
LOOK_S = 0.05
"""How often a writer that is busy looks whether its file is still there: callers wait for it."""

_MARK = b"\xf5use"  # a byte that no UTF-8 text has: an event's JSON cannot hold a mark
_HEAD = struct.Struct("<4sII")
_END_BYTES = 4096
"""How much of a journal's end is read first to find its last frame: several frames of a usual size."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """The bodies that one append wrote, and when (epoch seconds).

    `count`: how many events its writer has written, up to and including these; None in a frame of an earlier version.
    """

    written_at: float
    bodies: list[bytes]
    count: int | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class Damage(msgspec.Struct, frozen=True):
    """Bytes of a journal that are no frame: the file was changed by another hand, or by the disk.

    `is_cut_short`: they are the beginning of one, at the end; the writer was killed in that append, before its caller
    had the answer.
    """

    content: bytes
    is_cut_short: bool = False


class Writer:
    """Appends to a journal of the outbox at `outbox`, opened at the first append. Safe between threads."""

    def __init__(self, outbox: Path, before_opening: Callable[[], None] = lambda: None) -> None:
        self._outbox = outbox
        self._before_opening = before_opening
        # Re-entrant: the garbage collector may run inside an append, and close a stream that nobody read.
        self._lock = threading.RLock()
        self._file: int | None = None
        self._path = ""
        self._size = 0
        # Events, in all files together: frames that are written once more, into another file, keep their counts.
        self._count = 0
        self._looked_at = 0.0
        # What was written since: it is written once more if the file turns out to be gone.
        self._doubtful: list[bytes] = []

    def append(self, bodies: tuple[bytes, ...]) -> None:
        """Keep all of them safe from the death of this process, or none. Raises `OSError`."""
        now = time.time()
        with self._lock:
            events = len(bodies)
            # Before the file is chosen: the garbage collector may bring an append here, which begins another file.
            payload = _encode((now, bodies, self._count + events))
            frame = _HEAD.pack(_MARK, zlib.crc32(payload), len(payload)) + payload
            file = self._file
            # The clock may have been set back.
            if file is None or not 0 <= now - self._looked_at < LOOK_S or self._size >= LARGEST_BYTES:
                file = self._look(now)
            self._write(file, frame)
            # Added, not set: an append that the garbage collector brought meanwhile has added its own. This frame's
            # count lacks those; the next one's is right.
            self._count += events
            self._doubtful.append(frame)

    def _look(self, now: float) -> int:
        """The file to write to: there, and with all in it that was written since the last look if that is gone."""
        is_in_place = self._path != "" and _is_in_place(self._path)
        if is_in_place:
            self._doubtful.clear()
        if self._file is None or not is_in_place or self._size >= LARGEST_BYTES:
            gone = b"".join(self._doubtful)
            file, path = self._open()
            self._close()
            self._file, self._path, self._size = file, "", 0
            self._write(file, gone)
            self._path = path  # only now: what could not be written stays in doubt
        self._looked_at = now
        return self._file

    def _write(self, file: int, frames: bytes) -> None:
        written = os.write(file, frames)
        self._size += written
        if written != len(frames):
            self._close()  # half a frame, for the disk is full; a reader knows it by its being the last
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)

    def close(self) -> None:
        """Let go of the file: whoever reads it next removes it."""
        with self._lock:
            if self._doubtful:
                self._look(time.time())
            self._close()

    def forget_file(self) -> None:
        """In a forked child: the file is the parent's, and its lock on it stays; another thread may have held ours."""
        self._lock = threading.RLock()
        self._doubtful.clear()
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> tuple[int, str]:
        self._before_opening()
        make_folder(self._outbox.parent)
        while True:
            path = f"{self._outbox}.{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
            file = open_private(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
            if _is_ours(file, path):
                return file, path
            os.close(file)


def _is_ours(file: int, path: str) -> bool:
    """Lock the new file. False if a reader was quicker: it takes the writer for dead, and removes the file."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        os.close(file)
        raise
    return _is_in_place(path)


def _is_in_place(path: str) -> bool:
    """Whether the file that was made here is still here: what goes into a deleted one is lost without an error.

    Names are never given twice, so what is here is that file. (`os.stat` would take twice as long to say it.)
    """
    return os.access(path, os.F_OK)


class Reading:
    """A journal that is being read. `finished`: its writer is dead or has begun another, so nothing more will come."""

    def __init__(self, name: str, file: int, *, finished: bool) -> None:
        self.name = name
        self.finished = finished
        self._file = file

    def size(self) -> int:
        return os.fstat(self._file).st_size

    def is_removed(self) -> bool:
        return os.fstat(self._file).st_nlink == 0

    def waiting(self, position: int) -> tuple[int, float | None]:
        """How many events were written after `position`, and when the first of them was.

        An event that was damaged since counts as well, until it is collected.
        """
        size = self.size()
        if size <= position:
            return 0, None
        first, last = self._first_entry(position, size), self._last_entry(position, size)
        if first is None or last is None or first.count is None or last.count is None:
            found = entries(self.after(position)[0])
            events = sum(len(entry.bodies) for entry in found)
            return events, min((entry.written_at for entry in found), default=None)
        return last.count - first.count + len(first.bodies), first.written_at

    def _first_entry(self, start: int, end: int) -> Entry | None:
        """The entry of the frame that begins at `start`; None if none does, or it is not whole."""
        head = os.pread(self._file, _HEAD.size, start)
        if len(head) < _HEAD.size:
            return None
        _, _, length = _HEAD.unpack(head)
        frame = _frame_at(head + os.pread(self._file, min(length, end - start), start + _HEAD.size), 0)
        return frame and frame[0]

    def _last_entry(self, start: int, end: int) -> Entry | None:
        """The entry of the last whole frame between `start` and `end`, looked for from the end, ever further back."""
        length = 0
        while length < end - start:
            length = min(max(_END_BYTES, 16 * length), end - start)
            content = os.pread(self._file, length, end - length)
            position = len(content)
            while (position := content.rfind(_MARK, 0, position)) >= 0:
                if frame := _frame_at(content, position):
                    return frame[0]
        return None

    def after(self, position: int) -> tuple[list[Entry | Damage], int]:
        """What was written after `position`, and the position after that. What is still being written is left."""
        content = os.pread(self._file, max(0, self.size() - position), position)
        found, taken = parse(content, finished=self.finished)
        return found, position + taken


def entries(found: Sequence[Entry | Damage]) -> list[Entry]:
    return [piece for piece in found if isinstance(piece, Entry)]


def damages(found: Sequence[Entry | Damage]) -> list[Damage]:
    return [piece for piece in found if isinstance(piece, Damage)]


def paths(outbox: Path) -> list[Path]:
    """The journals of this outbox."""
    prefix = f"{outbox.name}."
    try:
        names = os.listdir(outbox.parent)
    except FileNotFoundError:
        return []
    return [outbox.with_name(name) for name in sorted(names) if name.startswith(prefix) and name.endswith(SUFFIXES)]


def waiting(path: Path, position: int) -> tuple[int, float | None]:
    """How many events the journal at `path` holds after `position`, and when the first was written (epoch seconds).

    It takes no lock, so it holds up neither a writer nor a reader. Raises `FileNotFoundError` when it was removed.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        return Reading(path.name, file, finished=False).waiting(position)
    finally:
        os.close(file)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Reading]:
    """Read the journal at `path`. Raises `FileNotFoundError` when somebody else has finished it."""
    file = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finished = True
        except BlockingIOError:
            finished = False
        yield Reading(path.name, file, finished=finished)
    finally:
        os.close(file)


def parse(content: bytes, *, finished: bool) -> tuple[list[Entry | Damage], int]:
    """The entries in `content`, and how many of its bytes they take, from the first on.

    What is no frame is damage if there is one after it, or the journal is `finished`; else it is still being written.
    """
    found: list[Entry | Damage] = []
    position = 0
    while position < len(content):
        if (frame := _frame_at(content, position)) is None:
            start, position = position, _next_frame(content, position + 1)
            if position < len(content):
                found.append(Damage(content[start:position]))
                continue
            if not finished:
                return found, start
            found.append(Damage(content[start:], is_cut_short=_is_cut_short(content, start)))
            break
        entry, position = frame
        found.append(entry)
    return found, len(content)


def _frame_at(content: bytes, position: int) -> tuple[Entry, int] | None:
    """The entry of the frame that begins here, and where that ends; None if there is no whole one."""
    start = position + _HEAD.size
    if start > len(content):
        return None
    mark, checksum, length = _HEAD.unpack_from(content, position)
    payload = content[start : start + length]
    if mark != _MARK or len(payload) != length or zlib.crc32(payload) != checksum:
        return None
    try:
        return _decode(payload), start + length
    except msgspec.DecodeError:
        return None


def _next_frame(content: bytes, position: int) -> int:
    """Where the next whole frame begins; the end if none does."""
    while (position := content.find(_MARK, position)) >= 0:
        if _frame_at(content, position):
            return position
        position += 1
    return len(content)


def _is_cut_short(content: bytes, position: int) -> bool:
    """Whether a frame begins here that the end of the content cuts in two."""
    rest = len(content) - position
    if rest < _HEAD.size:
        return content[position : position + 4] == _MARK[:rest]
    mark, _, length = _HEAD.unpack_from(content, position)
    return bool(mark == _MARK) and length > rest - _HEAD.size
