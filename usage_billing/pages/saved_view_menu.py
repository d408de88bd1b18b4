"""The menu of saved views in the head of each page: the views, and a form that saves this one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext

from usage_billing.pages import saved_views
from usage_billing.pages.controls import Choice
from usage_billing.pages.page import Page, address
from usage_billing.pages.saved_views import PRIVATE, SUPERADMINS
from usage_billing.tenancy.scope import Scope

Shares = list[tuple[str, str]]


@dataclass(frozen=True)
class ViewMenu:
    """views: those that the person may open. shares: whom this one may be shared with. query: what would be saved.

    link: the address of the list of views, to which the form is sent.
    """

    views: list[Choice]
    shares: Shares
    query: str
    link: str

    @property
    def current(self) -> str:
        """The name of the view that the page shows; empty if it shows none."""
        return next((each.text for each in self.views if each.is_current), "")


def menu(page: Page) -> ViewMenu | None:
    """The menu; None for a person without an organisation. One query."""
    if page.scope.is_empty:
        return None
    for_superadmin = page.scope.everything
    query = saved_views.query_to_save(page.parameters.pairs)
    here = address(page.name, for_superadmin=for_superadmin) + (f"?{query}" if query else "")
    links = [
        (view.name, saved_views.link_of(view, for_superadmin=for_superadmin))
        for view in saved_views.visible(page.scope)
    ]
    given = page.parameters.given("org")
    page.names.look_up(orgs=(int(text) for text in given if text.isdecimal()))
    return ViewMenu(
        [Choice(name, link, link == here) for name, link in links],
        shares(page.scope, page.names.orgs, given),
        query,
        saved_views.views_address(for_superadmin=for_superadmin),
    )


def shares(scope: Scope, names: Mapping[int, str], org_ids: Iterable[str]) -> Shares:
    """Whom a person may share a view with: their organisations; a superadmin the one that the view is narrowed to."""
    offered: Shares = [(PRIVATE, gettext("only me"))]
    if scope.everything:
        offered.append((SUPERADMINS, gettext("all superadmins")))
        given = [int(text) for text in org_ids if text.isdecimal()]
        # A view of several organisations would tell each of them the others' ids.
        wanted: Sequence[int] = given if len(given) == 1 else []
    else:
        wanted = sorted(scope.org_ids, key=lambda org_id: names.get(org_id, ""))
    return offered + [(str(org_id), names[org_id]) for org_id in wanted if org_id in names]
