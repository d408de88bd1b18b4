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

from usage_billing.recording import drain
from usage_billing.recording.event import Event, encode
from usage_billing.recording.outbox import Backlog, Outbox

logger = logging.getLogger(__name__)

_losses_lock = threading.Lock()
_losses: Counter[str] = Counter()
"""Losses of this process that the outbox does not know of yet."""


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


def record(event: Event) -> None:
    """Keep the event until the ledger has it. Whatever goes wrong is counted and logged, never raised."""
    try:
        outbox().append(encode(event))
        if _losses:
            _write_losses()
        drain.wake()
    except Exception as error:  # noqa: BLE001 - promise 1: the caller's answer must not depend on the recorder
        lost(error)


def lost(error: Exception) -> None:
    """Count a call whose usage could not be kept; the first of each reason goes to the log."""
    reason = f"{type(error).__name__}: {error}"[:200]
    with _losses_lock:
        first = reason not in _losses
        _losses[reason] += 1
    if first:
        logger.error(
            "An AI call could not be recorded (%s); the call itself was not touched. Check the outbox %s and its disk."
            " Further losses of this kind are counted, not logged.",
            reason,
            settings.USAGE_OUTBOX_PATH,
            exc_info=error if not isinstance(error, sqlite3.Error | OSError) else None,
        )


def health() -> Health:
    """What waits, what was lost by this process or noted by any other, and what is wrong now."""
    with _losses_lock:
        unwritten = _losses.total()
        latest = next(reversed(_losses), "")
    try:
        backlog = outbox().backlog()
    except (sqlite3.Error, OSError) as error:
        return Health(backlog=None, lost=unwritten, error=f"{type(error).__name__}: {error}")
    return Health(backlog=backlog, lost=unwritten + backlog.lost, error=latest)


def _write_losses() -> None:
    """The outbox takes writes again: let it know what it missed, for all processes to see."""
    with _losses_lock:
        losses = dict(_losses)
        _losses.clear()
    try:
        outbox().note_losses(losses)
    except (sqlite3.Error, OSError):
        with _losses_lock:
            _losses.update(losses)


def _new_lock() -> None:
    """In a forked child: another thread may have held it."""
    global _losses_lock
    _losses_lock = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)
