"""The Django app of the assistants."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import register
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

LISTS = (
    (_("Content"), "ai_assistants.ContentPiece"),
    (_("Community participants"), "ai_assistants.Participant"),
    (_("Messages"), "ai_assistants.Message"),
    (_("Weekly digests"), "ai_assistants.DigestDelivery"),
)
"""Lists of the admin, for the sidebar: title and model."""


def agents_link(request: HttpRequest) -> Sequence[tuple[Any, str]]:
    """The page of the agents, for those who may run one; nothing in a project without the admin."""
    if not request.user.has_perm("ai_assistants.change_contentpiece"):
        return []
    try:
        return [(_("Agents"), reverse("admin:ai_assistants_agents"))]
    except NoReverseMatch:
        return []


class AssistantsConfig(AppConfig):
    name = "ai_clients.assistants"
    label = "ai_assistants"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = _("AI assistants")

    def ready(self) -> None:
        from ai_clients.assistants import checks
        from ai_clients.assistants.calls import model_choice
        from ai_clients.assistants.content import demo_pieces, titles
        from ai_clients.assistants.digest import demo_digest, subscription
        from ai_clients.assistants.models import DigestSubscription
        from ai_clients.assistants.participants import content_ids, demo_people, demo_profiles
        from ai_clients.connection import destinations
        from usage_billing import pages
        from usage_billing.management import demo_data
        from usage_billing.models import Membership
        from usage_billing.tenancy import row_level_security

        row_level_security.secured_apps.append(self.label)
        row_level_security.access_of_apps[DigestSubscription._meta.db_table] = subscription.ACCESS
        register(model_choice.check_choices)
        pages.destination_sources.append(destinations)
        pages.content_sources += [titles.titles, content_ids.titles]
        pages.admin_lists.append(lambda: LISTS)
        pages.admin_links.append(agents_link)
        pages.account_choices.append(subscription.choices)
        post_save.connect(subscription.membership_saved, Membership)
        post_delete.connect(subscription.membership_deleted, Membership)
        register(checks.agent_models)
        demo_data.further += [demo_pieces.create, demo_people.create, demo_profiles.create, demo_digest.create]
