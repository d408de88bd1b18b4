"""The thread that drains this process's outbox: started by the first event, and anew in each forked child."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import connections

from usage_billing.recording import drain
from usage_billing.recording.outbox import Outbox

logger = logging.getLogger(__name__)

GATHER_S = 0.5
"""How long the thread lets events gather before it drains: one transaction for many calls."""
IDLE_S = 5.0
"""How often the thread looks for what others left behind (a process that was killed)."""
LONGEST_PAUSE_S = 30.0
"""The longest wait between two tries while the database is away."""

chores: list[Callable[[], None]] = []
"""What else is to be done in each round, by whoever has something to do."""

_something_to_do = threading.Event()
_start_lock = threading.Lock()
_thread: threading.Thread | None = None


def wake() -> None:
    """Let this process's drain thread know of an event; start it at the first one. Does nothing if USAGE_DRAIN=off."""
    if _thread is None:
        if settings.USAGE_DRAIN != "thread":
            return
        _start()
    # Callers wait for this: only the first event of a round pays for the lock inside `set`.
    if not _something_to_do.is_set():
        _something_to_do.set()


def _start() -> None:
    global _thread
    with _start_lock:
        if _thread is None:
            _thread = threading.Thread(target=_run, name="usage-drain", daemon=True)
            _thread.start()


def _forget_thread() -> None:
    """In a forked child: the parent's thread is not here, and its lock may have been held."""
    global _thread, _start_lock, _something_to_do
    _thread, _start_lock, _something_to_do = None, threading.Lock(), threading.Event()


os.register_at_fork(after_in_child=_forget_thread)


def _run() -> None:
    # A connection of its own: an append must not wait for the drain's reading and deleting.
    outbox = Outbox(settings.USAGE_OUTBOX_PATH)
    pause = GATHER_S
    while True:
        _something_to_do.wait(IDLE_S)
        time.sleep(pause)
        _something_to_do.clear()
        for chore in chores:
            chore()
        try:
            with drain.exclusively(outbox.path):
                drain.drain_all(outbox)
            pause = GATHER_S
        except drain.Busy:
            pause = IDLE_S
            _something_to_do.set()
        except Exception as error:
            pause = min(LONGEST_PAUSE_S, pause * 2)
            _something_to_do.set()
            logger.warning(
                "AI calls wait in the outbox: %s. Trying again in %.1f s.",
                error,
                pause,
                exc_info=None if isinstance(error, drain.Away) else error,
            )
        finally:
            # An idle connection would keep a database from stopping, and may be dead at the next use.
            connections.close_all()
