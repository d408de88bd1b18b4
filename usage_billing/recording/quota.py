"""How large the outbox may grow.

At the limit, new events are refused and counted as lost. Those in the outbox stay: they were promised to survive.
"""

from __future__ import annotations

import os
import time

from usage_billing.recording.outbox import Outbox

CHECK_S = 1.0
"""How long a result holds: callers wait for it."""
RESERVE_BYTES = 16 * 2**20
"""Left free on the disk, so that the drain can still keep a dead letter, and other programs can work."""


class OutboxFullError(OSError):
    """The outbox takes no more events; the message says which limit was reached."""


class OutboxQuota:
    """The quota of this process's outbox; `limit` in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._checked_at = float("-inf")
        self._reached = ""

    def check(self, outbox: Outbox) -> None:
        """Raise `OutboxFullError` if the outbox may not grow."""
        now = time.monotonic()
        if now - self._checked_at >= CHECK_S:
            self._checked_at = now
            try:
                self._reached = self._limit_reached(outbox)
            except OSError:
                self._reached = ""  # the append itself says whether there is room
        if self._reached:
            raise OutboxFullError(self._reached)

    def _limit_reached(self, outbox: Outbox) -> str:
        disk = os.statvfs(outbox.path.parent)
        if disk.f_bavail * disk.f_frsize < RESERVE_BYTES:
            return f"less than {RESERVE_BYTES // 2**20} MB are left on its disk"
        if outbox.is_larger_than(self._limit):
            return f"the outbox has grown to {self._limit // 2**20} MB (USAGE_OUTBOX_MAX_MB)"
        return ""
