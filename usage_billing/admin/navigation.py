"""The admin's sidebar."""

from typing import Any, NamedTuple

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _


class Entry(NamedTuple):
    """A model's list in the sidebar; `model` as `app_label.ModelName`."""

    title: Any  # text, translated when it is shown
    icon: str
    model: str


further: list[Entry] = []
"""The models of other apps, which add theirs when they are ready."""


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups of entries, as the theme takes them; each entry for those who may open it."""
    lists = [
        Entry(_("Calls"), "receipt_long", "usage_billing.UsageRecord"),
        Entry(_("Organisations"), "apartment", "usage_billing.Organization"),
        Entry(_("Exchange rates"), "currency_exchange", "usage_billing.ExchangeRate"),
        Entry(_("Own prices"), "sell", "usage_billing.PriceOverride"),
        Entry(_("Re-costings"), "history", "usage_billing.RepriceRun"),
        Entry(_("Users"), "group", "auth.User"),
        Entry(_("User groups"), "groups", "auth.Group"),
        *further,
    ]
    costs = _entry(_("AI costs"), "payments", "usage_billing:ai-costs", request.user.is_superuser)
    return [{"items": [costs, *(_list(request, entry) for entry in lists)]}]


def _list(request: HttpRequest, entry: Entry) -> dict[str, Any]:
    model = apps.get_model(entry.model)
    address = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
    is_allowed = admin.site.get_model_admin(model).has_view_permission(request)
    return _entry(entry.title, entry.icon, address, is_allowed)


def _entry(title: Any, icon: str, address: str, is_allowed: bool) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(address), "permission": lambda _request: is_allowed}
