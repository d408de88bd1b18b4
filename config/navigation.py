"""The sidebar of the service's admin."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from usage_billing.admin.links import COSTS_PAGE

LISTS = (
    (_("Calls"), "receipt_long", "usage_billing.UsageRecord"),
    (_("Organisations"), "apartment", "usage_billing.Organization"),
    (_("Exchange rates"), "currency_exchange", "usage_billing.ExchangeRate"),
    (_("Price overrides"), "sell", "usage_billing.PriceOverride"),
    (_("Repricing"), "history", "usage_billing.RepriceRun"),
    (_("Users"), "group", "auth.User"),
    (_("User groups"), "groups", "auth.Group"),
    (_("Content"), "article", "ai_assistants.ContentPiece"),
    (_("Community participants"), "groups_2", "ai_assistants.Participant"),
    (_("Messages"), "forum", "ai_assistants.Message"),
    (_("Weekly digests"), "mail", "ai_assistants.DigestDelivery"),
)
"""Title, icon and model of each list."""


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups of entries, as the theme takes them; each entry for people who may open it."""
    costs = _entry(_("AI costs"), "payments", COSTS_PAGE, request.user.is_superuser)
    agents = _entry(
        _("Agents"),
        "smart_toy",
        "admin:ai_assistants_agents",
        request.user.has_perm("ai_assistants.change_contentpiece"),
    )
    return [{"items": [costs, *(_list(request, *each) for each in LISTS), agents]}]


def _list(request: HttpRequest, title: Any, icon: str, model_name: str) -> dict[str, Any]:
    model = apps.get_model(model_name)
    address = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
    is_allowed = admin.site.get_model_admin(model).has_view_permission(request)
    return _entry(title, icon, address, is_allowed)


def _entry(title: Any, icon: str, address: str, is_allowed: bool) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(address), "permission": lambda _request: is_allowed}
