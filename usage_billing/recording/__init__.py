"""The write path, one file a step: context → event → outbox → drain. All that the callers need is here.

Nothing in it raises into the caller: what could not be written is counted, and its reason logged once.
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
