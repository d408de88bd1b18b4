"""Runs of repricing that one process requests and another one works on (`repricing_thread`).

The web may insert a run and nothing more: the ledger's role begins it, reprices and writes its figures.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from usage_billing.ledger.repricing import Scope
from usage_billing.models import RepriceRun
from usage_billing.models.database import atomic, connection
from usage_billing.models.reprice_run import SILENT_AFTER

PROBLEM_LENGTH = 500


class RunActiveError(Exception):
    """Raised when a run is requested while another one waits or is at work: `run`."""

    def __init__(self, run: RepriceRun) -> None:
        super().__init__(f"Run {run.pk} is not finished.")
        self.run = run


def request_run(scope: Scope, *, by: str, reason: str, at: datetime, continues: RepriceRun | None = None) -> RepriceRun:
    """Log a run that waits for a process that may write the ledger. Raises `RunActiveError`.

    `continues`: a run of the same scope that was not finished. The new one begins after its last record.
    """
    with atomic():
        _lock_requests()
        if (active := active_run(at)) is not None:
            raise RunActiveError(active)
        begins = {} if continues is None else {"last_date": continues.last_date, "last_id": continues.last_id}
        return RepriceRun.objects.create(
            **scope.columns(), by=by, reason=reason, started_at=at, continues=continues, **begins
        )


def active_run(at: datetime) -> RepriceRun | None:
    """Return a run that waits or is at work; None if there is none."""
    unfinished = RepriceRun.objects.filter(finished_at=None, problem="", continued_by=None)
    is_active = Q(worked_at=None) | Q(worked_at__gt=at - SILENT_AFTER)
    return unfinished.filter(is_active).order_by("started_at", "id").first()


def _lock_requests() -> None:
    """Wait for other requests until the transaction ends: two at once would both find no active run.

    SQLite has one writer at a time.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('usage_billing.repricing'))")


def is_any_waiting() -> bool:
    return RepriceRun.objects.filter(finished_at=None, problem="", worked_at=None).exists()


def take_waiting(at: datetime) -> RepriceRun | None:
    """Begin the oldest waiting run; None if there is none. Of several processes one gets it."""
    waiting = RepriceRun.objects.filter(finished_at=None, problem="", worked_at=None)
    for run in waiting.select_related("org").order_by("started_at", "id"):
        if waiting.filter(pk=run.pk).update(worked_at=at):
            run.worked_at = at
            return run
    return None


def put_back(run: RepriceRun) -> None:
    """Let the run wait for the next process: this one ends."""
    RepriceRun.objects.filter(pk=run.pk, finished_at=None).update(worked_at=None)


def fail(run: RepriceRun, problem: str) -> None:
    """Log why the run stopped. What it has repriced stays."""
    RepriceRun.objects.filter(pk=run.pk).update(problem=problem[:PROBLEM_LENGTH])
