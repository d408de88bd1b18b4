"""Shows the recorded calls of one workflow, and says so while the ledger does not have all of them yet.

The outbox brings calls to the ledger a moment after they were made. A page that has just made some shows what it knows
and this part; a script of ours asks for the part again until all are there, and without scripts a link leads to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext

from ai_clients.assistants.admin.amount_column import column
from ai_clients.assistants.admin.call_links import call_address, calls_address
from usage_billing import reports
from usage_billing.admin.scoped import request_scope
from usage_billing.models import UsageRecord
from usage_billing.tenancy.scope import Scope

MOST_CALLS = 100
LONGEST_NUMBER = 4


def recorded_calls(scope: Scope, workflow_id: str, made: int) -> dict[str, Any]:
    """The variables of `recorded_calls.html`. made: how many calls the workflow made. Call it within `scope`."""
    found = reports.calls(scope, filters={"workflow_id": workflow_id}, ordering="created_at")[:MOST_CALLS]
    calls = with_links(scope, found)
    return {
        "calls": calls,
        "missing": max(0, min(made, MOST_CALLS) - len(calls)),
        "part_address": f"{reverse('admin:ai_assistants_run_calls', args=[workflow_id])}?made={made}",
        "all_address": calls_address(scope, workflow_id=workflow_id) if calls else "",
    }


def with_links(scope: Scope, calls: Iterable[UsageRecord]) -> list[dict[str, Any]]:
    """Each call with who made it, the address of its page, and its amounts as a column shows them."""
    found = list(calls)
    names = reports.user_names([call.user_id for call in found])
    usd, rub = column([call.cost_usd for call in found], "USD"), column([call.cost_rub for call in found], "RUB")
    return [
        {
            "call": call,
            "who": names.get(call.user_id, f"#{call.user_id}") if call.user_id else gettext("system"),
            "address": call_address(scope, call.pk),
            "usd": usd[number],
            "rub": rub[number],
        }
        for number, call in enumerate(found)
    ]


def calls_view(request: HttpRequest, workflow_id: str) -> HttpResponse:
    """Show the calls of a workflow that this person may see: as a page, or as the part alone (`?part=1`)."""
    made = request.GET.get("made", "")
    number = int(made) if made.isascii() and made.isdigit() and len(made) <= LONGEST_NUMBER else 0
    context = recorded_calls(request_scope(request), workflow_id, number)
    if request.GET.get("part"):
        return render(request, "ai_assistants/recorded_calls.html", context)
    context |= {**admin.site.each_context(request), "title": gettext("Calls of one run")}
    return render(request, "ai_assistants/run_calls.html", context)
