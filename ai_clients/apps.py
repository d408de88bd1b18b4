"""The Django application of the callers."""

from django.apps import AppConfig
from django.core.checks import register
from django.utils.translation import gettext_lazy as _


class AiClientsConfig(AppConfig):
    name = "ai_clients"
    verbose_name = _("AI clients")

    def ready(self) -> None:
        from ai_clients import checks, content_titles, demo_people, model_choice
        from ai_clients.connection import destinations
        from usage_billing import admin_navigation, demo_data, pages

        register(model_choice.check_choices)
        pages.destination_sources.append(destinations)
        pages.content_sources.append(content_titles.titles)
        register(checks.agent_models)
        demo_data.further.append(demo_people.create)
        for title, icon, model in (
            (_("Content"), "article", "ContentPiece"),
            (_("Participants"), "groups_2", "Participant"),
            (_("Messages"), "forum", "Message"),
            (_("Weekly digests"), "mail", "DigestDelivery"),
        ):
            admin_navigation.further.append(admin_navigation.Entry(title, icon, f"ai_clients.{model}"))
