"""Files of the outbox that are not what they should be: they are moved out of the way and kept.

`manage.py drain_usage --recover FILE` brings back the events that can be read in one.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from usage_billing.recording import journal
from usage_billing.recording.private_files import open_private

logger = logging.getLogger(__name__)

MARK = ".quarantined-"


def quarantine(outbox: Path, path: Path) -> None:
    """Move the file at `path`, which is no file of the outbox, out of the way. Raises `OSError`."""
    kept = f"{outbox}{MARK}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    try:
        os.rename(path, kept)
    except FileNotFoundError:
        return  # another process was quicker
    logger.error(
        "%s is damaged, or no file of the outbox. It was moved to %s, and recording goes on."
        " `manage.py drain_usage --recover %s` brings back the events that can be read in it.",
        path,
        kept,
        kept,
    )


def quarantined(outbox: Path) -> list[Path]:
    """The files that were moved out of the way, oldest first."""
    try:
        names = os.listdir(outbox.parent)
    except OSError:
        return []
    return [outbox.with_name(name) for name in sorted(names) if name.startswith(f"{outbox.name}{MARK}")]


def recovered(path: Path) -> list[bytes]:
    """The events that can be read in a quarantined file. It stays as it is. Raises `OSError`."""
    found, _ = journal.parse(path.read_bytes(), finished=True)
    return [body for piece in found if isinstance(piece, journal.Frame) for body in piece.entry.bodies]


@contextmanager
def one_at_a_time(outbox: Path) -> Iterator[None]:
    """Wait until no other process of this machine makes or moves the outbox's own file."""
    with open(f"{outbox}.lock", "w", opener=open_private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
