"""The caller's side, one file a step: context → event → outbox. Callers import from here.

Nothing here raises into the caller. A call that cannot be recorded is counted, and the reason is logged once.
"""

from usage_billing.recording.collecting import collected
from usage_billing.recording.context import Attribution, current_attribution, usage_context
from usage_billing.recording.event import Event
from usage_billing.recording.identity import OrganizationKey
from usage_billing.recording.recorder import health, lost, record

__all__ = [
    "Attribution",
    "Event",
    "OrganizationKey",
    "collected",
    "current_attribution",
    "health",
    "lost",
    "record",
    "usage_context",
]
