"""`{% index_figures %}`: figures for the first page of the admin."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import RequestContext
from django.utils import timezone

register = template.Library()


@register.inclusion_tag("usage_billing/admin_index_figures.html", takes_context=True)
def index_figures(context: RequestContext) -> dict[str, Any]:
    """Show what the person's organisations, or all of them, have spent this month."""
    # Imported here, because the theme's admin loads all tag libraries while it is being imported itself.
    from django.contrib import admin

    from config.index_figures import index_figures as figures_of
    from usage_billing.admin.scoped import request_scope
    from usage_billing.models import ExchangeRate

    request = context["request"]
    scope = request_scope(request)
    return {
        "figures": None if scope.is_empty else figures_of(scope, timezone.now()),
        "may_see_rates": admin.site.get_model_admin(ExchangeRate).has_view_permission(request),
    }
