"""The Django application of the callers."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AiClientsConfig(AppConfig):
    name = "ai_clients"
    verbose_name = _("AI clients")

    def ready(self) -> None:
        from ai_clients.connection import destinations
        from usage_billing import pages

        pages.destination_sources.append(destinations)
