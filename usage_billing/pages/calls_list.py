"""Rows of lists of calls: names, and the address of each call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.urls import reverse

from usage_billing.models import UsageRecord
from usage_billing.pages.page import Page, urls_key
from usage_billing.pages.parameters import CURRENCIES

_STATUSES = dict(UsageRecord.Status.choices)


@dataclass(frozen=True)
class Entry:
    call: UsageRecord
    org: str
    who: str
    status: str
    link: str


def entries(page: Page, calls: Iterable[UsageRecord]) -> list[Entry]:
    """A query for the names of users, and one for those of organisations."""
    listed = list(calls)
    page.names.look_up(users=(call.user_id for call in listed), orgs=(call.org_id for call in listed))
    link = call_links(for_superadmin=page.scope.everything)
    currency = page.parameters.currency
    query = "" if currency == CURRENCIES[0] else f"?currency={currency}"
    return [
        Entry(
            call,
            page.names.org(call.org_id),
            page.names.user(call.user_id),
            str(_STATUSES.get(call.status, call.status)),
            link(call.pk) + query,
        )
        for call in listed
    ]


def call_links(*, for_superadmin: bool) -> Callable[[int], str]:
    """A function from a call's id to the address of its page.

    Django resolves the address once: it takes long over one, and a page has dozens.
    """
    before, after = _around(for_superadmin, *urls_key())
    return lambda id_: f"{before}{id_}{after}"


@functools.lru_cache(maxsize=16)
def _around(for_superadmin: bool, *_urls: str) -> tuple[str, str]:
    view = "usage_billing:ai-costs-call" if for_superadmin else "usage_billing:call"
    before, _, after = reverse(view, args=[0]).rpartition("0")
    return before, after
