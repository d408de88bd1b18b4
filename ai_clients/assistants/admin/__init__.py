"""The admin of what the agents work on."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _

from ai_clients.assistants.admin import digests, people  # noqa: F401 - they register their models
from ai_clients.assistants.admin.questions import ask_about
from ai_clients.assistants.admin.runs import run_view
from ai_clients.assistants.models import ContentPiece
from usage_billing.admin.scoped import TenantAdmin
from usage_billing.admin.theme import ModelAdmin


@admin.register(ContentPiece)
class ContentPieceAdmin(TenantAdmin, ModelAdmin[ContentPiece]):
    """The id is shown: it is the `content_id` of the calls that worked on the piece."""

    list_display = ("title", "org", "platform", "content_type", "status", "updated_at")
    list_filter = ("status", "platform", ("org", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("org",)
    search_fields = ("title",)
    search_help_text = _("Part of a title")
    autocomplete_fields = ("org",)
    actions = (ask_about,)
    date_hierarchy = "created_at"
    readonly_fields = ("id", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("org", "title", "text", "status")}),
        (_("Kind of work"), {"fields": ("platform", "content_type")}),
        (None, {"fields": ("id", "created_at", "updated_at")}),
    )
    change_form_template = "ai_assistants/content_change_form.html"

    def get_urls(self) -> list[Any]:
        def run(request: HttpRequest, piece_id: Any) -> HttpResponse:
            return run_view(request, piece_id)

        # It sets its scopes itself: none is held while the provider works.
        run.outside_scope = True  # type: ignore[attr-defined]
        address = path("<uuid:piece_id>/run/", self.admin_site.admin_view(run), name="ai_assistants_contentpiece_run")
        return [address, *super().get_urls()]

    def get_readonly_fields(self, request: HttpRequest, obj: ContentPiece | None = None) -> tuple[str, ...]:
        """A content piece stays in its organisation, which has paid for the calls that worked on it."""
        return ("id", "created_at", "updated_at") if obj is None else ("org", "id", "created_at", "updated_at")
