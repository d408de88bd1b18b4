"""The one door into the outbox: it never raises, and it counts what it could not keep."""

from __future__ import annotations

import functools
import logging
import os
import sqlite3
import threading
from collections import Counter
from dataclasses import dataclass

from django.conf import settings

from usage_billing.recording import drain_thread
from usage_billing.recording.event import Event, encode
from usage_billing.recording.outbox import Backlog, Outbox, is_in_use_here

logger = logging.getLogger(__name__)

_lock = threading.RLock()  # re-entrant: the garbage collector may bring a loss while one is being counted
_losses: Counter[str] = Counter()
"""Losses of this process that the outbox does not know of yet."""
_logged: set[str] = set()


@dataclass(frozen=True)
class Health:
    """The recorder's state. `backlog` is None when the outbox cannot be read; `error` then says why."""

    backlog: Backlog | None
    lost: int
    error: str


@functools.cache
def outbox() -> Outbox:
    """The outbox of this process, at `settings.USAGE_OUTBOX_PATH`."""
    return Outbox(settings.USAGE_OUTBOX_PATH)


def record(*events: Event) -> None:
    """Keep the events until the ledger has them. Whatever goes wrong is counted and logged, never raised."""
    try:
        outbox().append(*[encode(event) for event in events])
        if _losses:
            note_losses()
    except Exception as error:  # noqa: BLE001 - promise 1: the caller's answer must not depend on the recorder
        lost(error, len(events))
    try:
        drain_thread.wake()
    except Exception:
        # The event is safe; a later one, or another process, wakes the drain.
        logger.exception("The drain thread could not be started.")


def lost(error: Exception, calls: int = 1) -> None:
    """Count calls whose usage could not be kept; the first of each reason goes to the log."""
    reason = f"{type(error).__name__}: {error}"[:200]
    with _lock:
        first = reason not in _logged
        _logged.add(reason)
        _losses[reason] += calls
    if first:
        logger.error(
            "An AI call could not be recorded (%s); the call itself was not touched. Check the outbox %s and its disk."
            " Further losses of this kind are counted, not logged.",
            reason,
            settings.USAGE_OUTBOX_PATH,
            exc_info=error if not isinstance(error, sqlite3.Error | OSError) else None,
        )


def note_losses() -> None:
    """Let the outbox know what it missed."""
    if is_in_use_here():
        return  # a later event does it
    with _lock:
        losses = dict(_losses)
        _losses.clear()
    if losses:
        try:
            outbox().note_losses(losses)
        except (sqlite3.Error, OSError):
            with _lock:
                _losses.update(losses)


def health() -> Health:
    """What waits, what was lost by this process or noted by any other, and what is wrong now."""
    with _lock:
        unwritten = _losses.total()
        latest = next(reversed(_losses), "")
    try:
        backlog = outbox().backlog()
    except (sqlite3.Error, OSError) as error:
        return Health(backlog=None, lost=unwritten, error=f"{type(error).__name__}: {error}")
    return Health(backlog=backlog, lost=unwritten + backlog.lost, error=latest)


drain_thread.chores.append(note_losses)


def _new_lock() -> None:
    """In a forked child: another thread may have held it."""
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_new_lock)
