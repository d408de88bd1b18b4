"""The recorder's state as a badge: the same on every page, whatever its filters."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from usage_billing import recording

LATE_AFTER_S = 600
"""An event that waits longer means that nothing drains the outbox."""
KEPT_S = 10
"""How long a process shows the same state: to count the waiting events takes 7 ms for each thousand of them."""


@dataclass(frozen=True)
class RecorderState:
    """waiting: events in the outbox of this machine, 0 if it cannot be read. kind: `good`, `late` or `bad`.

    oldest_at: when the oldest of them was recorded, in seconds since 1970.
    """

    waiting: int
    rejected: int
    lost: int
    error: str
    is_late: bool
    oldest_at: float | None = None
    is_readable: bool = True

    @property
    def kind(self) -> str:
        if self.error or self.lost or self.rejected or not self.is_readable:
            return "bad"
        return "late" if self.is_late else "good"


_lock = threading.Lock()
_kept: tuple[float, RecorderState] | None = None


def of_now() -> RecorderState:
    """The state at most `KEPT_S` seconds ago."""
    global _kept
    with _lock:
        if _kept is None or time.monotonic() - _kept[0] > KEPT_S:
            _kept = time.monotonic(), _read()
        return _kept[1]


def forget() -> None:
    """Drop the kept state, so that the next call reads it again."""
    global _kept
    with _lock:
        _kept = None


def _read() -> RecorderState:
    health = recording.health()
    backlog = health.backlog
    oldest = backlog.oldest_at if backlog else None
    return RecorderState(
        waiting=backlog.events if backlog else 0,
        rejected=backlog.rejected if backlog else 0,
        lost=health.lost,
        error=health.error,
        is_late=oldest is not None and time.time() - oldest > LATE_AFTER_S,
        oldest_at=oldest,
        is_readable=backlog is not None,
    )
