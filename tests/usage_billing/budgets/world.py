"""Looks at budgets as the tests need it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from tests.support import factories
from tests.support.spending import CENT, MODEL
from usage_billing.budgets.guard import Guard
from usage_billing.budgets.spending import spending
from usage_billing.budgets.windows import window_of
from usage_billing.models import Budget, Organization
from usage_billing.recording import Attribution
from usage_billing.recording.admission import Planned


def spent(budget: Budget, day: date | None = None) -> Decimal:
    return spending(budget, window_of(budget, day or factories.today(budget.org))).spent


def reserved(budget: Budget, day: date | None = None) -> Decimal:
    return spending(budget, window_of(budget, day or factories.today(budget.org))).reserved


def settle(guard: Guard, drained: Callable[[], int] = lambda: 0) -> None:
    """Drain, and let the keeper give back what is idle, at once."""
    drained()
    guard.keeper.tend(is_last=True)


def planned(org: Organization, **fields: Any) -> Planned:
    given: dict[str, Any] = {"model": MODEL, "text_bytes": 100, "is_open": False, "most_output": CENT} | fields
    given.setdefault("started_at", time.time())
    return Planned(Attribution(org_id=org.pk, agent_id="agent"), flavour="chat", url=factories.CHAT, **given)
