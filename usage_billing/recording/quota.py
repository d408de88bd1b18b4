"""How large the outbox may grow, and whether there is room for more.

At the bound the newest calls are the ones that are not kept: for those in the outbox the promise that they survive has
been given already.
"""

from __future__ import annotations

import os
import sqlite3
import time

from usage_billing.recording.outbox import Outbox, is_in_use_here

CHECK_S = 1.0
"""How long a finding holds: callers wait for it."""
RESERVE_BYTES = 16 * 2**20
"""Left free on the disk: to take events out of a SQLite file needs room, too. Without it nothing could ever leave."""


class OutboxFullError(OSError):
    """There is no room for another event; the message says which bound was reached."""


class OutboxQuota:
    """Of this process's outbox; `limit` in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._checked_at = float("-inf")
        self._reached = ""

    def check(self, outbox: Outbox) -> None:
        """Raises `OutboxFullError` if there is none."""
        now = time.monotonic()
        if now - self._checked_at >= CHECK_S and not is_in_use_here():
            self._checked_at = now
            try:
                self._reached = self._bound_reached(outbox)
            except (sqlite3.Error, OSError):
                self._reached = ""  # whether it takes one more, it says itself
        if self._reached:
            raise OutboxFullError(self._reached)

    def _bound_reached(self, outbox: Outbox) -> str:
        disk = os.statvfs(outbox.path.parent)
        if disk.f_bavail * disk.f_frsize < RESERVE_BYTES:
            return f"less than {RESERVE_BYTES // 2**20} MB are left on its disk, which the drain needs"
        if outbox.is_larger_than(self._limit):
            return f"the outbox has grown to {self._limit // 2**20} MB (USAGE_OUTBOX_MAX_MB)"
        return ""
