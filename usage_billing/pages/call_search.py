"""Search for calls by an id: of the call, of its request, workflow or content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect

from usage_billing import reports
from usage_billing.models import UsageRecord
from usage_billing.pages.calls_list import call_links
from usage_billing.pages.page import CALLS, Page, address
from usage_billing.pages.parameters import query_of

MOST = 50
GROUPED_BY = ("workflow_id", "content_id")


def answer(page: Page, text: str) -> HttpResponse | list[UsageRecord]:
    """A redirect to the call, or to all calls of the workflow or content; calls that share the id; none.

    The search goes beyond the page's period and filters, and stays within the scope.
    """
    found = reports.find_calls(page.scope, text, MOST)
    text = text.strip()
    by_id = [call for call in found if text in (str(call.pk), call.request_id)]
    if len(by_id) == 1:
        return redirect(call_links(for_superadmin=page.scope.everything)(by_id[0].pk))
    if by_id:
        return by_id
    for name in GROUPED_BY:
        if any(getattr(call, name) == text for call in found):
            return redirect(_all_of(page, name, text, found))
    return []


def _all_of(page: Page, name: str, text: str, newest: Sequence[UsageRecord]) -> str:
    """The address of all calls of a workflow or piece of content: the period begins with the first of them."""
    first = newest[-1]
    if len(newest) == MOST:
        first = reports.calls(page.scope, filters={name: text}, ordering="created_at").first() or first
    kept: dict[str, Any] = {"currency": page.parameters.given("currency"), name: text}
    return f"{address(CALLS, for_superadmin=page.scope.everything)}?" + query_of(
        (), {"from": first.usage_date.isoformat(), **kept}
    )
