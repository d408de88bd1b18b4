"""A page of AI costs: whose calls, which parameters, and the links to itself and to the other pages."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import get_script_prefix, get_urlconf, reverse
from django.utils.translation import gettext

from usage_billing.pages import names
from usage_billing.pages.names import Names
from usage_billing.pages.parameters import Changes, PageParameters
from usage_billing.tenancy.scope import Scope

OVERVIEW, EXPLORE, CALLS, INSIGHTS = PAGES = ("overview", "explore", "calls", "insights")
BUDGETS, ALERTS, TOKENS = WATCHES = ("budgets", "alerts", "tokens")
"""Pages without a period and filters, besides one organisation."""


@dataclass
class Page:
    """One request to a page. name: one of `PAGES`."""

    request: HttpRequest
    name: str
    scope: Scope
    parameters: PageParameters
    now: datetime

    @functools.cached_property
    def today(self) -> date:
        return self.scope.today(self.now)

    @property
    def zone(self) -> str:
        return self.scope.zone or settings.TIME_ZONE

    @functools.cached_property
    def names(self) -> Names:
        """A superadmin's organisations may be thousands, so each page looks up the names that it shows."""
        return Names(self.scope, orgs={} if self.scope.everything else names.of_organizations(self.scope))

    @property
    def several_orgs(self) -> bool:
        """Whether the calls may be of more than one organisation."""
        return self.scope.everything or len(self.scope.org_ids) > 1

    def link(self, changes: Changes | None = None, **more: str | None) -> str:
        """The address of this page with some parameters changed; None removes one."""
        return "?" + self.parameters.query({**(changes or {}), **more})

    def to(self, page: str, changes: Changes | None = None, **more: str | None) -> str:
        """The address of another page with this one's period, filters and currency, some of them changed."""
        query = self.parameters.shared({**(changes or {}), **more})
        return address(page, for_superadmin=self.scope.everything) + (f"?{query}" if query else "")

    def calls(self, changes: Changes | None = None, **more: str | None) -> str:
        """The address of the calls that a number of this page counts."""
        return self.to(CALLS, changes, **more)

    def day(self, first: date, last: date | None = None) -> Changes:
        """The changes of parameters that narrow the period to these days."""
        days: Mapping[str, Any] = {"from": first.isoformat(), "to": (last or first).isoformat()}
        return {**dict.fromkeys(("days", "period_days", "period")), **days}

    def previous_days(self, until: date | None = None) -> Changes | None:
        """The changes of parameters that lead to the previous period, or its days before `until`; None without days."""
        before = self.parameters.period.before(self.today)
        if before is None or before.since is None or before.until is None:
            return None
        last = (until or before.until) - timedelta(days=1)
        return self.day(before.since, last) if before.since <= last else None


def address(page: str, *, for_superadmin: bool) -> str:
    """The address of a page, without a query."""
    return _addresses(for_superadmin, *urls_key())[page]


def urls_key() -> tuple[str, str]:
    """The URLs that addresses depend on, as the key of a cache: Django takes long over one, and a page has dozens."""
    return get_urlconf() or settings.ROOT_URLCONF, get_script_prefix()


@functools.lru_cache(maxsize=16)
def _addresses(for_superadmin: bool, *_urls: str) -> dict[str, str]:
    base = "ai-costs" if for_superadmin else "usage"
    return {
        page: reverse(f"usage_billing:{base}" + ("" if page == OVERVIEW else f"-{page}")) for page in (*PAGES, *WATCHES)
    }


def scope_text(page: Page) -> str:
    """Whose calls the page shows."""
    scope = page.scope
    if scope.everything:
        return gettext("All organisations")
    orgs = page.names.orgs

    def listed(org_ids: frozenset[int]) -> str:
        return ", ".join(sorted(orgs[org_id] for org_id in org_ids if org_id in orgs))

    parts = []
    if scope.owned_org_ids:
        parts.append(gettext("All calls of %(names)s") % {"names": listed(scope.owned_org_ids)})
    if scope.member_org_ids:
        parts.append(gettext("Your own calls in %(names)s") % {"names": listed(scope.member_org_ids)})
    return " · ".join(parts)
