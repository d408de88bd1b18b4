"""The admin of participants, with a button that analyses one, and of their messages."""

from __future__ import annotations

import re
import uuid
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from ai_clients.assistants.admin.problems import problems_shown
from ai_clients.assistants.admin.questions import ask_about, ask_view
from ai_clients.assistants.admin.recorded import recorded_calls, with_links
from ai_clients.assistants.calls.model_choice import model_for
from ai_clients.assistants.custom_analysis import analysis
from ai_clients.assistants.models import Message, Participant
from ai_clients.assistants.participants import profiles
from ai_clients.assistants.participants.analyses import analyses
from ai_clients.assistants.participants.enrichment import (
    EnrichmentError,
    EnrichmentOptions,
    enrich_participant,
)
from ai_clients.connection import SIMULATOR, destinations
from usage_billing.admin.scoped import TenantAdmin, request_scope
from usage_billing.admin.theme import ModelAdmin
from usage_billing.auth.run_throttling import count_run
from usage_billing.recording import collected, usage_context
from usage_billing.tenancy.scope import Scope, outside_scope, scoped


@admin.register(Participant)
class ParticipantAdmin(TenantAdmin, ModelAdmin[Participant]):
    """Participants. The profile is read-only: the button has the model write it."""

    accusative = pgettext_lazy("accusative", "community participant")
    list_display = ("name", "org", "role", "activity", "tone", "interests_text", "messages_count", "analysed_at")
    list_filter = ("role", "activity", "tone", ("org", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("org",)
    # Counting messages drops the model's own order, and autocomplete pages need one.
    ordering = ("name", "pk")
    search_fields = ("name", "external_id")
    search_help_text = _("Part of a name or of an external id")
    autocomplete_fields = ("org",)
    readonly_fields = ("role", "activity", "tone", "interests_text", "analysed_at")
    fieldsets = (
        (None, {"fields": ("org", "name", "external_id")}),
        (_("Profile"), {"fields": ("role", "activity", "tone", "interests_text", "analysed_at")}),
    )
    change_form_template = "ai_assistants/participant_change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Participant]:
        rows: QuerySet[Participant] = super().get_queryset(request)
        return rows.annotate(number_of_messages=Count("messages"))

    def get_readonly_fields(self, request: HttpRequest, obj: Participant | None = None) -> tuple[str, ...]:
        """A participant stays in their organisation, to which their messages belong too."""
        return self.readonly_fields if obj is None else ("org", *self.readonly_fields)

    @admin.display(description=_("interests"))
    def interests_text(self, participant: Participant) -> str:
        return ", ".join(participant.interests) or "—"

    @admin.display(description=_("messages"), ordering="number_of_messages")
    def messages_count(self, participant: Any) -> str:
        address = reverse("admin:ai_assistants_message_changelist")
        return format_html(
            '<a href="{}?participant__id__exact={}">{}</a>', address, participant.pk, participant.number_of_messages
        )

    def get_urls(self) -> list[Any]:
        enrich = path(
            "<int:participant_id>/enrich-ai/",
            self.admin_site.admin_view(outside_scope(require_POST(self._enrich))),
            name="ai_assistants_participant_enrich",
        )
        return [enrich, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        choice = model_for(profiles.REQUEST_TYPE)
        name = {"openai": "OpenAI", "anthropic": "Anthropic"}[choice.provider]
        participant: Any = self.get_object(request, unquote(object_id))
        more: dict[str, Any] = {"model": choice.model, "is_simulated": destinations()[name] == SIMULATOR}
        if participant is not None:
            scope = request_scope(request)
            more |= {
                "messages_number": min(participant.number_of_messages, EnrichmentOptions.max_messages),
                "calls": with_links(scope, analyses(scope, participant)),
                **self._just_made(request, scope),
            }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **more})

    def _enrich(self, request: HttpRequest, participant_id: int) -> HttpResponse:
        """Analyse the participant, and go back to their page."""
        with scoped(request.user):
            participant = self.get_queryset(request).filter(pk=participant_id, org__closed_at=None).first()
            if participant is None:
                raise Http404
            if not self.has_change_permission(request, participant):
                raise PermissionDenied
        run_id = uuid.uuid4().hex
        with usage_context(workflow_id=run_id), collected() as events:
            try:
                with problems_shown(request):
                    count_run(user_id=request.user.pk, org_id=participant.org_id)
                    enrich_participant(participant.pk, participant.org_id, user_id=request.user.pk)
                    said = gettext("The profile of %(name)s is up to date.")
                    messages.success(request, said % {"name": participant.name})
            except EnrichmentError as error:
                messages.warning(request, str(error))
        query = f"?{urlencode({'run': run_id, 'made': len(events)})}" if events else ""
        address = reverse("admin:ai_assistants_participant_change", args=[participant_id])
        return HttpResponseRedirect(address + query)

    def _just_made(self, request: HttpRequest, scope: Scope) -> dict[str, Any]:
        """The calls of the analysis that led here. Its id in the address shows nothing that the ledger would not."""
        run_id, made = request.GET.get("run", ""), request.GET.get("made", "")
        if not re.fullmatch(r"[0-9a-f]{32}", run_id) or not re.fullmatch(r"[0-9]{1,3}", made):
            return {}
        return {"just_made": recorded_calls(scope, run_id, int(made))}


@admin.register(Message)
class MessageAdmin(TenantAdmin, ModelAdmin[Message]):
    """Messages, with an action that asks the model a question about some of them."""

    list_display = ("sent_at", "participant", "chat_id", "__str__", "org")
    list_filter = (("org", admin.RelatedOnlyFieldListFilter), "chat_id")
    list_select_related = ("org", "participant")
    search_fields = ("text", "participant__name")
    search_help_text = _("Part of a text or of a name")
    autocomplete_fields = ("org", "participant", "answers")
    date_hierarchy = "sent_at"
    actions = (ask_about,)
    fields = ("org", "participant", "chat_id", "external_id", "answers", "text", "sent_at")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Allow the filter by participant too: their page links to it."""
        return lookup == "participant__id__exact" or super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    def get_readonly_fields(self, request: HttpRequest, obj: Message | None = None) -> tuple[str, ...]:
        return () if obj is None else ("org",)

    def get_urls(self) -> list[Any]:
        ask = path(
            "ask/",
            self.admin_site.admin_view(outside_scope(require_POST(ask_view))),
            name=f"ai_assistants_{analysis.REQUEST_TYPE}",
        )
        return [ask, *super().get_urls()]
