"""Who sees which budgets, how much of each, and who may change it. PostgreSQL enforces the same (`tenancy`)."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils.translation import gettext

from usage_billing.models import Budget, BudgetRequest, Organization
from usage_billing.tenancy.scope import Scope


class NotAllowedError(Exception):
    """What a person sees, but may not do. code: for programs; the text tells what they can do instead."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def visible(scope: Scope) -> QuerySet[Budget]:
    """The budgets that a person may see, with their organisations: a member's are those that may count their calls."""
    budgets = Budget.objects.select_related("org")
    if scope.everything:
        return budgets
    of_member = Q(org_id__in=scope.member_org_ids) & (Q(user_id=None) | Q(user_id=scope.user_id))
    return budgets.filter(Q(org_id__in=scope.owned_org_ids) | of_member)


def shows_figures(scope: Scope, budget: Budget) -> bool:
    """Whether the person may see what is spent: a member sees it of their own calls only."""
    return _is_run_by(scope, budget.org_id) or (budget.user_id is not None and budget.user_id == scope.user_id)


def may_change(scope: Scope, budget: Budget) -> bool:
    """Whether the person may change and delete it: an owner may not if a superadmin has set it."""
    return scope.everything or (budget.org_id in scope.owned_org_ids and not budget.is_superadmins)


def may_see_history(scope: Scope, budget: Budget) -> bool:
    """Whether the person may see who changed what: superadmins and owners."""
    return _is_run_by(scope, budget.org_id)


def check_may_change(scope: Scope, budget: Budget) -> None:
    """Raise `NotAllowedError` unless the person may change the budget."""
    if not _is_run_by(scope, budget.org_id):
        raise NotAllowedError("not_an_owner", gettext("Only an owner of the organisation can change its budgets."))
    if not may_change(scope, budget):
        text = gettext("A superadmin has set this budget, so only a superadmin can change it. Ask for a higher limit.")
        raise NotAllowedError("set_by_superadmin", text)


def check_may_create(scope: Scope, org: Organization) -> None:
    """Raise `NotAllowedError` unless the person may set budgets for the organisation."""
    if not _is_run_by(scope, org.pk):
        raise NotAllowedError("not_an_owner", gettext("Only an owner of the organisation can set its budgets."))


def may_answer(scope: Scope, request: BudgetRequest) -> bool:
    """Whether the person may grant the request: it changes the budget. Owners may always refuse."""
    return may_change(scope, request.budget)


def visible_requests(scope: Scope) -> QuerySet[BudgetRequest]:
    """The requests that a person may see, with their budgets: a member's are their own."""
    requests = BudgetRequest.objects.select_related("budget", "org")
    if scope.everything:
        return requests
    own = Q(org_id__in=scope.member_org_ids, user_id=scope.user_id)
    return requests.filter(Q(org_id__in=scope.owned_org_ids) | own)


def _is_run_by(scope: Scope, org_id: int) -> bool:
    return scope.everything or org_id in scope.owned_org_ids
