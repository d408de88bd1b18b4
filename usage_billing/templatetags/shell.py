"""The sidebar, as a tag: pages of the app, of the service and of the admin show the same one."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import RequestContext

from usage_billing.pages import navigation, recorder_state

register = template.Library()


@register.inclusion_tag("usage_billing/parts/sidebar.html", takes_context=True)
def sidebar(context: RequestContext) -> dict[str, Any]:
    """Render the sidebar for the person of the request; without one (an error page) only the brand."""
    request: Any = context.get("request")
    user: Any = getattr(request, "user", None)
    is_known = bool(user and user.is_authenticated)
    return {
        "request": request,
        "csrf_token": context.get("csrf_token"),
        "user": user,
        "is_known": is_known,
        "pages": navigation.pages(request, context.get("page")) if is_known else [],
        "search_link": navigation.search_link(request) if is_known else "",
        "manage": navigation.manage(request) if is_known else [],
        "recorder": recorder_state.of_now() if is_known and user.is_superuser else None,
    }
