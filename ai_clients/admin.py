"""The admin of the callers: content here, the rest in files of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from ai_clients import admin_digests, admin_people  # noqa: F401 - they register their models
from ai_clients.admin_questions import ask_about
from ai_clients.models import ContentPiece

if TYPE_CHECKING:
    # The theme's classes have no types, and Django's take no parameter at run time.
    ContentPieceBase = admin.ModelAdmin[ContentPiece]
else:
    ContentPieceBase = ModelAdmin


@admin.register(ContentPiece)
class ContentPieceAdmin(ContentPieceBase):
    """The id is shown: it is the `content_id` of the calls that worked on the piece."""

    list_display = ("title", "org", "platform", "content_type", "status", "updated_at")
    list_filter = ("status", "platform", "org")
    list_select_related = ("org",)
    search_fields = ("title",)
    search_help_text = _("Part of a title")
    autocomplete_fields = ("org",)
    date_hierarchy = "created_at"
    actions = (ask_about,)
    readonly_fields = ("id", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("org", "title", "text", "status")}),
        (_("Kind of work"), {"fields": ("platform", "content_type")}),
        (None, {"fields": ("id", "created_at", "updated_at")}),
    )

    def get_readonly_fields(self, request: object, obj: ContentPiece | None = None) -> tuple[str, ...]:
        """The calls that worked on it stay with the organisation that paid for them, so it stays there too."""
        return ("id", "created_at", "updated_at") if obj is None else ("org", "id", "created_at", "updated_at")
