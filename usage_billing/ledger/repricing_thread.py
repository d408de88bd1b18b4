"""The thread that works on the runs that people request in the admin.

It runs in a process that may write the ledger: the web's own where that process drains too (`DRAIN` is "thread"), else
`manage.py drain_usage --follow`. It survives nothing: a run whose process ends properly waits for the next process, one
whose process was killed is shown as interrupted, and goes on when a person says so.
"""

from __future__ import annotations

import atexit
import logging
import threading

from django.core import mail
from django.db import connections
from django.utils import timezone

from usage_billing.conf import conf
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.ledger import repricing, repricing_requests
from usage_billing.ledger.repricing import Scope
from usage_billing.models import RepriceRun
from usage_billing.tenancy import roles

logger = logging.getLogger(__name__)

EXIT_S = 3.0
"""How long a process that ends waits for the batch at hand."""

_ending = threading.Event()
_lock = threading.Lock()
_thread: threading.Thread | None = None


def is_in_this_process() -> bool:
    """Whether this process works on the runs that its own pages request."""
    # Django's test environment adds `mail.outbox`. A test's database is destroyed afterwards.
    return bool(conf.DRAIN == "thread") and not hasattr(mail, "outbox")


def start() -> None:
    """Work on the waiting runs in a thread, unless one is at it already."""
    global _thread
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_run, name="usage-repricing", daemon=True)
            _thread.start()


def is_anything_waiting() -> bool:
    with roles.applied(roles.AS_LEDGER):
        return repricing_requests.is_any_waiting()


def stop() -> None:
    """Let the thread end after the batch at hand; its run waits for the next process."""
    _ending.set()
    if _thread is not None and _thread.is_alive():
        _thread.join(EXIT_S)


atexit.register(stop)


def _run() -> None:
    try:
        work()
    except Exception:
        logger.exception("Repricing stopped. Open the list of repricings in the admin, and continue the run.")
    finally:
        connections.close_all()


def work() -> None:
    """Work on the waiting runs, one after the other, until there is none or the process ends."""
    with roles.for_the_session(roles.LEDGER):
        while not _ending.is_set() and (run := repricing_requests.take_waiting(timezone.now())) is not None:
            _work_on(run)


def _work_on(run: RepriceRun) -> None:
    try:
        for _batch in repricing.reprice(Scope.of_run(run), run, PriceOverrides.load()):
            if _ending.is_set():
                repricing_requests.put_back(run)
                return
        repricing.finish(run, at=timezone.now())
    except repricing.RunInProgressError:
        logger.warning("Run %d is continued by another process.", run.pk)
    except Exception as error:
        logger.exception("Run %d stopped after %d calls.", run.pk, run.records_seen)
        repricing_requests.fail(
            run, f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
        )
