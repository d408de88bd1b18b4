"""What the drain does for budgets every now and then."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from django.db import Error

from usage_billing.budgets import leases, published
from usage_billing.recording import recorder
from usage_billing.recording.outbox import Outbox

logger = logging.getLogger(__name__)

EVERY_S = 5.0
"""How often the list beside the outbox is brought up to date, as a budget may have been changed on another machine, and
leases of dead processes are released."""
SWEEP_EVERY_S = 600.0

_at = _sweep_at = 0.0


def run() -> None:
    """Do what is due. Errors are logged: the database may be away."""
    global _at, _sweep_at
    now = time.monotonic()
    if now >= _at:
        _at = now + EVERY_S
        published.publish()
        release_leases(recorder.outbox())
    if now >= _sweep_at:
        _sweep_at = now + SWEEP_EVERY_S
        _or_later(leases.sweep)


def release_leases(outbox: Outbox) -> None:
    """Delete leases of dead processes, all of whose calls have left the outbox. Errors are logged."""
    _or_later(lambda: leases.release_drained(outbox.id, _drained_until(outbox)))


def _drained_until(outbox: Outbox) -> datetime:
    """The moment up to which all that was written to the outbox is in the ledger."""
    now = time.time()  # before the look: what is written meanwhile is younger
    oldest = outbox.backlog().oldest_at
    return datetime.fromtimestamp(now if oldest is None else min(now, oldest), UTC)


def _or_later(work: Callable[[], None]) -> None:
    try:
        work()
    except (Error, OSError) as error:
        logger.warning("Leases of dead processes stay for now: %s", error)
