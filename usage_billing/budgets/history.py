"""The history of budgets, for whoever may see it; it outlives its budgets."""

from __future__ import annotations

from django.db.models import QuerySet

from usage_billing.models import BudgetChange
from usage_billing.tenancy.scope import Scope

CREATED, CHANGED, DELETED = "created", "changed", "deleted"


def visible_changes(scope: Scope) -> QuerySet[BudgetChange]:
    """The changes of budgets that the person may see: superadmins all, owners those of their organisations."""
    changes = BudgetChange.objects.all()
    return changes if scope.everything else changes.filter(org_id__in=scope.owned_org_ids)


def action_of(change: BudgetChange) -> str:
    """What a change did: a budget has a limit for as long as it is there."""
    before, after = change.fields.get("limit", ("before", "after"))
    if not before:
        return CREATED
    return CHANGED if after else DELETED
