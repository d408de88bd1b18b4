"""Addresses of calls and of lists of calls, for the person who reads the page. Change them here."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse

from usage_billing.tenancy.scope import Scope

LISTS = {True: ("usage_billing:ai-costs-calls", "usage_billing:ai-costs"),
         False: ("usage_billing:usage-calls", "usage_billing:usage")}  # fmt: skip
"""The page of calls for superadmins (True) and others, and the page that stands in where there is none."""
ONE = {True: ("usage_billing:ai-costs-call",), False: ("usage_billing:call",)}


def calls_address(scope: Scope, **filters: object) -> str:
    """The list of calls with these filters of the API; empty in a project without such a page."""
    address = _first(LISTS[scope.everything])
    return f"{address}?{urlencode(filters)}" if address else ""


def call_address(scope: Scope, call_id: int) -> str:
    """The page of one call; empty in a project without one."""
    return _first(ONE[scope.everything], call_id)


def _first(names: Sequence[str], *args: object) -> str:
    for name in names:
        try:
            return reverse(name, args=args)
        except NoReverseMatch:
            continue
    return ""
