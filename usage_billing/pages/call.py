"""The page of one call."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from usage_billing import reports
from usage_billing.api.fields import LARGEST_ID
from usage_billing.api.parameters import COLUMNS
from usage_billing.pages import shell
from usage_billing.pages.calls_list import call_links
from usage_billing.pages.dimensions import label
from usage_billing.pages.names import Names
from usage_billing.tenancy.scope import Scope
from usage_billing.tenancy.views import scoped_view

ACCOUNT = ("provider_organization", "provider_project", "api_key", "user_profile")
"""Parameters of the filters by the account at the provider."""


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
    scope: Scope = request.scope  # type: ignore[attr-defined]  # set by ScopeMiddleware
    found = reports.calls(scope, filters={"id": id}).select_related("org") if id <= LARGEST_ID else []
    call = next(iter(found), None)
    if call is None:
        return shell.not_found(request, gettext("There is no such call, or it is not yours to see."))
    known = Names(scope)
    known.look_up(users=[call.user_id], contents=[call.content_id])
    context = {
        "title": gettext("Call"),
        "call": call,
        "who": known.user(call.user_id),
        "content": known.contents.get(call.content_id or "", call.content_id),
        "zone": call.org.timezone,
        "parts": call.response_metadata.get("cost_parts", {}),
        "account": [(label(name), value) for name in ACCOUNT if (value := getattr(call, COLUMNS.get(name, name)))],
    }
    return render(request, "usage_billing/record.html", context)
