"""One call: its cost line by line, who and what caused it, and the calls around it.

Links on other pages show its part `#call` as a sheet; the page works by itself as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from usage_billing import reports
from usage_billing.models import UsageRecord
from usage_billing.models.fields import LARGEST_ID
from usage_billing.pages import call_budget, call_cost, call_facts, call_price, calls_list, shell
from usage_billing.pages.calls_list import Entry, call_links
from usage_billing.pages.page import CALLS, INSIGHTS, Page
from usage_billing.pages.parameters import PageSerializer, parse
from usage_billing.templatetags.amounts import common_places
from usage_billing.tenancy.views import scope_of_request, scoped_view

OF_WORKFLOW = 10
"""Calls of the workflow that are listed."""
ON_EACH_SIDE = 3
"""Calls of the organisation that are listed before and after the call."""


@require_safe
@never_cache
@login_required
@scoped_view
def superadmin_call(request: HttpRequest, id: int) -> HttpResponse:
    return _answer(request, id) if request.user.is_superuser else shell.no_access(request)


@require_safe
@never_cache
@login_required
@scoped_view
def own_call(request: HttpRequest, id: int) -> HttpResponse:
    return redirect(call_links(for_superadmin=True)(id)) if request.user.is_superuser else _answer(request, id)


def _answer(request: HttpRequest, id: int) -> HttpResponse:
    """Answer 404 for another tenant's call, exactly as for one that does not exist."""
    scope, now = scope_of_request(request), timezone.now()
    found = reports.calls(scope, filters={"id": id}).prefetch_related("org") if id <= LARGEST_ID else []
    call = next(iter(found), None)
    if call is None:
        return shell.not_found(request, gettext("There is no such call, or you may not see it."))
    page = Page(request, CALLS, scope, parse(_currency_alone(request), scope.today(now), PageSerializer), now)
    return render(request, "usage_billing/call.html", _context(page, call))


def _currency_alone(request: HttpRequest) -> QueryDict:
    """The parameter that the page takes over from the one that led here."""
    kept = QueryDict(mutable=True)
    if currency := request.GET.get("currency"):
        kept["currency"] = currency
    return kept


def _context(page: Page, call: UsageRecord) -> dict[str, Any]:
    """The context of the template. Eight queries at most, whatever the workflow's length."""
    workflow = reports.of_workflow(page.scope, call.workflow_id, call.org_id, OF_WORKFLOW) if call.workflow_id else None
    around = reports.around(page.scope, call, ON_EACH_SIDE)
    near = [*around.earlier, call, *around.later]
    page.names.look_up(users=[call.user_id], contents=[call.content_id])
    for_superadmin = page.scope.everything
    column = f"cost_{page.parameters.currency}"
    return {
        "title": gettext("Call %(id)s") % {"id": call.pk},
        "call": call,
        "zone": call.org.timezone,
        "lines": call_cost.lines(call),
        "price_source": call_price.price_source(call),
        "context_notes": call_price.context_notes(call),
        "unpriced": call_price.unpriced(call, for_superadmin=for_superadmin),
        "stopped_by": call_budget.stopped_by(page.scope, call),
        "error_advice": call_price.error_advice(call),
        "attribution": call_facts.attribution(page, call),
        "tags": call_facts.tags(page, call),
        "account": call_facts.account(page, call),
        "circumstances": [*call_facts.circumstances(call), *call_facts.report(call)],
        "metadata": call_facts.metadata(call),
        "usage": call_facts.usage(call),
        "workflow": workflow,
        "workflow_calls": _entries(page, call, workflow.calls) if workflow else [],
        "workflow_places": _places(workflow.calls, column) if workflow else 2,
        "workflow_link": _workflow_link(page, call, workflow) if workflow else "",
        "near": _entries(page, call, near) if len(near) > 1 else [],
        "near_places": _places(near, column),
        "currency": page.parameters.currency,
        "near_link": page.calls({**call_facts.days_around(page, call), "org": str(call.org_id)}),
        "calls_link": page.calls(call_facts.days_around(page, call)),
        "comparison_link": _comparison_link(page, call),
        "link": call_links(for_superadmin=for_superadmin)(call.pk),
        "admin_link": _admin_link(call) if for_superadmin else None,
    }


def _entries(page: Page, call: UsageRecord, calls: Iterable[UsageRecord]) -> list[tuple[Entry, bool]]:
    """The calls of a list, and whether each is the page's own."""
    return [(entry, entry.call.pk == call.pk) for entry in calls_list.entries(page, calls)]


def _places(calls: Iterable[UsageRecord], column: str) -> int:
    return common_places(getattr(call, column) for call in calls)


def _workflow_link(page: Page, call: UsageRecord, workflow: reports.Workflow) -> str:
    """The address of all calls of the workflow, from its first day on."""
    first = workflow.calls[0].usage_date if workflow.calls else call.usage_date
    return page.calls({"from": first.isoformat(), "workflow_id": call.workflow_id, "org": str(call.org_id)})


def _comparison_link(page: Page, call: UsageRecord) -> str | None:
    """The address of the comparison with other models; None for a call without a model or a cost."""
    if not call.ai_model or not call.cost_usd:
        return None
    narrowed = {"ai_provider": call.ai_provider, "ai_model": call.ai_model}
    return page.to(INSIGHTS, {**call_facts.days_around(page, call), **narrowed}) + "#comparison"


def _admin_link(call: UsageRecord) -> str | None:
    """The address of the record in the admin; None in a project without it."""
    if not apps.is_installed("django.contrib.admin"):
        return None
    try:
        return reverse("admin:usage_billing_usagerecord_change", args=[call.pk])
    except NoReverseMatch:
        return None
