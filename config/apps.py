"""The service as a Django application: its lists in the sidebar, and its checks before deployment."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

LISTS = ((_("Users"), "auth.User"), (_("User groups"), "auth.Group"))
"""Lists of the admin, for the sidebar: title and model."""


class ServiceConfig(AppConfig):
    name = "config"
    label = "ai_costs_service"

    def ready(self) -> None:
        from config.checks import keys, mail, serving, web  # noqa: F401  # registers them
        from usage_billing import pages

        pages.admin_lists.append(lambda: LISTS)
