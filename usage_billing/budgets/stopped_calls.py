"""What the record of a stopped call tells of the budget that stopped it, to whoever may know it."""

from __future__ import annotations

from collections.abc import Sequence

from usage_billing.models import UsageRecord
from usage_billing.tenancy.scope import Scope

FIGURES = ("spent", "reserved")
"""Of the budget when it stopped the call: what others have spent too."""


def told_to(scope: Scope, calls: Sequence[UsageRecord]) -> Sequence[UsageRecord]:
    """The calls, to be shown and not to be saved: a member's without the figures of budgets."""
    for call in calls:
        if not scope.everything and call.org_id not in scope.owned_org_ids:
            _leave_out_figures(call)
    return calls


def _leave_out_figures(call: UsageRecord) -> None:
    budget = call.response_metadata.get("budget")
    if call.status == UsageRecord.Status.REFUSED and isinstance(budget, dict):
        kept = {name: value for name, value in budget.items() if name not in FIGURES}
        call.response_metadata = {**call.response_metadata, "budget": kept}
