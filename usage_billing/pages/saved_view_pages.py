"""The pages of saved views: the list, opening one, and the forms that save, change and delete one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from usage_billing.models import SavedView
from usage_billing.models.saved_view import LONGEST_NAME
from usage_billing.pages import names, saved_views, shell
from usage_billing.pages.names import Names
from usage_billing.pages.page import PAGES, address
from usage_billing.pages.parameters import parse
from usage_billing.pages.saved_view_menu import Shares, shares
from usage_billing.pages.saved_views import PRIVATE, SUPERADMINS, link_of, views_address
from usage_billing.pages.views import KINDS
from usage_billing.tenancy.scope import Scope
from usage_billing.tenancy.views import scope_of_request, scoped_view

View = Callable[..., HttpResponseBase]
LONGEST_SENT = 20_000
"""Characters of a query that is parsed; what is saved is shorter."""


class ViewForm(forms.Form):
    """The name, whom the view is shared with, and whether it is the start page."""

    name = forms.CharField(max_length=LONGEST_NAME)
    share = forms.ChoiceField(required=False)
    is_start = forms.BooleanField(required=False)

    def __init__(self, *args: Any, offered: Shares, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["share"].choices = offered  # type: ignore[attr-defined]


class NewViewForm(ViewForm):
    page = forms.ChoiceField(choices=[(name, name) for name in PAGES])
    query = forms.CharField(required=False, max_length=LONGEST_SENT)


@dataclass(frozen=True)
class Entry:
    """A view in the list. shared_with: empty for a private one. by: its user's name."""

    view: SavedView
    link: str
    page: str
    shared_with: str
    by: str
    share: str
    shares: Shares
    may_change: bool
    may_delete: bool


def list_view(*, for_superadmin: bool) -> View:
    """The view of the list of views, to which new ones are sent."""

    def view(request: HttpRequest) -> HttpResponseBase:
        return _save(request) if request.method == "POST" else _list(request)

    return _entered(view, for_superadmin=for_superadmin)


def one_view(*, for_superadmin: bool) -> View:
    """The view of one saved view: it leads to its page, or takes the form that changes it."""

    def view(request: HttpRequest, id: int) -> HttpResponseBase:
        found = saved_views.visible(scope_of_request(request)).filter(pk=id).first()
        if found is None:
            text = gettext("There is no such view, or it is not shared with you. Your views are in the menu “Views”.")
            return shell.not_found(request, text)
        if request.method == "POST":
            return _changed(request, found)
        return redirect(link_of(found, for_superadmin=for_superadmin))

    return _entered(view, for_superadmin=for_superadmin)


def _entered(view: View, *, for_superadmin: bool) -> View:
    """Superadmins have pages of their own; the addresses of others lead there."""

    def entered(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if for_superadmin and not request.user.is_superuser:
            return shell.no_access(request)
        if request.user.is_superuser and not for_superadmin:
            base = views_address(for_superadmin=True)
            return redirect(f"{base}/{kwargs['id']}" if "id" in kwargs else base)
        return view(request, **kwargs)

    return require_http_methods(["GET", "HEAD", "POST"])(never_cache(login_required(scoped_view(entered))))


# ── The list ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _list(request: HttpRequest) -> HttpResponse:
    scope = scope_of_request(request)
    known = Names(scope, orgs=names.of_organizations(scope))
    views = list(saved_views.visible(scope))
    known.look_up(users=(view.user_id for view in views))
    deletable = {*saved_views.deletable(scope).values_list("pk", flat=True)}
    entries = [_entry(scope, known, view, may_delete=view.pk in deletable) for view in views]
    explore = address("explore", for_superadmin=scope.everything)
    context = {"title": gettext("Saved views"), "entries": entries, "explore_link": explore}
    return render(request, "usage_billing/saved_views.html", context)


def _entry(scope: Scope, known: Names, view: SavedView, *, may_delete: bool) -> Entry:
    shared_with = ""
    if view.is_shared:
        shared_with = gettext("all superadmins") if view.org_id is None else known.org(view.org_id)
    base = views_address(for_superadmin=scope.everything)
    return Entry(
        view,
        f"{base}/{view.pk}",
        view.get_page_display(),
        shared_with,
        _author(known, view, scope),
        _share_of(view),
        _shares_of(scope, known, view),
        view.user_id == scope.user_id,
        may_delete,
    )


def _author(known: Names, view: SavedView, scope: Scope) -> str:
    """The name of the person who saved it; empty for the reader's own views."""
    if view.user_id == scope.user_id:
        return ""
    return gettext("a deleted user") if view.user_id is None else known.user(view.user_id)


def _share_of(view: SavedView) -> str:
    if not view.is_shared:
        return PRIVATE
    return SUPERADMINS if view.org_id is None else str(view.org_id)


def _shares_of(scope: Scope, known: Names, view: SavedView) -> Shares:
    """Whom it may be shared with: also the organisation that it is shared with now."""
    org_ids = parse_qs(view.query).get("org", [])
    if view.is_shared and view.org_id is not None:
        org_ids = [*dict.fromkeys([*org_ids, str(view.org_id)])]
    return shares(scope, known.orgs, org_ids)


# ── The forms ────────────────────────────────────────────────────────────────────────────────────────────────────


def _save(request: HttpRequest) -> HttpResponseBase:
    """Save the page that the form names, and lead there."""
    scope = scope_of_request(request)
    if scope.is_empty:
        return shell.no_access(request)
    sent = QueryDict(request.POST.get("query", "")[:LONGEST_SENT])
    offered = shares(scope, names.of_organizations(scope), sent.getlist("org"))
    form = NewViewForm(request.POST, offered=offered)
    if "page" not in form.data or form.data["page"] not in PAGES:
        return shell.not_found(request, gettext("There is no such page to save. Save it from the page's own menu."))
    page = form.data["page"]
    parameters = parse(sent, scope.today(timezone.now()), KINDS[page].serializer, scope)
    query = saved_views.query_to_save(parameters.pairs)
    back = address(page, for_superadmin=scope.everything) + (f"?{query}" if query else "")
    if not form.is_valid():
        return _refused(request, form.errors.values(), back)
    given = form.cleaned_data
    try:
        view = saved_views.save(
            scope=scope,
            name=given["name"],
            page=page,
            query=query,
            share=given["share"],
            is_start=given["is_start"],
        )
    except ValidationError as error:
        return _refused(request, [error.messages], back)
    messages.success(request, gettext("Saved as “%(name)s”.") % {"name": view.name})
    return redirect(link_of(view, for_superadmin=scope.everything))


def _changed(request: HttpRequest, view: SavedView) -> HttpResponseBase:
    """Change or delete it, and lead to the list."""
    scope = scope_of_request(request)
    back = views_address(for_superadmin=scope.everything)
    if request.POST.get("action") == "delete":
        if not saved_views.deletable(scope).filter(pk=view.pk).exists():
            return _refused(request, [[gettext("Only its author or an owner can delete a view.")]], back)
        view.delete()
        messages.success(request, gettext("“%(name)s” is deleted.") % {"name": view.name})
        return redirect(back)
    if view.user_id != scope.user_id:
        text = gettext("Only its author can change a view. Open it and save it under a name of your own.")
        return _refused(request, [[text]], back)
    known = Names(scope, orgs=names.of_organizations(scope))
    form = ViewForm(request.POST, offered=_shares_of(scope, known, view))
    if not form.is_valid():
        return _refused(request, form.errors.values(), back)
    given = form.cleaned_data
    try:
        saved_views.change(view, scope=scope, name=given["name"], share=given["share"], is_start=given["is_start"])
    except ValidationError as error:
        return _refused(request, [error.messages], back)
    messages.success(request, gettext("“%(name)s” is changed.") % {"name": view.name})
    return redirect(back)


def _refused(request: HttpRequest, problems: Any, back: str) -> HttpResponse:
    for problem in problems:
        for text in problem:
            messages.error(request, text)
    return redirect(back)
