"""The pages' entrance: one function a page for superadmins and one for everybody else; they differ by scope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from usage_billing.pages import calls, controls, explore, filter_form, insights_page, overview, saved_view_menu, shell
from usage_billing.pages.page import CALLS, EXPLORE, INSIGHTS, OVERVIEW, Page, address
from usage_billing.pages.parameters import PageSerializer, parse, query_of_form
from usage_billing.tenancy.views import scope_of_request, scoped_view

View = Callable[[HttpRequest], HttpResponseBase]


@dataclass(frozen=True)
class Kind:
    """A page: title, template, its own parameters, and the function that makes its context, or answers by itself."""

    title: Any
    template: str
    serializer: type[PageSerializer]
    context: Callable[[Page], dict[str, Any] | HttpResponseBase]


KINDS = {
    OVERVIEW: Kind(_("Overview"), "usage_billing/overview.html", overview.OverviewSerializer, overview.context),
    EXPLORE: Kind(_("Explore"), "usage_billing/explore.html", explore.ExploreSerializer, explore.context),
    CALLS: Kind(_("Calls"), "usage_billing/calls.html", calls.CallsSerializer, calls.context),
    INSIGHTS: Kind(
        _("Insights"), "usage_billing/insights.html", insights_page.InsightsSerializer, insights_page.context
    ),
}


def superadmin_page(name: str) -> View:
    """The view of a page over every organisation, for superusers."""

    def view(request: HttpRequest) -> HttpResponseBase:
        return _answer(request, name) if request.user.is_superuser else shell.no_access(request)

    return _entered(view)


def own_page(name: str) -> View:
    """The view of a page over an owner's organisations, or a member's own calls."""

    def view(request: HttpRequest) -> HttpResponseBase:
        if request.user.is_superuser:
            query = request.META["QUERY_STRING"]
            return redirect(address(name, for_superadmin=True) + (f"?{query}" if query else ""))
        return _answer(request, name)

    return _entered(view)


def _entered(view: View) -> View:
    return require_safe(never_cache(login_required(scoped_view(view))))


def _answer(request: HttpRequest, name: str) -> HttpResponseBase:
    if (query := query_of_form(request.GET)) is not None:
        return redirect(request.path + (f"?{query}" if query else ""))
    kind, now = KINDS[name], timezone.now()
    scope = scope_of_request(request)
    page = Page(request, name, scope, parse(request.GET, scope.today(now), kind.serializer, scope), now)
    own = kind.context(page)
    if isinstance(own, HttpResponseBase):
        return own
    return _rendered(page, kind, own)


def _rendered(page: Page, kind: Kind, own: dict[str, Any]) -> HttpResponse:
    shared = {"title": kind.title, **controls.context(page), "view_menu": saved_view_menu.menu(page)}
    if page.parameters.own.get("filters"):
        shared |= filter_form.context(page)
    return render(page.request, kind.template, {**shared, **own})
