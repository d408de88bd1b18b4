"""The thread that drains this process's outbox: started by the first event, and again in each forked child."""

from __future__ import annotations

import atexit
import functools
import logging
import math
import os
import threading
import time
from collections.abc import Callable

from django.core import mail
from django.db import close_old_connections, connections

from usage_billing.conf import conf
from usage_billing.ledger import drain
from usage_billing.recording.outbox import Outbox

logger = logging.getLogger(__name__)

GATHER_S = 0.5
"""How long the thread lets events gather before it drains: one transaction for many calls."""
IDLE_S = 5.0
"""How often the thread looks for events that other processes left behind, because they were killed."""
LONGEST_PAUSE_S = 30.0
"""The longest wait between two attempts while the database is away."""

EXIT_S = 3.0
"""How long a process that ends may still drain."""

chores: list[Callable[[], None]] = []
"""Callbacks that run once per drain cycle."""

_something_to_do = threading.Event()
_exiting = threading.Event()
_deadline = math.inf
_start_lock = threading.Lock()
_thread: threading.Thread | None = None


def wake() -> None:
    """Tell this process's drain thread of an event; start it at the first one. Does nothing if USAGE_DRAIN=off."""
    if _thread is None:
        if not _is_wanted() or _is_test_run():
            return
        _start()
    # Callers wait for this: only the first event of a cycle pays for the lock inside `set`.
    if not _something_to_do.is_set():
        _something_to_do.set()


@functools.cache
def _is_wanted() -> bool:
    return bool(conf.DRAIN == "thread")


def _is_test_run() -> bool:
    """Whether Django's test environment is set up: it adds `mail.outbox`. A test's database is destroyed afterwards."""
    return hasattr(mail, "outbox")


def _start() -> None:
    global _thread
    with _start_lock:
        if _thread is None:
            _thread = threading.Thread(target=_run, name="usage-drain", daemon=True)
            _thread.start()


def _forget_thread() -> None:
    """In a forked child: the parent's thread is not here, and its lock may have been held."""
    global _thread, _start_lock, _something_to_do, _exiting
    _thread, _start_lock, _something_to_do, _exiting = None, threading.Lock(), threading.Event(), threading.Event()


os.register_at_fork(after_in_child=_forget_thread)


def _run() -> None:
    outbox = Outbox(conf.OUTBOX_PATH)
    pause = GATHER_S
    while True:
        is_last = _exiting.is_set()
        if not is_last:
            if not _something_to_do.wait(IDLE_S):
                # An idle connection would keep a database from stopping.
                connections.close_all()
            _exiting.wait(pause)
        _something_to_do.clear()
        for chore in chores:
            chore()
        pause = _drain(outbox, pause)
        if is_last:
            connections.close_all()
            return


def _drain(outbox: Outbox, pause: float) -> float:
    """Drain the backlog. Returns the pause before the next cycle."""
    drained = 0

    def go_on(so_far: int) -> bool:
        nonlocal drained
        drained = so_far
        return time.monotonic() < _deadline

    close_old_connections()  # one that died in the meantime is no outage
    try:
        with drain.exclusively(outbox.path):
            if drain.drain_all(outbox, go_on):
                _something_to_do.set()  # more may have come meanwhile
    except drain.DrainBusyError:
        _something_to_do.set()
        return IDLE_S
    except Exception as error:
        pause = min(LONGEST_PAUSE_S, 2 * (GATHER_S if drained else pause))
        _something_to_do.set()
        logger.warning(
            "AI calls wait in the outbox: %s. Trying again in %.1f s.",
            error,
            pause,
            exc_info=None if isinstance(error, drain.DatabaseAwayError) else error,
        )
        connections.close_all()
        return pause
    return GATHER_S


def finish() -> None:
    """Drain once more as the interpreter exits, for `EXIT_S` at most. The rest is safe, and for the next drain."""
    global _deadline
    thread = _thread
    if thread is None or not thread.is_alive():
        return
    _deadline = time.monotonic() + EXIT_S
    _exiting.set()
    _something_to_do.set()
    thread.join(EXIT_S)
    try:
        left = Outbox(conf.OUTBOX_PATH).backlog().events
    except OSError as error:
        logger.warning("The outbox cannot be read; AI calls may be left in it: %s", error)
        return
    if left:
        logger.info("%d AI calls are left in the outbox, for the next process that drains it.", left)


atexit.register(finish)
