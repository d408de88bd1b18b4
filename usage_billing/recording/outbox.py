"""Where events wait until the ledger has them: a SQLite file in WAL mode, and the journals beside it.

An `append` is one write to the journal of its process, without a wait for the disk or for anybody else: what is written
survives the death of the process (the pages are the kernel's), not that of the machine. Whoever reads the outbox first
collects the journals into the SQLite file. Safe between threads, processes and across a fork.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from usage_billing.recording import journal, quarantine, state_files
from usage_billing.recording.private_files import create_private, make_folder, make_private

logger = logging.getLogger(__name__)

# AUTOINCREMENT: an id is never given twice, so a drain that deletes what it has read cannot delete a newer event.
SCHEMA = """
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL, written_at REAL NOT NULL
);
CREATE TABLE set_aside (
    id INTEGER PRIMARY KEY, body BLOB NOT NULL, written_at REAL NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE loss (reason TEXT PRIMARY KEY, events INTEGER NOT NULL, last_at REAL NOT NULL);
"""
# What an outbox of an earlier version does not have: the order, how far each journal was collected, and how many rows
# there are. Triggers keep those numbers: so they stay right while a process of an earlier version goes on.
ADDITIONS = (
    "CREATE INDEX IF NOT EXISTS event_in_order ON event (written_at, id)",
    "CREATE TABLE IF NOT EXISTS journal (name TEXT PRIMARY KEY, position INTEGER NOT NULL)",
    "CREATE TABLE backlog (waiting INTEGER NOT NULL, rejected INTEGER NOT NULL)",
    "INSERT INTO backlog SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM set_aside)",
    "CREATE TRIGGER event_added AFTER INSERT ON event BEGIN UPDATE backlog SET waiting = waiting + 1; END",
    "CREATE TRIGGER event_removed AFTER DELETE ON event BEGIN UPDATE backlog SET waiting = waiting - 1; END",
    "CREATE TRIGGER rejected_added AFTER INSERT ON set_aside BEGIN UPDATE backlog SET rejected = rejected + 1; END",
    "CREATE TRIGGER rejected_removed AFTER DELETE ON set_aside BEGIN UPDATE backlog SET rejected = rejected - 1; END",
)
SCHEMA_VERSION = 1
"""`PRAGMA user_version` of a file that has the additions."""

LOCK_WAIT_S = 0.2
"""How long a reader or a note of losses waits for another process's write, which takes microseconds."""

BACKLOG_TRIES = 10
"""How often the backlog is looked at anew when a journal went into the file meanwhile."""

LARGE_LOG_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Backlog:
    """What the outbox holds: events that wait, since when (epoch seconds; None: none wait), set aside, known lost."""

    events: int
    oldest_at: float | None
    rejected: int
    lost: int


class _Thread(threading.local):
    inside = False


_this_thread = _Thread()


def is_in_use_here() -> bool:
    """Whether this very thread reads an outbox, or writes to one otherwise than by `append`.

    The garbage collector may run at any point and close a stream that nobody read: an `append` may come then, and
    nothing else.
    """
    return _this_thread.inside


P = ParamSpec("P")
R = TypeVar("R")


def _anew_if_damaged(method: Callable[P, R]) -> Callable[P, R]:
    """Ask once more when the file turns out to be damaged: it has been put aside, and there is a new one."""

    @functools.wraps(method)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except sqlite3.DatabaseError as error:
            if not quarantine.is_damage(error):
                raise
            return method(*args, **kwargs)

    return asked


class Outbox:
    """The file at `path`. Each process, and each child after a fork, opens it anew at its first use."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        # A connection must not be used, nor closed, on the other side of a fork: SQLite would drop the parent's locks.
        self._inherited: list[sqlite3.Connection] = []
        self._inode = 0
        self._journal = journal.Writer(self.path, before_opening=functools.partial(_create, self.path))
        _opened.add(self)

    def append(self, *bodies: bytes) -> None:
        """Keep all of them safe from the death of this process, or none. Raises `OSError` or `sqlite3.Error`."""
        self._journal.append(bodies)

    @_anew_if_damaged
    def read(self, limit: int) -> list[tuple[int, bytes]]:
        """The oldest events, at most `limit`, as (id, body)."""
        self._collect()
        with self._connected() as connection:
            # Not by id: what was written in another process, and later, may have been collected before.
            rows = connection.execute("SELECT id, body FROM event ORDER BY written_at, id LIMIT ?", (limit,))
            return rows.fetchall()

    def delete(self, ids: Sequence[int]) -> None:
        """Forget events that the ledger has committed."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM event WHERE id = ?", ((id_,) for id_ in ids))

    def reject(self, id_: int, reason: str) -> None:
        """Put an event that the ledger refuses where it blocks nothing, with the reason; it can be put back."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO set_aside SELECT id, body, written_at, ? FROM event WHERE id = ?",
                (reason, id_),
            )
            connection.execute("DELETE FROM event WHERE id = ?", (id_,))

    def put_back(self) -> int:
        """Move every event that was set aside back among those that wait. Returns how many."""
        with self._transaction() as connection:
            moved = connection.execute("INSERT INTO event (body, written_at) SELECT body, written_at FROM set_aside")
            connection.execute("DELETE FROM set_aside")
            return moved.rowcount

    def list_rejected(self, limit: int) -> list[tuple[int, float, str, bytes]]:
        """What was set aside, oldest first, at most `limit`: id, when it was written (epoch seconds), reason, body."""
        with self._connected() as connection:
            return connection.execute(
                "SELECT id, written_at, reason, body FROM set_aside ORDER BY id LIMIT ?", (limit,)
            ).fetchall()

    def note_losses(self, losses: Mapping[str, int]) -> None:
        """Add to the count of events that no process could write, by reason. Raises `OSError`."""
        state_files.add_losses(self.path, losses)

    def lost(self) -> int:
        """How many events were noted as lost. Raises `OSError`."""
        return sum(events for events, _ in state_files.losses(self.path).read().values())

    @_anew_if_damaged
    def backlog(self) -> Backlog:
        """What waits at one moment. It takes as long for many events as for few; it grows with the number of files."""
        for _ in range(BACKLOG_TRIES):
            # Listed before the file is looked at: a journal that is removed later is missed there, and so noticed.
            journals = journal.paths(self.path)
            state, positions = self._collected_backlog()
            with contextlib.suppress(FileNotFoundError):
                parts = [journal.waiting(path, positions.get(path.name, 0)) for path in journals]
                break
        else:
            parts = []  # journals come and go faster than they can be counted: tell what was collected
        moments = [state.oldest_at, *(oldest_at for _, oldest_at in parts)]
        return Backlog(
            events=state.events + sum(events for events, _ in parts),
            oldest_at=min((moment for moment in moments if moment is not None), default=None),
            rejected=state.rejected,
            lost=state.lost + self.lost(),
        )

    def _collected_backlog(self) -> tuple[Backlog, dict[str, int]]:
        """What the SQLite file holds, and the positions that its journals were collected to at that moment."""
        with self._connected() as connection:
            connection.execute("BEGIN")  # one moment for all of it
            events, rejected = connection.execute("SELECT waiting, rejected FROM backlog").fetchone()
            (oldest_at,) = connection.execute("SELECT min(written_at) FROM event").fetchone()
            # The table is where earlier versions noted losses.
            (lost,) = connection.execute("SELECT coalesce(sum(events), 0) FROM loss").fetchone()
            positions = _positions(connection)
            connection.execute("COMMIT")
        return Backlog(events=events, oldest_at=oldest_at, rejected=rejected, lost=lost), positions

    def size(self) -> int:
        """How many bytes of the disk the outbox takes, with all that belongs to it. Raises `OSError`."""
        return sum(self._sizes())

    def is_larger_than(self, limit: int) -> bool:
        """Whether what waits takes more bytes than that. The room of events that left is not given back, but reused."""
        if self.size() <= limit:
            return False
        with self._connected() as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
            collected = sum(_positions(connection).values())
        return bool((pages - free) * page_bytes + sum(self._sizes(journal.SUFFIXES)) - collected > limit)

    def _sizes(self, suffixes: str | tuple[str, ...] = "") -> Iterator[int]:
        for entry in self._files(suffixes):
            with contextlib.suppress(FileNotFoundError):
                yield entry.stat().st_size

    def _files(self, suffixes: str | tuple[str, ...] = "") -> Iterator[os.DirEntry[str]]:
        """Each file whose name begins with the outbox's and ends with one of these."""
        with os.scandir(self.path.parent) as entries:
            for entry in entries:
                if entry.name.startswith(self.path.name) and entry.name.endswith(suffixes):
                    yield entry

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file. The drain's work: it waits for the disk.

        Passive, so that no append waits; once the log has grown large, at the price of a short wait, it is cut as well.
        """
        with self._connected() as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if os.path.getsize(f"{self.path}-wal") > LARGE_LOG_BYTES:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        self._journal.close()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _collect(self) -> None:
        """Move what the journals hold into the SQLite file, each byte once; remove those that are finished."""
        with self._connected() as connection:
            positions = _positions(connection)
        for path in journal.paths(self.path):
            with contextlib.suppress(FileNotFoundError), journal.reading(path) as reading:
                if reading.size() > positions.get(path.name, 0):
                    self._collect_from(reading)
                if reading.finished:
                    path.unlink()
        if gone := [(name,) for name in positions if not self.path.with_name(name).exists()]:
            with self._transaction() as connection:
                connection.executemany("DELETE FROM journal WHERE name = ?", gone)

    def _collect_from(self, reading: journal.Reading) -> None:
        with self._transaction() as connection:
            if reading.is_removed():
                return  # another reader has it all, and may have forgotten how far it came
            position = _positions(connection).get(reading.name, 0)
            found, end = reading.after(position)
            connection.executemany(
                "INSERT INTO event (body, written_at) VALUES (?, ?)",
                [(body, entry.written_at) for entry in journal.entries(found) for body in entry.bodies],
            )
            for damage in journal.damages(found):
                _keep_damage(connection, damage, reading.name)
            connection.execute("INSERT OR REPLACE INTO journal VALUES (?, ?)", (reading.name, end))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        _this_thread.inside = True
        try:
            with self._lock:
                try:
                    yield self._open()
                except sqlite3.DatabaseError as error:
                    if quarantine.is_damage(error):
                        quarantine.quarantine_outbox(self.path, self._inode, error)
                    raise
        finally:
            _this_thread.inside = False

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and not self._is_in_place():
            self._connection.close()
            self._connection = None
        if self._connection is None:
            _create(self.path)
            for entry in self._files():
                make_private(Path(entry))  # an earlier version left them to the umask
            self._inode = self.path.stat().st_ino
            connection = sqlite3.connect(self.path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA synchronous = NORMAL")
                # A checkpoint waits for the disk; an append must not. The drain makes them.
                connection.execute("PRAGMA wal_autocheckpoint = 0")
                _complete(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _is_in_place(self) -> bool:
        """Whether the open file is still the one at `path`: what goes into a deleted file is lost without an error."""
        try:
            return os.stat(self.path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def forget_connection(self) -> None:
        """In a forked child: leave the parent's connection and journal alone."""
        self._journal.forget_file()
        self._lock = threading.Lock()
        if self._connection is not None:
            self._inherited.append(self._connection)
            self._connection = None


def _complete(connection: sqlite3.Connection) -> None:
    """Add to the file of an earlier version, or a new one, what it does not have yet."""
    if _schema_version(connection) >= SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    if _schema_version(connection) < SCHEMA_VERSION:  # else another process was quicker
        for addition in ADDITIONS:
            connection.execute(addition)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _schema_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _positions(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT name, position FROM journal").fetchall())


def _keep_damage(connection: sqlite3.Connection, damage: journal.Damage, name: str) -> None:
    """Set aside what is in a journal and is no event, so that somebody can look at it."""
    if damage.is_cut_short:
        logger.warning("%s ends in half an event: its process was killed inside a call, or the disk was full.", name)
        return
    reason = f"{len(damage.content)} bytes of {name} are damaged"
    logger.error("%s. They are set aside; what came before and after is whole.", reason)
    now = time.time()
    kept = connection.execute("INSERT INTO event (body, written_at) VALUES (?, ?)", (damage.content, now)).lastrowid
    connection.execute("INSERT INTO set_aside VALUES (?, ?, ?, ?)", (kept, damage.content, now, reason))
    connection.execute("DELETE FROM event WHERE id = ?", (kept,))


def _create(path: Path) -> None:
    """Make the file if there is none, ready for use, in one step: many processes may open it at the same first moment.

    Else one would find it without tables, or in the middle of the switch to WAL, which waits for nobody.
    """
    if path.exists():
        return
    make_folder(path.parent)
    new = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.new")
    create_private(new)  # SQLite gives the files beside it the same mode
    with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)
    try:
        os.link(new, path)
    except FileExistsError:
        pass  # another was quicker; its file is as good
    finally:
        new.unlink()
    state_files.losses(path).prepare()


_opened: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _forget_connections() -> None:
    for outbox in _opened:
        outbox.forget_connection()


os.register_at_fork(after_in_child=_forget_connections)
