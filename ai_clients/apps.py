"""The Django application of the callers."""

from django.apps import AppConfig
from django.core.checks import register
from django.utils.translation import gettext_lazy as _


class AiClientsConfig(AppConfig):
    name = "ai_clients"
    verbose_name = _("AI clients")

    def ready(self) -> None:
        from ai_clients import checks
        from ai_clients.connection import destinations
        from usage_billing import admin_navigation, pages

        pages.destination_sources.append(destinations)
        admin_navigation.further.append(
            admin_navigation.Entry(_("Content"), "article", "ai_clients_contentpiece", "ai_clients.view_contentpiece")
        )
        register(checks.agent_models)
