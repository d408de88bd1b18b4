"""The outbox: events wait here until the ledger has them, in files beside each other, one a process (`journal`).

An `append` waits neither for the disk nor for another process. What it wrote survives the death of the process, not of
the machine. Safe between threads, processes and across a fork.

The files, all of them beside the outbox's own at `path`:
`path`: the outbox itself, with the id of the ledger that it belongs to; `path.*.journal`: events that wait;
`path.rejected`: dead letters; `path.quarantined-*`: files that could not be read; `path.losses`, `path.drain-state`:
see `state_files`; `path.drain`, `path.lock`: locks.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import itertools
import logging
import operator
import os
import time
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from usage_billing.recording import journal, quarantine, state_files
from usage_billing.recording.journal import Damage, Frame, Header, Position
from usage_billing.recording.private_files import make_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backlog:
    """The state of the outbox: waiting events, since when (epoch seconds; None: none wait), dead letters, losses."""

    events: int
    oldest_at: float | None
    rejected: int
    lost: int


class EventId(NamedTuple):
    """Where an event is: in which journal and frame, and which body of the frame. `after`: the position behind it."""

    journal: str
    offset: int
    body_index: int
    after: Position

    def __str__(self) -> str:
        return f"{self.journal}:{self.offset}:{self.body_index}"


class _Event(NamedTuple):
    written_at: float
    id: EventId
    body: bytes


class DeadLetter(NamedTuple):
    """An event that the ledger refused. `number`: 1 is the oldest. `written_at`: epoch seconds."""

    number: int
    written_at: float
    reason: str
    body: bytes


class Outbox:
    """The outbox at `path`. Each process, and each child after a fork, writes to a journal of its own."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._rejected = Path(f"{self.path}.rejected")
        self._journal = journal.Writer(self.path, before_opening=self._prepare_if_possible)
        _opened.add(self)

    def append(self, *bodies: bytes) -> None:
        """Keep all of them safe from the death of this process, or none. Raises `OSError`."""
        self._journal.append(bodies)

    def _prepare_if_possible(self) -> None:
        """Keep events even if the outbox's own file cannot be made: `read` and `backlog` report that."""
        try:
            _prepare(self.path)
        except OSError as error:
            logger.debug("The outbox's own file could not be made: %s", error)

    def read(self, limit: int) -> list[tuple[EventId, bytes]]:
        """The oldest events, at most `limit`. Raises `OSError`.

        Events of one journal keep its order. Journals are merged by the moment of writing, because the answer of a
        background call is often fetched by another process than the one that began it.
        """
        _prepare(self.path)
        waiting = heapq.merge(*map(self._events, journal.paths(self.path)), key=operator.itemgetter(0))
        return [(event.id, event.body) for event in itertools.islice(waiting, limit)]

    def delete(self, ids: Sequence[EventId]) -> None:
        """Move past events that the ledger has committed. They must be the oldest ones, as `read` returned them."""
        for name, after in {id_.journal: id_.after for id_ in ids}.items():
            with contextlib.suppress(FileNotFoundError):
                journal.change_header(self.path.with_name(name), functools.partial(_moved, after=after))

    def reject(self, id_: EventId, reason: str) -> None:
        """Make the oldest event a dead letter, with the reason: it blocks nothing, and can be put back."""
        with contextlib.suppress(FileNotFoundError):
            if entry := journal.entry_at(self.path.with_name(id_.journal), id_.offset):
                body = entry.bodies[id_.body_index]
                journal.append_rejected(self._rejected, body, entry.written_at, reason, source=str(id_))
        self.delete([id_])

    def put_back(self) -> int:
        """Let every dead letter wait again. Returns how many."""
        path = Path(journal.new_path(self.path))
        try:
            self._rejected.rename(path)
        except FileNotFoundError:
            return 0
        return journal.waiting(path).events

    def list_rejected(self, limit: int) -> list[DeadLetter]:
        """The oldest dead letters, at most `limit`."""
        entries = (piece.entry for piece in journal.Reading(self._rejected) if isinstance(piece, Frame))
        return [
            DeadLetter(entry.count, entry.written_at, entry.reason, entry.bodies[0])
            for entry in itertools.islice(entries, limit)
        ]

    def note_losses(self, losses: Mapping[str, int]) -> None:
        """Add to the count of events that no process could write, by reason. Raises `OSError`."""
        state_files.add_losses(self.path, losses)

    def lost(self) -> int:
        """How many events were noted as lost. Raises `OSError`."""
        return sum(events for events, _ in state_files.losses(self.path).read().values())

    def backlog(self) -> Backlog:
        """Count the events that wait. The time depends on the number of files, not of events."""
        _prepare(self.path)
        parts = [journal.waiting(path) for path in journal.paths(self.path)]
        return Backlog(
            events=sum(part.events for part in parts),
            oldest_at=min((part.oldest_at for part in parts if part.oldest_at is not None), default=None),
            rejected=journal.waiting(self._rejected).events,
            lost=self.lost(),
        )

    def size(self) -> int:
        """How many bytes of the disk the outbox takes, with all its files. Raises `OSError`."""
        total = 0
        with os.scandir(self.path.parent) as entries:
            for entry in entries:
                if entry.name.startswith(self.path.name):
                    with contextlib.suppress(FileNotFoundError):
                        total += entry.stat(follow_symlinks=False).st_size
        return total

    def is_larger_than(self, limit: int) -> bool:
        """Whether events that wait, and dead letters, take more bytes. What is drained does not count."""
        if self.size() <= limit:
            return False
        return sum(journal.waiting(path).bytes for path in [*journal.paths(self.path), self._rejected]) > limit

    @property
    def ledger_id(self) -> str:
        """The id of the ledger that this outbox is drained to; empty before the first drain. Raises `OSError`."""
        return str(state_files.outbox_state(self.path).read().get("ledger", ""))

    @ledger_id.setter
    def ledger_id(self, id_: str) -> None:
        _prepare(self.path)
        state_files.outbox_state(self.path).change(lambda values: values | {"ledger": id_})

    @property
    def id(self) -> str:
        """The id of this outbox among all that are drained to one ledger: made once, and kept with it.

        Raises `OSError`.
        """
        _prepare(self.path)
        state = state_files.outbox_state(self.path)
        if not (found := state.read().get("id")):
            # Of two processes at once, the first one wins.
            state.change(lambda values: {"id": uuid.uuid4().hex} | values)
            found = state.read()["id"]
        return str(found)

    def close(self) -> None:
        self._journal.close()

    def forget_file(self) -> None:
        """In a forked child: leave the parent's journal alone."""
        self._journal.forget_file()

    def _events(self, path: Path) -> Iterator[_Event]:
        """The events that wait in one journal. Report its damage; remove it when it is finished and drained."""
        reading, is_drained = journal.Reading(path), True
        try:
            for piece in reading:
                if isinstance(piece, Damage):
                    self._report(path, reading.header, piece)
                    continue
                position, bodies = reading.header.position, piece.entry.bodies
                taken = position.taken if piece.start == position.offset else 0
                for index in range(taken, len(bodies)):
                    is_drained = False
                    after = Position(piece.end) if index + 1 == len(bodies) else Position(piece.start, index + 1)
                    yield _Event(piece.entry.written_at, EventId(path.name, piece.start, index, after), bodies[index])
        except journal.NotAJournalError:
            quarantine.quarantine(self.path, path)
            return
        if reading.is_finished and is_drained:
            path.unlink(missing_ok=True)

    def _report(self, path: Path, header: Header, damage: Damage) -> None:
        """Make damage a dead letter, once, so that somebody can look at it."""
        if damage.end <= header.examined:
            return
        if damage.is_cut_short:
            logger.warning("%s ends in half an event: its process was killed in a call, or the disk was full.", path)
        else:
            reason = f"{len(damage.content)} bytes of {path.name} are damaged"
            logger.error("%s. They are kept as a dead letter; the events before and after are whole.", reason)
            source = f"{path.name}:{damage.start}"
            journal.append_rejected(self._rejected, damage.content, time.time(), reason, source)
        with contextlib.suppress(FileNotFoundError):
            journal.change_header(path, lambda header: header._replace(examined=max(header.examined, damage.end)))


def _moved(header: Header, after: Position) -> Header:
    """Never back: two drains may be at work on a file system without locks."""
    return header._replace(position=max(header.position, after))


def _prepare(path: Path) -> None:
    """Make the outbox's own file if there is none. A file of another kind in its place is quarantined.

    Raises `OSError`.
    """
    state = state_files.outbox_state(path)
    if state.read():
        return
    make_folder(path.parent)
    with quarantine.one_at_a_time(path):
        if state.read():
            return  # another process was quicker
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size:
                quarantine.quarantine(path, path)
        state.change(lambda _: {"outbox": 3})
    state_files.losses(path).prepare()


_opened: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _forget_files() -> None:
    for outbox in _opened:
        outbox.forget_file()


os.register_at_fork(after_in_child=_forget_files)
