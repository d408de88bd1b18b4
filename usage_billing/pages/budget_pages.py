"""The pages of one budget: its figures and history, the forms that set, change and delete it, and requests for more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext

from usage_billing.budgets import access, editing, requests
from usage_billing.budgets.access import NotAllowedError
from usage_billing.models import Budget, BudgetChange, BudgetRequest, Organization
from usage_billing.models.fields import LARGEST_ID
from usage_billing.pages import budget_rows, budgets, shell, suggestions
from usage_billing.pages.budget_form import MODES, AskForm, BudgetForm, GrantForm, initial_of
from usage_billing.pages.budget_rows import link_of
from usage_billing.pages.budget_words import history_in_words
from usage_billing.pages.names import Names, of_organizations
from usage_billing.pages.page import BUDGETS, address
from usage_billing.tenancy.scope import Scope
from usage_billing.tenancy.views import scope_of_request

CHANGES = 50
"""Lines of the history of a budget."""


def one(request: HttpRequest, id: int) -> HttpResponseBase:
    """Show a budget with its history and requests."""
    scope, now = scope_of_request(request), timezone.now()
    budget = _found(scope, id)
    if budget is None:
        return _no_budget(request)
    (row,) = budget_rows.rows(scope, [budget], now)
    known = Names(scope)
    asked = [*access.visible_requests(scope).filter(budget=budget)[:CHANGES]]
    known.look_up(users=(each.user_id for each in asked))
    history = BudgetChange.objects.filter(budget=budget)[:CHANGES] if access.may_see_history(scope, budget) else []
    context = {
        "title": budget.name,
        "is_page": True,
        "row": row,
        "modes": MODES,
        "several_orgs": True,
        "link": row.link,
        "list_link": _list_address(scope),
        "history": history_in_words(history, budget.unit),
        "sees_history": access.may_see_history(scope, budget),
        "waiting": budgets.waiting(scope, budget.org_id, known, budget),
        "answered": [(each, known.user(each.user_id)) for each in asked if each.state != BudgetRequest.State.OPEN],
    }
    return render(request, "usage_billing/budget.html", context)


# ── Setting, changing, deleting ──────────────────────────────────────────────────────────────────────────────────


def new(request: HttpRequest) -> HttpResponseBase:
    scope = scope_of_request(request)
    orgs = orgs_of_owner(scope)
    if not orgs:
        return shell.forbidden(request, gettext("Only an owner of the organisation can set its budgets."))
    org_id = budgets.org_of(scope, request.GET.get("org", ""))
    form = BudgetForm(request.POST or None, initial={"org": org_id} if org_id in orgs else None, orgs=[*orgs.items()])
    if request.method == "POST" and form.is_valid():
        org = Organization.objects.get(pk=form.cleaned_data["org"])
        if made := saved(form, lambda: editing.create(scope=scope, by=_name(request), org=org, values=form.values)):
            messages.success(request, gettext("The budget “%(name)s” is set.") % {"name": made.name})
            return redirect(link_of(made, for_superadmin=scope.everything))
    return _form(request, form, gettext("New budget"), gettext("Set the budget"), _list_address(scope), org_id)


def edit(request: HttpRequest, id: int) -> HttpResponseBase:
    scope = scope_of_request(request)
    budget = _found(scope, id)
    if budget is None:
        return _no_budget(request)
    if refused := _refused(request, scope, budget):
        return refused
    known = Names(scope)
    known.look_up(users=[budget.user_id])
    user_name = "" if budget.user_id is None else known.user(budget.user_id)
    orgs = [(budget.org_id, budget.org.name)]
    form = BudgetForm(_with_org(request, budget), initial=initial_of(budget, user_name), orgs=orgs, was=budget)
    link = link_of(budget, for_superadmin=scope.everything)
    if request.method == "POST" and form.is_valid():
        title = budget.name
        if saved(form, lambda: editing.change(budget, scope=scope, by=_name(request), values=form.values)):
            messages.success(request, gettext("The budget “%(name)s” is changed.") % {"name": budget.name})
            return redirect(link)
        budget.name = title
    return _form(request, form, budget.name, gettext("Save"), link, budget.org_id)


def delete(request: HttpRequest, id: int) -> HttpResponseBase:
    """Ask once more, then delete."""
    scope = scope_of_request(request)
    budget = _found(scope, id)
    if budget is None:
        return _no_budget(request)
    if refused := _refused(request, scope, budget):
        return refused
    if request.method == "POST":
        editing.delete(budget, scope=scope, by=_name(request))
        messages.success(request, gettext("The budget “%(name)s” is deleted.") % {"name": budget.name})
        return redirect(_list_address(scope))
    context = {
        "title": gettext("Delete the budget “%(name)s”?") % {"name": budget.name},
        "text": gettext("It will stop and tell nothing any more. Its history stays. To pause it, make it inactive."),
        "submit": gettext("Delete"),
        "back": link_of(budget, for_superadmin=scope.everything),
    }
    return render(request, "usage_billing/confirm.html", context)


def saved(form: forms.Form, save: Callable[[], Any]) -> Any:
    """Call the service; None if it refuses, and its reasons are in the form then."""
    try:
        return save()
    except ValidationError as error:
        for name, texts in error.update_error_dict({}).items():
            field = {"tag": "tag_key"}.get(name, name)
            form.add_error(field if field in form.fields else None, [*texts])
    except NotAllowedError as error:
        form.add_error(None, str(error))
    return None


def _form(
    request: HttpRequest, form: BudgetForm, title: str, submit: str, back: str, org_id: int | None
) -> HttpResponse:
    scope = scope_of_request(request)
    today = scope.today(timezone.now())
    suggestions.suggest(form, scope, today, org_id)
    suggestions.suggest_models(form, "replacement", scope, today, org_id)
    context = {"title": title, "form": form, "submit": submit, "back": back}
    return render(request, "usage_billing/budget_form.html", context)


def _with_org(request: HttpRequest, budget: Budget) -> Any:
    """What was sent: the organisation of a budget is not sent, for it does not change."""
    if request.method != "POST":
        return None
    given = request.POST.copy()
    given["org"] = str(budget.org_id)
    return given


# ── Requests for more ────────────────────────────────────────────────────────────────────────────────────────────


def ask(request: HttpRequest, id: int) -> HttpResponseBase:
    scope = scope_of_request(request)
    budget = _found(scope, id)
    if budget is None:
        return _no_budget(request)
    form = AskForm(request.POST or None, budget=budget)
    link = link_of(budget, for_superadmin=scope.everything)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        asked = saved(form, lambda: requests.ask(budget, scope=scope, limit=given["limit"], reason=given["reason"]))
        if asked:
            messages.success(request, gettext("Your request is sent to the owners."))
            return redirect(link)
    context = {
        "title": gettext("Ask for more: %(name)s") % {"name": budget.name},
        "form": form,
        "submit": gettext("Send the request"),
        "back": link,
        "budget": budget,
    }
    return render(request, "usage_billing/budget_ask.html", context)


def answer_request(request: HttpRequest, id: int) -> HttpResponseBase:
    """Grant a request for as much as the form says, or refuse it."""
    scope = scope_of_request(request)
    found = budgets.open_requests(scope).filter(pk=id).first() if id <= LARGEST_ID else None
    if found is None:
        return shell.not_found(request, gettext("This request is answered already, or you may not see it."))
    link = link_of(found.budget, for_superadmin=scope.everything)
    if request.method == "POST":
        _answer(request, scope, found)
    return redirect(link)


def _answer(request: HttpRequest, scope: Scope, asked: BudgetRequest) -> None:
    is_granted = request.POST.get("answer") == "grant"
    form = GrantForm(request.POST if is_granted else {"limit": "1"})
    done = None
    if form.is_valid():
        if is_granted:
            limit = form.cleaned_data["limit"]
            done = saved(form, lambda: requests.grant(asked, scope=scope, by=_name(request), limit=limit))
        else:
            done = saved(form, lambda: requests.refuse(asked, scope=scope, by=_name(request)))
    if done:
        text = gettext("The request is granted.") if is_granted else gettext("The request is refused.")
        messages.success(request, text)
        return
    for text in _texts(form):
        messages.error(request, text)


def _texts(form: forms.Form) -> Iterable[str]:
    return (str(text) for texts in form.errors.values() for text in texts)


# ── Shared ───────────────────────────────────────────────────────────────────────────────────────────────────────


def orgs_of_owner(scope: Scope) -> dict[int, str]:
    """The open organisations that the person may set budgets for."""
    names = of_organizations(scope, None if scope.everything else scope.owned_org_ids)
    closed = Organization.objects.exclude(closed_at=None).filter(pk__in=names).values_list("pk", flat=True)
    return {org_id: name for org_id, name in names.items() if org_id not in {*closed}}


def _found(scope: Scope, id: int) -> Budget | None:
    return access.visible(scope).filter(pk=id).first() if id <= LARGEST_ID else None


def _no_budget(request: HttpRequest) -> HttpResponse:
    return shell.not_found(request, gettext("There is no such budget, or you may not see it."))


def _refused(request: HttpRequest, scope: Scope, budget: Budget) -> HttpResponse | None:
    try:
        access.check_may_change(scope, budget)
    except NotAllowedError as error:
        return shell.forbidden(request, str(error))
    return None


def _list_address(scope: Scope) -> str:
    return address(BUDGETS, for_superadmin=scope.everything)


def _name(request: HttpRequest) -> str:
    return str(request.user.get_username())
