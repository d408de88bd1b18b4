"""Budgets on the overview: their bars, and what of them, of requests and of alerts needs action."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext, ngettext

from usage_billing.budgets import access
from usage_billing.models import AlertFiring
from usage_billing.pages import alerts, budget_rows, budgets
from usage_billing.pages.alert_words import firing_words
from usage_billing.pages.budget_rows import Row
from usage_billing.pages.needs_action import Item
from usage_billing.pages.page import ALERTS, BUDGETS, Page, address
from usage_billing.templatetags.amounts import share, with_unit, written_day

BARS = 5
MOST_BUDGETS, MOST_ALERTS = 3, 2
"""Entries of what needs action."""


@dataclass(frozen=True)
class Watched:
    """rows: the budgets whose bars are drawn. count: all of them. link: the page of budgets."""

    rows: list[Row] = field(default_factory=list)
    count: int = 0
    link: str = ""
    items: list[Item] = field(default_factory=list)


def watched(page: Page) -> Watched:
    """Nothing on a page that is narrowed to some calls of organisations: budgets count others."""
    filters = page.parameters.filters
    org_ids = filters.get("org_id")
    if {*filters} - {"org_id"} or page.scope.is_empty or not isinstance(org_ids, set | frozenset | None):
        return Watched()
    budgets_ = access.visible(page.scope).filter(is_active=True, org__closed_at=None)
    if org_ids is not None:
        budgets_ = budgets_.filter(org_id__in=org_ids)
    rows = budget_rows.rows(page.scope, budgets_.order_by("-pk")[: budgets.MOST_READ], page.now)
    org_id = next(iter(org_ids)) if org_ids is not None and len(org_ids) == 1 else None
    query = "" if org_id is None else f"?org={org_id}"
    link = address(BUDGETS, for_superadmin=page.scope.everything) + query
    items = [*_requests(page, org_id, link), *_budgets(page, rows), *_alerts(page, org_id, query)]
    drawn = [row for row in rows if row.bar][:BARS]
    return Watched(drawn, len(rows), link, items)


def _requests(page: Page, org_id: int | None, link: str) -> list[Item]:
    """One entry for all requests that wait for the reader."""
    waiting = [*budgets.open_requests(page.scope, org_id)[: budgets.MOST_SHOWN]]
    if not waiting:
        return []
    names = ", ".join(dict.fromkeys(each.budget.name for each in waiting[:3]))
    title = ngettext("%(count)d request for a higher limit", "%(count)d requests for higher limits", len(waiting))
    return [Item("request", str(len(waiting)), title % {"count": len(waiting)}, names, link)]


def _budgets(page: Page, rows: Sequence[Row]) -> list[Item]:
    found = [row for row in rows if row.is_used_up or row.runs_out]
    return [_of_budget(page, row) for row in found[:MOST_BUDGETS]]


def _of_budget(page: Page, row: Row) -> Item:
    name = row.budget.name if not page.several_orgs else f"{row.budget.name} · {row.budget.org.name}"
    badge = share(row.state.share) if row.state else gettext("used up")
    limit = with_unit(row.budget.limit, row.budget.unit)
    if row.is_used_up:
        title = gettext("“%(budget)s” is used up") % {"budget": name}
        return Item("urgent", badge, title, gettext("The limit is %(limit)s.") % {"limit": limit}, row.link)
    day = row.state.runs_out_on if row.state else None
    title = gettext("“%(budget)s” will run out on %(day)s") % {"budget": name, "day": written_day(day) if day else ""}
    return Item("budget", badge, title, gettext("The limit is %(limit)s.") % {"limit": limit}, row.link)


def _alerts(page: Page, org_id: int | None, query: str) -> list[Item]:
    """Alerts of rules that fire; those of budgets stand there as budgets."""
    firings = alerts.of_reader(AlertFiring.objects.select_related(*alerts.OF_FIRING), page.scope, org_id)
    found = firings.filter(state=AlertFiring.State.FIRING, rule__isnull=False)[:MOST_ALERTS]
    link = address(ALERTS, for_superadmin=page.scope.everything) + query
    return [Item("urgent", "!", *firing_words(firing), link) for firing in found]
