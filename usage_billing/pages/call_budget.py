"""The budget that stopped a call, as the call's record keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from usage_billing.models import Budget, UsageRecord
from usage_billing.pages.page import BUDGETS, address
from usage_billing.tenancy.scope import Scope


@dataclass(frozen=True)
class StoppedBy:
    """spent: when the call was stopped; None to a person who may not know what others spend.

    wanted: the most that the call might have taken. unit: of the amounts. link: empty if the budget is gone.
    was_unavailable: the database could not be asked, and the budget refuses calls then.
    """

    name: str
    spent: Decimal | None
    limit: Decimal | None
    wanted: Decimal | None
    unit: str
    link: str
    was_unavailable: bool


def stopped_by(scope: Scope, call: UsageRecord) -> StoppedBy | None:
    """The budget; None if none stopped the call. One query."""
    told = call.response_metadata.get("budget")
    if call.status != UsageRecord.Status.REFUSED or not isinstance(told, dict):
        return None
    id_ = told.get("id")
    budget = Budget.objects.filter(pk=id_, org_id=call.org_id).first() if isinstance(id_, int) else None
    sees_all = scope.everything or call.org_id in scope.owned_org_ids
    may_know = sees_all or (budget is not None and budget.user_id is not None and budget.user_id == scope.user_id)
    return StoppedBy(
        str(told.get("name", "")),
        _number(told.get("spent")) if may_know else None,
        _number(told.get("limit")),
        _number(told.get("wanted")),
        str(told.get("unit", Budget.Unit.USD)),
        f"{address(BUDGETS, for_superadmin=scope.everything)}/{budget.pk}" if budget else "",
        bool(told.get("unavailable")),
    )


def _number(value: Any) -> Decimal | None:
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None
