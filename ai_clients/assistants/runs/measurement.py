"""Cost, models and time of calls that were just made, before the ledger has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from usage_billing.costing.estimates import Estimate, estimate
from usage_billing.recording import Event
from usage_billing.tenancy.scope import EVERYTHING, within


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The calls of one workflow. models: those that answered, each once. duration_ms: first call to last answer."""

    workflow_id: str
    spent: Estimate
    models: tuple[str, ...] = ()
    duration_ms: int = 0

    @property
    def seconds(self) -> float:
        return self.duration_ms / 1000


def measure(events: Sequence[Event], workflow_id: str) -> Measurement:
    """Measure the events that a `collected` block holds. Call it outside every scope."""
    # In the ledger's scope, which sees all prices; a tenant sees none, not even its own.
    with within(EVERYTHING):
        spent = estimate(events)
    began = min((event.started_at for event in events), default=0)
    ended = max((event.started_at + event.duration_ms / 1000 for event in events), default=0)
    models = dict.fromkeys(event.model for event in events if event.model)
    return Measurement(
        workflow_id=workflow_id, spent=spent, models=tuple(models), duration_ms=round(1000 * (ended - began))
    )
