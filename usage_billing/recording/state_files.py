"""Small files that all processes of the machine share: the outbox's own, its losses, and the state of its drain.

Each is a JSON object of a fixed size that is changed in place. So it can be written when the disk is full, and it
outlives the process that wrote it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from usage_billing.recording.private_files import make_folder, open_private

SIZE = 4096
"""A page: one `pwrite` of it is not torn by the death of the process."""
LOCK_TRIES, LOCK_PAUSE_S = 50, 0.001
REASONS = 12
"""So many reasons of losses are told apart; more would not fit."""
OTHER_REASONS = "other reasons"

Values = dict[str, Any]


class StateFile:
    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def prepare(self) -> None:
        """Take the file's bytes on the disk while there are some. Raises `OSError`."""
        with self._locked(os.O_RDWR | os.O_CREAT) as file:
            if os.fstat(file).st_size < SIZE:
                _write(file, _read(file))

    def read(self) -> Values:
        """The values; none if there is no file, or another kind of file. Raises `OSError` if it may not be read."""
        try:
            file = os.open(self.path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        try:
            return _read(file)
        finally:
            os.close(file)

    def change(self, change: Callable[[Values], Values]) -> None:
        """Replace the values, while no other process does. Raises `OSError`."""
        with self._locked(os.O_RDWR | os.O_CREAT) as file:
            _write(file, change(_read(file)))

    @contextmanager
    def _locked(self, flags: int) -> Iterator[int]:
        make_folder(self.path.parent)
        file = open_private(str(self.path), flags)
        try:
            _lock(file)
            yield file
        finally:
            os.close(file)


def _lock(file: int) -> None:
    """Lock the file. Others hold it for microseconds; a process that was stopped while it did must not stop us."""
    for _ in range(LOCK_TRIES - 1):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
        else:
            return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read(file: int) -> Values:
    try:
        values = json.loads(os.pread(file, SIZE, 0).rstrip(b" \n\0") or b"{}")
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _write(file: int, values: Values) -> None:
    content = json.dumps(values, ensure_ascii=False).encode()
    if len(content) >= SIZE:
        raise OSError(f"{len(content)} bytes do not fit into a state file of the outbox")
    os.pwrite(file, content.ljust(SIZE - 1) + b"\n", 0)


def outbox_state(outbox: str | os.PathLike[str]) -> StateFile:
    """The outbox's own file: its `id`; `outbox`, the version of its format; `ledger`, the id of its ledger."""
    return StateFile(outbox)


def losses(outbox: str | os.PathLike[str]) -> StateFile:
    """Calls that could not be kept: reason → [how many, when the last one was (epoch seconds)]."""
    return StateFile(f"{outbox}.losses")


def add_losses(outbox: str | os.PathLike[str], by_reason: Mapping[str, int]) -> None:
    """Add to the count of the calls that no process of this machine could keep. Raises `OSError`."""
    now = time.time()

    def added(values: Values) -> Values:
        for reason, calls in by_reason.items():
            known = reason if reason in values or len(values) < REASONS else OTHER_REASONS
            before, _ = values.get(known, [0, now])
            values[known] = [before + calls, now]
        return values

    losses(outbox).change(added)


def drain_state(outbox: str | os.PathLike[str]) -> StateFile:
    """The drain's state: `pid`; `drained`, events ever; `counted`, name → calls ever; `drained_at`, epoch seconds;
    `failing`.
    """
    return StateFile(f"{outbox}.drain-state")
