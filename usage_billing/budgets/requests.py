"""People ask for a higher limit of a budget that they may not change; whoever may change it grants or refuses."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone
from django.utils.translation import gettext

from usage_billing.budgets import editing
from usage_billing.budgets.access import NotAllowedError, check_may_change, may_change, may_see_history
from usage_billing.budgets.validation import check_is_whole
from usage_billing.models import Budget, BudgetRequest
from usage_billing.models.database import atomic
from usage_billing.reports import user_names
from usage_billing.tenancy.scope import Scope

GRANTED_TO = "requested_by"
"""The name under which the history of a budget tells whose request a change grants."""


def ask(budget: Budget, *, scope: Scope, limit: Decimal, reason: str = "") -> BudgetRequest:
    """Ask for a higher limit of a budget that the person sees. Raises `ValidationError` and `NotAllowedError`."""
    if may_change(scope, budget):
        text = gettext("You may change this budget yourself: set its limit.")
        raise NotAllowedError("may_change_it", text)
    if scope.user_id is None:
        text = gettext("Only a person can ask for a higher limit, not a program: the answer is for whoever asked.")
        raise NotAllowedError("not_a_person", text)
    if not budget.is_active or budget.org.closed_at is not None:
        raise ValidationError({"budget": gettext("This budget is not active: it limits nothing.")})
    request = BudgetRequest(
        org_id=budget.org_id, budget=budget, user_id=scope.user_id, limit=limit, reason=reason.strip()
    )
    request.clean_fields(exclude=["user", "org"])
    check_is_whole(limit, budget.unit)
    if request.limit <= budget.limit:
        raise ValidationError({"limit": _above(budget)})
    _save_new(request)
    return request


def grant(
    request: BudgetRequest, *, scope: Scope, by: str, limit: Decimal | None = None, now: datetime | None = None
) -> BudgetRequest:
    """Set the budget's limit, as wanted or as the person thinks right. Raises `ValidationError`, `NotAllowedError`.

    An owner cannot grant more of a budget that a superadmin has set.
    """
    if request.budget.is_superadmins and not scope.everything and may_see_history(scope, request.budget):
        text = gettext(
            "A superadmin has set this budget, so only a superadmin can grant more of it. You can refuse the request."
        )
        raise NotAllowedError("set_by_superadmin", text)
    check_may_change(scope, request.budget)
    with atomic():
        found = _open(request)
        # The limit as it is when nobody else can change it: a higher one of another owner's stays.
        budget = editing.locked(found.budget)
        granted = found.limit if limit is None else limit
        if granted <= budget.limit:
            raise ValidationError({"limit": _above(budget)})
        note = {GRANTED_TO: user_names([found.user_id]).get(found.user_id, str(found.user_id))}
        found.budget = editing.change(budget, scope=scope, by=by, values={"limit": granted}, note=note)
        return _answered(found, BudgetRequest.State.GRANTED, by, now)


def refuse(request: BudgetRequest, *, scope: Scope, by: str, now: datetime | None = None) -> BudgetRequest:
    """Refuse a request; an owner may refuse any of their organisation. Raises `ValidationError`, `NotAllowedError`."""
    if not may_see_history(scope, request.budget):
        text = gettext("Only an owner of the organisation, or a superadmin, can answer this request.")
        raise NotAllowedError("not_an_owner", text)
    with atomic():
        return _answered(_open(request), BudgetRequest.State.REFUSED, by, now)


def forget_user(user_id: Any) -> None:
    """Delete the open requests of a user who is deleted: nobody waits for the answer. Answered ones stay."""
    BudgetRequest.objects.filter(user_id=user_id, state=BudgetRequest.State.OPEN).delete()


def _save_new(request: BudgetRequest) -> None:
    try:
        with atomic():
            request.save()
    except IntegrityError as error:
        text = gettext("You have asked for more of this budget already. Wait for the answer.")
        raise ValidationError({"budget": text}) from error


def _open(request: BudgetRequest) -> BudgetRequest:
    """The request as it is now, for this transaction alone, if it is still open."""
    rows = BudgetRequest.objects.select_for_update(of=("self",)).select_related("budget", "org")
    found = rows.filter(pk=request.pk, state=BudgetRequest.State.OPEN).first()
    if found is None:
        raise ValidationError({"state": gettext("This request was answered already.")})
    return found


def _answered(request: BudgetRequest, state: str, by: str, now: datetime | None) -> BudgetRequest:
    request.state, request.answered_by, request.answered_at = state, by[:150], now or timezone.now()
    request.save(update_fields=["state", "answered_by", "answered_at"])
    return request


def _above(budget: Budget) -> str:
    amount = format(budget.limit.normalize() + 0, "f")
    return gettext("Write an amount above the present limit, which is %(limit)s.") % {"limit": amount}
