"""The sidebar of the pages and of the admin: the same entries, each for people who may open it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from usage_billing.pages import hooks
from usage_billing.pages.page import (
    ALERTS,
    BUDGETS,
    CALLS,
    EXPLORE,
    INSIGHTS,
    OVERVIEW,
    TOKENS,
    WATCHES,
    Page,
    address,
)
from usage_billing.tenancy.views import known_scope

PAGES: tuple[tuple[str, Any], ...] = (
    (OVERVIEW, _("Overview")),
    (EXPLORE, _("Explore")),
    (CALLS, _("Calls")),
    (INSIGHTS, _("Insights")),
    (BUDGETS, _("Budgets")),
    (ALERTS, _("Alerts")),
    (TOKENS, _("Service tokens")),
)
OF_OWNERS = (ALERTS, TOKENS)
"""Pages for owners and superadmins alone."""
LISTS = (
    (_("Organisations"), "usage_billing.Organization"),
    (_("Price overrides"), "usage_billing.PriceOverride"),
    (_("Exchange rates"), "usage_billing.ExchangeRate"),
    (_("Repricing"), "usage_billing.RepriceRun"),
)
"""Title and model of each list of the admin."""


@dataclass(frozen=True)
class Entry:
    title: str | Promise
    link: str
    is_current: bool


def pages(request: HttpRequest, page: Page | None = None) -> list[Entry]:
    """The pages of the person. page: the one that is shown, whose period, filters and currency the others keep."""
    listed = [(name, title) for name, title in PAGES if name not in OF_OWNERS or _may_set_alerts(request)]
    try:
        links = [(title, address(name, for_superadmin=request.user.is_superuser)) for name, title in listed]
    except NoReverseMatch:
        return []  # a host project without the pages
    path = request.path.rstrip("/")
    # A call's page lies below the calls; the address of the overview begins that of every page.
    current = next(
        (
            link
            for number, (_, link) in enumerate(links)
            if path == link.rstrip("/") or (number and f"{path}/".startswith(link.rstrip("/") + "/"))
        ),
        None,
    )
    kept = [_kept(page, name) for name, _title in listed] if page else [link for _title, link in links]
    return [Entry(title, to, link == current) for (title, link), to in zip(links, kept, strict=True)]


def _may_set_alerts(request: HttpRequest) -> bool:
    """Pages of owners. One that is not about calls may not know whether the person is one."""
    scope = known_scope(request)
    return scope is None or scope.everything or bool(scope.owned_org_ids)


def _kept(page: Page, name: str) -> str:
    """The address of a page with what it takes over from the shown one: those of `WATCHES` have no period."""
    if name not in WATCHES:
        return page.to(name)
    org_ids = page.parameters.given("org")
    return address(name, for_superadmin=page.scope.everything) + (f"?org={org_ids[0]}" if len(org_ids) == 1 else "")


def search_link(request: HttpRequest) -> str:
    """Where the search for a call is sent; empty in a project without the pages."""
    try:
        return address(CALLS, for_superadmin=request.user.is_superuser)
    except NoReverseMatch:
        return ""


def manage(request: HttpRequest) -> list[Entry]:
    """The lists of the admin that the person may see."""
    if not (apps.is_installed("django.contrib.admin") and request.user.is_active and request.user.is_staff):
        return []
    lists = [*LISTS, *(entry for source in hooks.admin_lists for entry in source())]
    links = [link for source in hooks.admin_links for link in source(request)]
    return [*_allowed(request, lists), *(Entry(title, link, request.path.startswith(link)) for title, link in links)]


def _allowed(request: HttpRequest, lists: list[tuple[Any, str]]) -> Iterator[Entry]:
    from django.contrib import admin  # not every project has it installed

    for title, name in lists:
        model = apps.get_model(name)
        if not admin.site.is_registered(model) or not admin.site.get_model_admin(model).has_view_permission(request):
            continue
        try:
            link = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        except NoReverseMatch:
            return
        yield Entry(title, link, request.path.startswith(link))
