"""The list of budgets: those nearest to their limit first, and the requests that wait for the reader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext

from usage_billing.budgets import access
from usage_billing.models import Budget, BudgetRequest
from usage_billing.models.fields import LARGEST_ID
from usage_billing.pages import budget_rows
from usage_billing.pages.budget_form import GrantForm
from usage_billing.pages.budget_rows import Row
from usage_billing.pages.names import Names, of_organizations
from usage_billing.pages.page import BUDGETS, address
from usage_billing.tenancy.scope import Scope
from usage_billing.tenancy.views import scope_of_request

MOST_READ = 500
"""Budgets whose state is worked out: the newest."""
MOST_SHOWN = 30
"""Budgets of several organisations that a page shows, nearest to their limit first."""
MOST_ORGS = 50


@dataclass(frozen=True)
class OrgEntry:
    """An organisation with its budget that is nearest to the limit."""

    name: str
    link: str
    nearest: Row
    count: int


@dataclass(frozen=True)
class RequestEntry:
    """A request that waits for an answer. form: None to an owner who may only refuse."""

    request: BudgetRequest
    who: str
    org: str
    budget_link: str
    link: str
    form: GrantForm | None


def context(request: HttpRequest) -> dict[str, Any]:
    scope, now = scope_of_request(request), timezone.now()
    base = address(BUDGETS, for_superadmin=scope.everything)
    org_id = org_of(scope, request.GET.get("org", ""))
    budgets = narrowed(access.visible(scope), org_id)
    active = [*budgets.filter(is_active=True, org__closed_at=None).order_by("-pk")[:MOST_READ]]
    rows = budget_rows.rows(scope, active, now)
    asleep = [*budgets.exclude(is_active=True, org__closed_at=None)[:MOST_READ]]
    by_org = scope.everything and org_id is None
    known = Names(scope)
    return {
        "title": gettext("Budgets"),
        "rows": rows[:MOST_SHOWN] if by_org else rows,
        "left_out": max(0, len(rows) - MOST_SHOWN) if by_org else 0,
        "most_read": MOST_READ if len(active) == MOST_READ else 0,
        "orgs": orgs_nearest(rows, base) if by_org else [],
        "asleep": budget_rows.rows(scope, asleep, now) if asleep else [],
        "waiting": waiting(scope, org_id, known),
        "org_name": known.org(org_id) if org_id is not None else "",
        "org_id": org_id,
        "several_orgs": scope.everything or len(scope.org_ids) > 1,
        "link": base,
        "new_link": new_link(scope, base, org_id),
        "is_empty_scope": scope.is_empty,
        "orgs_to_choose": of_organizations(scope) if _has_choice(scope) else {},
        "now": now,
    }


def answer(request: HttpRequest) -> HttpResponse:
    return render(request, "usage_billing/budgets.html", context(request))


def org_of(scope: Scope, text: str) -> int | None:
    """The organisation that the address names; None if it names none that the reader sees."""
    # Python refuses to read numbers of thousands of digits.
    org_id = int(text) if text.isdecimal() and len(text) < 20 and int(text) <= LARGEST_ID else None
    if org_id is None or scope.everything or org_id in scope.org_ids:
        return org_id
    return None


def narrowed(budgets: Any, org_id: int | None) -> Any:
    return budgets if org_id is None else budgets.filter(org_id=org_id)


def may_set(scope: Scope) -> bool:
    """Whether the person may set budgets at all."""
    return scope.everything or bool(scope.owned_org_ids)


def new_link(scope: Scope, base: str, org_id: int | None) -> str:
    """The address of the form of a new budget; empty to members."""
    if not may_set(scope) or (org_id is not None and not scope.everything and org_id not in scope.owned_org_ids):
        return ""
    return f"{base}/new" + ("" if org_id is None else f"?org={org_id}")


def _has_choice(scope: Scope) -> bool:
    return scope.everything or len(scope.org_ids) > 1


def orgs_nearest(rows: Sequence[Row], base: str) -> list[OrgEntry]:
    """The organisations of these budgets, nearest to a limit first."""
    of_orgs: dict[int, list[Row]] = {}
    for row in rows:
        of_orgs.setdefault(row.budget.org_id, []).append(row)
    entries = [
        OrgEntry(of_org[0].budget.org.name, f"{base}?org={org_id}", max(of_org, key=lambda row: row.share), len(of_org))
        for org_id, of_org in of_orgs.items()
    ]
    return sorted(entries, key=lambda entry: (-entry.nearest.share, entry.name))[:MOST_ORGS]


# ── Requests ─────────────────────────────────────────────────────────────────────────────────────────────────────


def open_requests(scope: Scope, org_id: int | None = None) -> Any:
    """The requests that wait for an answer of this reader."""
    requests = access.visible_requests(scope).filter(state=BudgetRequest.State.OPEN, org__closed_at=None)
    if not scope.everything:
        requests = requests.filter(org_id__in=scope.owned_org_ids)
    return narrowed(requests, org_id)


def waiting(scope: Scope, org_id: int | None, known: Names, budget: Budget | None = None) -> list[RequestEntry]:
    requests: Iterable[BudgetRequest] = open_requests(scope, org_id)[:MOST_SHOWN]
    if budget is not None:
        requests = open_requests(scope, org_id).filter(budget=budget)
    listed = [*requests]
    known.look_up(users=(each.user_id for each in listed), orgs=(each.org_id for each in listed))
    base = address(BUDGETS, for_superadmin=scope.everything)
    return [
        RequestEntry(
            each,
            known.user(each.user_id),
            known.org(each.org_id),
            budget_rows.link_of(each.budget, for_superadmin=scope.everything),
            f"{base}/requests/{each.pk}",
            GrantForm(initial={"limit": each.limit}, prefix=None, auto_id=f"grant-{each.pk}-%s")
            if access.may_answer(scope, each)
            else None,
        )
        for each in listed
    ]
