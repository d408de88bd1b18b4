"""How many exports are made at a time: two for a person on this machine, four in a process.

An export keeps a thread of the server for as long as it is made. Counting rows of the database would leave a slot taken
where a process dies; a lock on a byte of a file goes with the process that has it. The file lies beside the outbox,
where all processes of the machine meet.
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

from usage_billing.conf import conf
from usage_billing.recording.private_files import make_folder, open_private

EXPORTS_PER_USER, EXPORTS_PER_PROCESS = 2, 4
"""Half of a worker's threads are left for everybody else (`deploy/gunicorn.conf.py`)."""
RETRY_AFTER_S = 30


class TooManyExportsError(Exception):
    """As many exports are being made as may be at a time. Its text is for the person who asked for one more."""


class Slot:
    """The right to make an export. `close` gives it back; so does forgetting it, and the end of the process."""

    def __init__(self, slots: _Slots, position: int) -> None:
        self.close = weakref.finalize(self, slots.give_back, position)
        self.close.atexit = False


def take(user: Any) -> Slot:
    """A slot for an export of this user. Raises `TooManyExportsError`."""
    with _opening:
        slots = _slots(f"{conf.OUTBOX_PATH}.exports")
    return slots.take(user)


class _Slots:
    """Bytes of a file, `EXPORTS_PER_USER` of them for each user; a slot is a lock on one."""

    def __init__(self, path: str) -> None:
        make_folder(Path(path).parent)
        # Never closed: closing it anywhere in the process would give all of its locks back.
        self._file = open_private(path, os.O_RDWR | os.O_CREAT)
        # A lock on a file holds other processes back, but not the threads of this one.
        self._taken: set[int] = set()
        # One that its thread may take again: the garbage collector can give a slot back in the middle of `take`.
        self._changing = threading.RLock()

    def take(self, user: Any) -> Slot:
        first = zlib.crc32(str(user.pk).encode()) * EXPORTS_PER_USER
        with self._changing:
            if len(self._taken) < EXPORTS_PER_PROCESS:
                for position in range(first, first + EXPORTS_PER_USER):
                    if position not in self._taken and self._lock(position):
                        self._taken.add(position)
                        return Slot(self, position)
        raise TooManyExportsError(
            gettext("Your exports, or those of everybody, are as many as are made at a time. Wait until one is done.")
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
