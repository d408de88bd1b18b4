"""Outboxes that SQLite cannot read: put beside the path, kept, and what is readable in them brought back."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from usage_billing.recording.private_files import open_private

logger = logging.getLogger(__name__)

MARK = ".damaged-"
_LOGS = ("", "-wal", "-shm")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken; a full disk, a lock or a missing right are no damage."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def quarantine_outbox(path: Path, inode: int, error: sqlite3.Error) -> None:
    """Make way for a new outbox, if the file with that inode is still at `path`. Raises `OSError`."""
    with _one_at_a_time(path):
        try:
            if os.stat(path).st_ino != inode:
                return  # another process was quicker
        except FileNotFoundError:
            return
        kept = f"{path}{MARK}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        for log in reversed(_LOGS):
            with suppress(FileNotFoundError):
                os.rename(f"{path}{log}", f"{kept}{log}")
    logger.error(
        "The outbox is damaged (%s). It was moved to %s, and recording goes on with a new one."
        " `manage.py drain_usage --recover %s` brings back what can be read of it.",
        error,
        kept,
        kept,
    )


def kept(path: Path) -> list[Path]:
    """The outboxes that were put aside, oldest first."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return []
    prefix = f"{path.name}{MARK}"
    return [path.with_name(name) for name in sorted(names) if name.startswith(prefix) and not name.endswith(_LOGS[1:])]


def recovered(path: Path) -> list[bytes]:
    """The events that can still be read from a damaged outbox, those that had been set aside too. Raises `OSError`.

    From both ends towards the damage, for a table is read in the order of its rows.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    found: dict[tuple[str, int], bytes] = {}
    # Read only: it stays as it was found.
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        for table in ("event", "set_aside"):
            for order in ("ASC", "DESC"):
                with suppress(sqlite3.DatabaseError):
                    # A row at a time: those before the damage come out.
                    for id_, body in connection.execute(f"SELECT id, body FROM {table} ORDER BY id {order}"):  # noqa: S608 - our own names
                        found[table, id_] = bytes(body)
    return [found[key] for key in sorted(found)]


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with open(f"{path}.repair", "w", opener=open_private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
