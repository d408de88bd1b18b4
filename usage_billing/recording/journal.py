"""The files of the outbox: each process appends to a journal of its own, and the drain notes in it how far it has come.

An append is one `write`. It takes no lock but a thread's, and what is written survives the death of the process. The
writer holds a file lock that ends with it, however it dies: a reader that gets the lock knows that nothing more comes.

A journal is a header and a row of frames. The header holds the drain's position; it is overwritten in place, so
draining needs no room on the disk. A frame is a mark, the CRC-32 and the length of its payload, and the payload: an
`Entry` as MessagePack. One append is one frame, so its events are kept together or not at all. A damaged frame hides no
other: the next one is found by its mark. Each frame carries its writer's running count of events, so the first and the
last frame tell how many events wait, whatever the size of the file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import secrets
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from usage_billing.recording.private_files import make_folder, open_private

SUFFIX = ".journal"
SUFFIXES = (SUFFIX, ".journal2")
"""The second one is that of earlier versions. Those files have no header, so they are quarantined."""
LARGEST_BYTES = 4 * 1024 * 1024
"""A writer begins a new file when its own has grown to this size; the old one is removed once it is drained."""
LOOK_S = 0.05
"""How often a busy writer looks whether its file is still there: callers wait for it."""

_MARK = b"\xf5use"  # a byte that no UTF-8 text has: an event's JSON cannot hold a mark
_FRAME_HEAD = struct.Struct("<4sII")
_MAGIC = b"\xf5outbox3"
_NUMBERS = struct.Struct("<QQQ")
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = len(_MAGIC) + _NUMBERS.size + _CHECKSUM.size

_END_BYTES = 4096
"""How much of a journal's end is read first to find its last frame: several frames of a usual size."""
_FIRST_BYTES = 4096
"""How much is read first: of most journals, when many wait, only the moment of their first event is needed."""
_BLOCK_BYTES = 256 * 1024


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """The events that one append wrote, and when (epoch seconds).

    `count`: how many events its writer has written, up to and including these. Of a dead letter, `reason` says why the
    ledger refused it, and `source` where it was before.
    """

    written_at: float
    bodies: list[bytes]
    count: int
    reason: str = ""
    source: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class Frame(NamedTuple):
    """An entry, and where it begins and ends in its file."""

    start: int
    end: int
    entry: Entry


class Damage(NamedTuple):
    """Bytes of a journal that are no frame: another program, or the disk, changed the file.

    `is_cut_short`: they are the beginning of a frame, at the end of the file. The writer was killed in that append,
    before its caller had the answer.
    """

    start: int
    end: int
    content: bytes
    is_cut_short: bool = False


class Position(NamedTuple):
    """How far a journal is drained: to the frame at `offset`, of which `taken` events are drained already."""

    offset: int = HEADER_BYTES
    taken: int = 0


class Header(NamedTuple):
    """`examined`: damage before this offset has been reported."""

    position: Position = Position()
    examined: int = 0

    def encode(self) -> bytes:
        numbers = _NUMBERS.pack(*self.position, self.examined)
        return _MAGIC + numbers + _CHECKSUM.pack(zlib.crc32(numbers))


class NotAJournalError(OSError):
    """The file does not begin as a journal does."""


def encode_frame(entry: tuple[float, tuple[bytes, ...], int] | Entry) -> bytes:
    payload = _encode(entry)
    return _FRAME_HEAD.pack(_MARK, zlib.crc32(payload), len(payload)) + payload


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


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
        # Events in all files together. Frames that are written again, into another file, keep their counts.
        self._count = 0
        self._looked_at = 0.0
        # Frames written since the last look: they are written again if the file turns out to be gone.
        self._unconfirmed: list[bytes] = []

    def append(self, bodies: tuple[bytes, ...]) -> None:
        """Keep all of them safe from the death of this process, or none. Raises `OSError`."""
        now = time.time()
        with self._lock:
            events = len(bodies)
            # Before the file is chosen: the garbage collector may bring an append here, which begins another file.
            frame = encode_frame((now, bodies, self._count + events))
            file = self._file
            # The clock may have been set back.
            if file is None or not 0 <= now - self._looked_at < LOOK_S or self._size >= LARGEST_BYTES:
                file = self._look(now)
            self._write(file, frame)
            # Added, not set: an append that the garbage collector brought meanwhile has added its own. This frame's
            # count lacks those; the next one's is right.
            self._count += events
            self._unconfirmed.append(frame)

    def _look(self, now: float) -> int:
        """Return a file that is in place. If the old one is gone, it holds what was written since the last look."""
        is_in_place = self._path != "" and _is_in_place(self._path)
        if is_in_place:
            self._unconfirmed.clear()
        if self._file is None or not is_in_place or self._size >= LARGEST_BYTES:
            gone = b"".join(self._unconfirmed)
            file, path = self._open()
            self._close()
            self._file, self._path, self._size = file, "", 0
            self._write(file, Header().encode() + gone)
            self._path = path  # only now: what could not be written stays unconfirmed
        self._looked_at = now
        return self._file

    def _write(self, file: int, content: bytes) -> None:
        written = os.write(file, content)
        self._size += written
        if written != len(content):
            self._close()  # the disk is full; a reader knows the half frame by its being the last
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)

    def close(self) -> None:
        """Let go of the file: it is removed once it is drained."""
        with self._lock:
            if self._unconfirmed:
                self._look(time.time())
            self._close()

    def forget_file(self) -> None:
        """In a forked child: the file is the parent's, and its lock on it stays; another thread may have held ours."""
        self._lock = threading.RLock()
        self._unconfirmed.clear()
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> tuple[int, str]:
        make_folder(self._outbox.parent)
        self._before_opening()
        while True:
            path = new_path(self._outbox)
            file = open_private(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
            if _is_ours(file, path):
                return file, path
            os.close(file)


def new_path(outbox: Path) -> str:
    """A name that no journal has had before."""
    return f"{outbox}.{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"


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
    """Whether the file still exists under its name: writes to a deleted file are lost without an error.

    Names are never reused, so a file of this name is that file. (`os.stat` takes twice as long.)
    """
    return os.access(path, os.F_OK)


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def paths(outbox: Path) -> list[Path]:
    """The journals of this outbox. Symbolic links are none."""
    prefix = f"{outbox.name}."
    try:
        with os.scandir(outbox.parent) as entries:
            names = [
                entry.name
                for entry in entries
                if entry.name.startswith(prefix)
                and entry.name.endswith(SUFFIXES)
                and entry.is_file(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []
    return [outbox.with_name(name) for name in sorted(names)]


class Reading:
    """Iterates over the frames and the damage that wait in the journal at `path`, from the drain's position on.

    The file is open only while a block of it is read, for there may be hundreds. Raises `NotAJournalError`.
    `is_finished`, afterwards: the writer is dead or has begun another file, so nothing more comes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header = Header()
        self.is_finished = False

    def __iter__(self) -> Iterator[Frame | Damage]:
        start, length = 0, _FIRST_BYTES
        while True:
            try:
                file = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
            except FileNotFoundError:
                return  # another drain has removed it
            try:
                self.is_finished = _lock(file)
                size = os.fstat(file).st_size
                if not start:
                    if size < HEADER_BYTES and self._is_unmade(file, size):
                        return
                    self.header = read_header(file)
                    start = self.header.position.offset
                content = os.pread(file, length, start)
            finally:
                os.close(file)
            is_end = start + len(content) >= size
            found, taken = parse(content, start, finished=self.is_finished and is_end)
            yield from found
            if is_end:
                return
            start += taken
            length = _BLOCK_BYTES if taken else 16 * length

    def _is_unmade(self, file: int, size: int) -> bool:
        """Whether the header is not written yet. Remove the file if its writer died before; we hold its lock then."""
        if not _MAGIC.startswith(os.pread(file, size, 0)[: len(_MAGIC)]):
            return False
        if self.is_finished:
            self.path.unlink(missing_ok=True)
        return True


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_header(file: int) -> Header:
    """The header. If its numbers are damaged, that of a new file: an event that is drained twice still counts once.

    Raises `NotAJournalError`.
    """
    content = os.pread(file, HEADER_BYTES, 0)
    if not content.startswith(_MAGIC):
        raise NotAJournalError("a file of the outbox does not begin as a journal does")
    numbers = content[len(_MAGIC) : -_CHECKSUM.size]
    if len(content) < HEADER_BYTES or content[-_CHECKSUM.size :] != _CHECKSUM.pack(zlib.crc32(numbers)):
        return Header()
    offset, taken, examined = _NUMBERS.unpack(numbers)
    return Header(Position(offset, taken), examined)


def change_header(path: Path, change: Callable[[Header], Header]) -> None:
    """Write a new header in place. Raises `FileNotFoundError` when the journal was removed, or `NotAJournalError`."""
    file = open_private(str(path), os.O_RDWR)
    try:
        os.pwrite(file, change(read_header(file)).encode(), 0)
    finally:
        os.close(file)


def entry_at(path: Path, offset: int) -> Entry | None:
    """The entry of the frame at `offset`; None if there is no whole one. Raises `FileNotFoundError`."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return _first_entry(file, offset, os.fstat(file).st_size)
    finally:
        os.close(file)


class Waiting(NamedTuple):
    """The backlog of one journal: events, since when (epoch seconds; None: none wait), bytes."""

    events: int = 0
    oldest_at: float | None = None
    bytes: int = 0


def waiting(path: Path) -> Waiting:
    """Return the backlog of the journal at `path`; an empty one if there is no journal. Takes no lock.

    An event that was damaged after it was written counts as well, until the drain comes to it.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            position, state = read_header(file).position, os.fstat(file)
        finally:
            os.close(file)
        if state.st_size <= position.offset:
            return Waiting()
        return _waiting(path, position, state.st_size, state.st_mtime_ns)
    except (FileNotFoundError, NotAJournalError):
        return Waiting()


@functools.lru_cache(maxsize=8192)
def _waiting(path: Path, position: Position, size: int, _changed_at: int) -> Waiting:
    """The backlog of a journal in one state. Its first and last frame are read once in each, for they may be large:
    280,000 events in frames of 1,000 took 22 ms at every look, and take 0.8 ms (CPU).
    """
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        first, last = _first_entry(file, position.offset, size), last_entry(file, position.offset, size)
        if first is None or last is None:  # damaged here
            content = os.pread(file, size - position.offset, position.offset)
            found = [piece.entry for piece in parse(content, finished=False)[0] if isinstance(piece, Frame)]
            events = sum(len(entry.bodies) for entry in found)
            oldest_at = min((entry.written_at for entry in found), default=None)
        else:
            events = last.count - first.count + len(first.bodies) - position.taken
            oldest_at = first.written_at
        return Waiting(events, oldest_at, size - position.offset)
    finally:
        os.close(file)


def _first_entry(file: int, start: int, end: int) -> Entry | None:
    """The entry of the frame that begins at `start`; None if there is no whole one."""
    head = os.pread(file, _FRAME_HEAD.size, start)
    if len(head) < _FRAME_HEAD.size:
        return None
    _, _, length = _FRAME_HEAD.unpack(head)
    frame = _frame_at(head + os.pread(file, min(length, end - start), start + _FRAME_HEAD.size), 0)
    return frame and frame[0]


def last_entry(file: int, start: int, end: int) -> Entry | None:
    """The entry of the last whole frame between `start` and `end`, searched from the end in ever larger blocks."""
    length = 0
    while length < end - start:
        length = min(max(_END_BYTES, 16 * length), end - start)
        content = os.pread(file, length, end - length)
        position = len(content)
        while (position := content.rfind(_MARK, 0, position)) >= 0:
            if frame := _frame_at(content, position):
                return frame[0]
    return None


def parse(content: bytes, offset: int = 0, *, finished: bool) -> tuple[list[Frame | Damage], int]:
    """The frames in `content`, which begins at `offset` of its file, and how many of its bytes they take.

    Bytes that are no frame are damage if a frame comes after them, or if the journal is `finished`. Otherwise they are
    still being written.
    """
    found: list[Frame | Damage] = []
    position = 0
    while position < len(content):
        start = position
        if frame := _frame_at(content, position):
            entry, position = frame
            found.append(Frame(offset + start, offset + position, entry))
            continue
        position = _next_frame(content, position + 1)
        if position == len(content):
            if not finished:
                return found, start
            is_cut_short = _is_cut_short(content, start)
            found.append(Damage(offset + start, offset + position, content[start:], is_cut_short))
        else:
            found.append(Damage(offset + start, offset + position, content[start:position]))
    return found, len(content)


def _frame_at(content: bytes, position: int) -> tuple[Entry, int] | None:
    """The entry of the frame that begins here, and where the frame ends; None if there is no whole one."""
    start = position + _FRAME_HEAD.size
    if start > len(content):
        return None
    mark, checksum, length = _FRAME_HEAD.unpack_from(content, position)
    payload = content[start : start + length]
    if mark != _MARK or len(payload) != length or zlib.crc32(payload) != checksum:
        return None
    try:
        return _decode(payload), start + length
    except msgspec.DecodeError:
        return None


def _next_frame(content: bytes, position: int) -> int:
    """Where the next whole frame begins; the end if there is none."""
    while (position := content.find(_MARK, position)) >= 0:
        if _frame_at(content, position):
            return position
        position += 1
    return len(content)


def _is_cut_short(content: bytes, position: int) -> bool:
    """Whether a frame begins here that the end of the content cuts in two."""
    rest = len(content) - position
    if rest < _FRAME_HEAD.size:
        return content[position : position + 4] == _MARK[:rest]
    mark, _, length = _FRAME_HEAD.unpack_from(content, position)
    return bool(mark == _MARK) and length > rest - _FRAME_HEAD.size


# ── Dead letters ─────────────────────────────────────────────────────────────────────────────────────────────────────


def append_rejected(path: Path, body: bytes, written_at: float, reason: str, source: str) -> None:
    """Append a dead letter to the file at `path`, once for each `source`. Raises `OSError`.

    Only drains do this, so it may wait for another one. The file has a journal's form: renamed, it is one.
    """
    with _locked_in_place(path) as file:
        size = os.fstat(file).st_size
        if not size:
            size = os.write(file, Header().encode())
        last = last_entry(file, HEADER_BYTES, size)
        if last is not None and last.source == source:
            return  # a drain was killed after it had written this, and before it moved on
        count = 1 + (last.count if last else 0)
        frame = encode_frame(Entry(written_at, [body], count, reason, source))
        if os.write(file, frame) != len(frame):
            os.ftruncate(file, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@contextlib.contextmanager
def _locked_in_place(path: Path) -> Iterator[int]:
    """Open the file at `path` and lock it. Open it again if it was renamed before the lock was there."""
    while True:
        file = open_private(str(path), os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino == os.fstat(file).st_ino:
                    yield file
                    return
        finally:
            os.close(file)
