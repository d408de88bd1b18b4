"""How large the outbox may grow, and whether there is room for more.

At the bound the newest calls are the ones that are not kept: for those in the outbox the promise that they survive has
been given already.
"""

from __future__ import annotations

import sqlite3
import time

from usage_billing.recording.outbox import Outbox, is_in_use_here

CHECK_S = 1.0
"""How long a finding holds: callers wait for it."""


class OutboxFull(OSError):
    """What waits in the outbox takes as much of the disk as the setting allows."""


class Room:
    """Of this process's outbox; `limit` in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._checked_at = float("-inf")
        self._is_full = False

    def expect(self, outbox: Outbox) -> None:
        """Raises `OutboxFull` if there is none."""
        now = time.monotonic()
        if now - self._checked_at >= CHECK_S and not is_in_use_here():
            self._checked_at = now
            try:
                self._is_full = outbox.is_larger_than(self._limit)
            except (sqlite3.Error, OSError):
                self._is_full = False  # whether it takes one more, it says itself
        if self._is_full:
            raise OutboxFull(f"the outbox has grown to {self._limit // 2**20} MB (USAGE_OUTBOX_MAX_MB)")
