"""Limits exports: two at a time for a person, or a service token, on this machine, four in a process.

An export occupies a thread of the server until it ends. A slot is a lock on a byte of a file, which the kernel releases
when the process dies; a row in the database would stay. The file lies beside the outbox, the folder that all processes
of the machine share.
"""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from django.utils.translation import gettext

from usage_billing.auth.credentials import ident
from usage_billing.conf import conf
from usage_billing.recording.private_files import make_folder, open_private

EXPORTS_PER_USER, EXPORTS_PER_PROCESS = 2, 4
"""Half of a worker's threads stay free for other requests (`deploy/gunicorn.conf.py`)."""
RETRY_AFTER_S = 30


class TooManyExportsError(Exception):
    """The limit is reached. The text is for the person who asked for one more export."""


class Slot:
    """The right to make one export. It ends with `close`, with the last reference to it, or with the process."""

    def __init__(self, slots: _Slots, position: int) -> None:
        self.close = weakref.finalize(self, slots.give_back, position)
        self.close.atexit = False


def take(user: Any) -> Slot:
    """Take a slot for an export of this user. Raises `TooManyExportsError`."""
    with _opening:
        slots = _slots(f"{conf.OUTBOX_PATH}.exports")
    return slots.take(user)


class _Slots:
    """Locks on bytes of a file, `EXPORTS_PER_USER` bytes for each user."""

    def __init__(self, path: str) -> None:
        make_folder(Path(path).parent)
        # Never closed: closing it anywhere in the process would release all its locks.
        self._file = open_private(path, os.O_RDWR | os.O_CREAT)
        # A lock on a file excludes other processes, but not threads of this one.
        self._taken: set[int] = set()
        # Reentrant, because the garbage collector can close a slot in the middle of `take`.
        self._changing = threading.RLock()

    def take(self, user: Any) -> Slot:
        first = zlib.crc32(ident(user).encode()) * EXPORTS_PER_USER
        with self._changing:
            if len(self._taken) < EXPORTS_PER_PROCESS:
                for position in range(first, first + EXPORTS_PER_USER):
                    if position not in self._taken and self._lock(position):
                        self._taken.add(position)
                        return Slot(self, position)
        raise TooManyExportsError(
            gettext("Too many exports are running, yours or everybody's. Wait until one is done.")
        )

    def give_back(self, position: int) -> None:
        with self._changing:
            self._taken.discard(position)
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, position)

    def _lock(self, position: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, position)
        except BlockingIOError:
            return False
        return True


_slots = cache(_Slots)
_opening = threading.Lock()
"""Two threads that come first at the same moment would each open the file and count by themselves."""
