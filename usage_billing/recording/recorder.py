"""The one door into the outbox: it never raises, and it counts what it could not keep."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sqlite3
import threading
from collections import Counter
from dataclasses import dataclass

from usage_billing.conf import conf
from usage_billing.recording import drain_signal, gate, quarantine
from usage_billing.recording.collecting import collecting
from usage_billing.recording.event import Event, encode
from usage_billing.recording.outbox import Backlog, Outbox
from usage_billing.recording.quota import OutboxQuota

logger = logging.getLogger(__name__)

_lock = threading.RLock()  # re-entrant: the garbage collector may bring a loss while one is being counted
_losses: Counter[str] = Counter()
"""Losses of this process that could not be written down yet."""
_is_noting = False
_logged: set[str] = set()
_wrong_now = ""
"""Why the latest event was not kept; empty once one was."""


@dataclass(frozen=True)
class Health:
    """The recorder's state. `backlog` is None when the outbox cannot be read; `error` then says why.

    `quarantined`: outboxes that could not be read and were put aside. `size`: bytes of the disk that all of it takes.
    """

    backlog: Backlog | None
    lost: int
    error: str
    quarantined: int = 0
    size: int = 0


@functools.cache
def outbox() -> Outbox:
    """The outbox of this process, at `conf.OUTBOX_PATH`."""
    return Outbox(conf.OUTBOX_PATH)


@functools.cache
def quota() -> OutboxQuota:
    """What the outbox of this process may take of the disk."""
    return OutboxQuota(conf.OUTBOX_MAX_MB * 2**20)


def record(*events: Event) -> None:
    """Keep the events until the ledger has them. Whatever goes wrong is counted and logged, never raised."""
    try:
        within_bounds = [gate.admitted(event) for event in events]
        if (collected := collecting.get()) is not None:
            collected.extend(within_bounds)
        quota().check(outbox())
        outbox().append(*map(encode, within_bounds))
        if _losses or _wrong_now:
            all_well()
    except Exception as error:  # noqa: BLE001 - promise 1: the caller's answer must not depend on the recorder
        lost(error, len(events))
    try:
        drain_signal.wake()
    except Exception:
        # The event is safe; a later one, or another process, wakes the drain.
        logger.exception("The drain thread could not be started.")


def lost(error: Exception, calls: int = 1) -> None:
    """Count calls whose usage could not be kept; the first of each reason goes to the log."""
    global _wrong_now
    reason = _reason(error)
    with _lock:
        first = reason not in _logged
        _logged.add(reason)
        _losses[reason] += calls
        _wrong_now = reason
    note_losses()
    if first:
        logger.error(
            "An AI call could not be recorded (%s); the call itself was not touched. Check the outbox %s and its disk."
            " Further losses of this kind are counted, not logged.",
            reason,
            conf.OUTBOX_PATH,
            exc_info=error if not isinstance(error, sqlite3.Error | OSError) else None,
        )


def _reason(error: Exception) -> str:
    """The same for all failures of a kind: without the file's name, for each try is for a journal of another name."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"{type(error).__name__}: {said}"[:200]


def all_well() -> None:
    """An event was kept: nothing is wrong now, and what was lost before can be written down."""
    global _wrong_now
    _wrong_now = ""
    note_losses()


def note_losses() -> None:
    """Write the losses down where they outlive this process; they stay in its memory if that fails."""
    global _is_noting
    with _lock:
        if _is_noting:
            return  # the garbage collector brought one in the middle: it is taken along
        _is_noting = True
        try:
            while _losses:
                some = dict(_losses)
                outbox().note_losses(some)
                for reason, calls in some.items():
                    _losses[reason] -= calls
                    if not _losses[reason]:
                        del _losses[reason]
        except (sqlite3.Error, OSError) as error:
            # That calls are being lost was said at the first of each reason.
            logger.debug("Losses could not be written down: %s", error)
        finally:
            _is_noting = False


def _say_what_is_not_written_down() -> None:
    with _lock:
        left = _losses.total()
    if left:
        logger.error("%d AI calls could not be recorded by this process, and their number not be written down.", left)


atexit.register(_say_what_is_not_written_down)


def _close_outbox() -> None:
    """So that a process which ends looks once more whether its journal is still there."""
    if outbox.cache_info().currsize:
        outbox().close()


atexit.register(_close_outbox)


def health() -> Health:
    """What waits, what was lost by this process or noted by any other, and what is wrong now."""
    box = outbox()
    with _lock:
        unwritten = _losses.total()
    try:
        kept = len(quarantine.kept(box.path))
        backlog = box.backlog()
        return Health(backlog, lost=unwritten + backlog.lost, error=_wrong_now, quarantined=kept, size=box.size())
    except (sqlite3.Error, OSError) as error:
        return Health(
            None, lost=unwritten + _lost_of_all(box), error=f"{type(error).__name__}: {error}", quarantined=kept
        )


def _lost_of_all(box: Outbox) -> int:
    try:
        return box.lost()
    except OSError:
        return 0  # what keeps the count from being read is what keeps the outbox from it, and is shown


def _new_lock() -> None:
    """In a forked child: another thread may have held it, and what the parent has not written down, it will."""
    global _lock, _is_noting
    _lock, _is_noting = threading.RLock(), False
    _losses.clear()


os.register_at_fork(after_in_child=_new_lock)
