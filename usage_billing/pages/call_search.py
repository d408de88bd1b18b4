"""Search for calls by an id: of the call, of its request, workflow or content."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext

from usage_billing import reports
from usage_billing.models import UsageRecord
from usage_billing.pages.calls_list import call_links
from usage_billing.pages.page import CALLS, Page, address
from usage_billing.pages.parameters import query_of

MOST = 50


@dataclass(frozen=True)
class Hits:
    """Several things with the same id: calls, and texts and addresses of the calls of a workflow or of content."""

    calls: list[UsageRecord]
    links: list[tuple[str, str]]


def answer(page: Page, text: str) -> HttpResponse | Hits:
    """A redirect to the call, or to all calls of the workflow or content; what there is if several have the id; none.

    The search goes beyond the page's period and filters, and stays within the scope.
    """
    found, text = reports.find_calls(page.scope, text, MOST), text.strip()
    links = [(name, _all_of(page, name, text, first)) for name, first in found.first_days.items()]
    if len(found.calls) == 1 and not links:
        return redirect(call_links(for_superadmin=page.scope.everything)(found.calls[0].pk))
    if len(links) == 1 and not found.calls:
        return redirect(links[0][1])
    texts = {"workflow_id": gettext("All calls of the workflow “%(id)s”"),
             "content_id": gettext("All calls of the content “%(id)s”")}  # fmt: skip
    return Hits(found.calls, [(texts[name] % {"id": text}, link) for name, link in links])


def _all_of(page: Page, name: str, text: str, first: date) -> str:
    """The address of all calls of a workflow or piece of content: the period begins with the first of them."""
    kept: dict[str, Any] = {"currency": page.parameters.given("currency"), name: text}
    query = query_of((), {"from": first.isoformat(), **kept})
    return f"{address(CALLS, for_superadmin=page.scope.everything)}?{query}"
