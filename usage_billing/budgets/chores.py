"""What the drain does for budgets every now and then."""

from __future__ import annotations

import logging
import time

from django.db import Error

from usage_billing.budgets import leases, stop_list

logger = logging.getLogger(__name__)

LIST_EVERY_S = 5.0
"""How often the list beside the outbox is brought up to date: a budget may have been changed on another machine."""
SWEEP_EVERY_S = 600.0

_list_at = _sweep_at = 0.0


def run() -> None:
    """Do what is due. Errors are logged: the database may be away."""
    global _list_at, _sweep_at
    now = time.monotonic()
    if now >= _list_at:
        _list_at = now + LIST_EVERY_S
        stop_list.publish()
    if now >= _sweep_at:
        _sweep_at = now + SWEEP_EVERY_S
        try:
            leases.sweep()
        except Error as error:
            logger.warning("Leases of dead processes stay for now: %s", error)
