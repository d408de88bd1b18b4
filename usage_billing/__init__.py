"""The ledger of AI usage: what every call cost, for whom, and who may see it."""

from usage_billing.recording.carrying import with_usage_context
from usage_billing.recording.context import usage_context

__all__ = ["usage_context", "with_usage_context"]
