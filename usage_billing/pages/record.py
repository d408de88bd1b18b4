"""The page of one call, for people who do not use the admin."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from usage_billing import reports
from usage_billing.api.fields import LARGEST_ID
from usage_billing.pages import names, shell
from usage_billing.pages.costs import record_links
from usage_billing.tenancy.scope import Scope
from usage_billing.tenancy.views import scoped_view


@require_safe
@never_cache
@login_required
@scoped_view
def own_record(request: HttpRequest, id: int) -> HttpResponse:
    """Answer 404 for another tenant's call, exactly as for one that does not exist."""
    scope: Scope = request.scope  # type: ignore[attr-defined]  # set by ScopeMiddleware
    found = reports.calls(scope, filters={"id": id}).select_related("org") if id <= LARGEST_ID else []
    call = next(iter(found), None)
    if call is None:
        return shell.not_found(request, gettext("There is no such call, or it is not yours to see."))
    if scope.everything and (address := record_links(for_superadmin=True)(call.pk)) != request.path.rstrip("/"):
        return redirect(address)
    content = names.of_contents(scope, {call.content_id} if call.content_id else set())
    context = {
        "title": gettext("Call"),
        "call": call,
        "who": names.Names(users=reports.user_names([call.user_id])).user(call.user_id),
        "content": content.get(call.content_id or "", call.content_id),
        "zone": call.org.timezone,
        "parts": call.response_metadata.get("cost_parts", {}),
    }
    return render(request, "usage_billing/record.html", context)
