"""The thread that evaluates alerts and sends their messages, beside the drain.

It runs in processes that drain: the web's own where `DRAIN` is "thread", else `manage.py drain_usage --follow`. One a
machine works; the others wait until it ends. Several machines do no harm: each alert is told once (`firings`).
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from django.core import mail
from django.db import DatabaseError, close_old_connections, connections
from django.utils import timezone

from usage_billing.alerts import delivering, firings
from usage_billing.conf import conf
from usage_billing.recording.private_files import make_folder, open_private

logger = logging.getLogger(__name__)

EVALUATE_S = 60.0
SEND_S = 5.0
PRUNE_S = timedelta(hours=1).total_seconds()
LONGEST_PAUSE_S = 60.0
"""The longest pause while the database is away."""
EXIT_S = 1.0
"""How long a process that ends waits: what is left waits in the table."""

_ending = threading.Event()
_lock = threading.Lock()
_thread: threading.Thread | None = None


def start() -> None:
    """Start the thread unless it runs. Not in test runs: a test's database is destroyed afterwards."""
    global _thread
    # Django's test environment adds `mail.outbox`.
    if (_thread is not None and _thread.is_alive()) or hasattr(mail, "outbox") or _ending.is_set():
        return
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_run, name="usage-alerts", daemon=True)
            _thread.start()


def stop() -> None:
    _ending.set()
    if _thread is not None and _thread.is_alive():
        _thread.join(EXIT_S)


atexit.register(stop)


def _forget_thread() -> None:
    """In a forked child: the parent's thread is not here, and its lock may have been held."""
    global _thread, _lock, _ending
    _thread, _lock, _ending = None, threading.Lock(), threading.Event()


os.register_at_fork(after_in_child=_forget_thread)


def _run() -> None:
    try:
        while not _ending.is_set():
            with _alone_on_this_machine() as is_alone:
                if is_alone:
                    work(_ending.wait)
            _ending.wait(EVALUATE_S)
    except Exception:
        logger.exception("Alerts are not evaluated until the next drain cycle.")
    finally:
        connections.close_all()


def work(wait: Callable[[float], object], report: Callable[[list[firings.Told]], None] | None = None) -> None:
    """Evaluate every `EVALUATE_S`, send every `SEND_S`, until `wait` returns true. report: gets what was told."""
    evaluate_at = prune_at = 0.0
    pause = SEND_S
    while True:
        close_old_connections()  # one that died in the meantime is no outage
        try:
            if time.monotonic() >= evaluate_at:
                told = firings.check_all(timezone.now())
                evaluate_at = time.monotonic() + EVALUATE_S
                if report is not None:
                    report(told)
            if time.monotonic() >= prune_at:
                delivering.prune(timezone.now())
                prune_at = time.monotonic() + PRUNE_S
            delivering.send_due()
            pause = SEND_S
        except DatabaseError as error:
            pause = min(LONGEST_PAUSE_S, 2 * pause)
            logger.warning("Alerts wait: %s Trying again in %.0f s.", str(error).strip(), pause)
        finally:
            connections.close_all()  # an idle connection would keep a database from stopping
        if wait(pause):
            return


@contextmanager
def _alone_on_this_machine() -> Iterator[bool]:
    """Whether no other process of this outbox works on alerts. A POSIX record lock, which ends with its process."""
    path = Path(f"{conf.OUTBOX_PATH}.alerts")
    make_folder(path.parent)
    with open(path, "w", opener=open_private) as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
