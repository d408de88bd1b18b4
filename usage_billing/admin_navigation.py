"""The admin's sidebar."""

from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _


class Entry(NamedTuple):
    """A model's list in the sidebar; `model` as in the admin's addresses (`app_model`)."""

    title: Any  # text, translated when it is shown
    icon: str
    model: str
    permission: str


further: list[Entry] = []
"""The models of other apps, which add theirs when they are ready."""


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups of entries, as the theme takes them; each entry for those who may open it."""
    entries = [
        _entry(_("AI costs"), "payments", "ai-costs", request.user.is_superuser),
        *(
            _entry(title, icon, f"admin:{model}_changelist", request.user.has_perm(permission))
            for title, icon, model, permission in (
                (_("Calls"), "receipt_long", "usage_billing_usagerecord", "usage_billing.view_usagerecord"),
                (_("Organisations"), "apartment", "usage_billing_organization", "usage_billing.view_organization"),
                (
                    _("Exchange rates"),
                    "currency_exchange",
                    "usage_billing_exchangerate",
                    "usage_billing.view_exchangerate",
                ),
                (_("Own prices"), "sell", "usage_billing_priceoverride", "usage_billing.view_priceoverride"),
                (_("Re-costings"), "history", "usage_billing_repricerun", "usage_billing.view_repricerun"),
                (_("Users"), "group", "auth_user", "auth.view_user"),
                (_("User groups"), "groups", "auth_group", "auth.view_group"),
                *further,
            )
        ),
    ]
    return [{"items": entries}]


def _entry(title: str, icon: str, address: str, is_allowed: bool) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(address), "permission": lambda _request: is_allowed}
