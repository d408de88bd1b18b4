"""The admin of what the agents work on."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ai_clients.assistants.admin import digests, people  # noqa: F401 - they register their models
from ai_clients.assistants.admin.amount_column import column
from ai_clients.assistants.admin.call_links import calls_address
from ai_clients.assistants.admin.questions import ask_about
from ai_clients.assistants.admin.recorded import calls_view
from ai_clients.assistants.admin.runs import agents_view, run_view
from ai_clients.assistants.agents import agents
from ai_clients.assistants.content.costs import costs_of
from ai_clients.assistants.models import ContentPiece
from usage_billing.admin.scoped import TenantAdmin, request_scope
from usage_billing.admin.theme import ModelAdmin
from usage_billing.tenancy.scope import Scope, outside_scope


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
    change_list_template = "ai_assistants/content_change_list.html"
    change_form_template = "ai_assistants/content_change_form.html"

    def get_urls(self) -> list[Any]:
        """Add the pages of the agents. Those that run one set their scopes themselves."""
        wrap = self.admin_site.admin_view
        listed, run = wrap(outside_scope(agents_view)), wrap(outside_scope(run_view))
        return [
            path("agents/", listed, name="ai_assistants_agents"),
            path("agents/<slug:agent_id>/", run, name="ai_assistants_agent_run"),
            path("runs/<slug:workflow_id>/", wrap(calls_view), name="ai_assistants_run_calls"),
            path("<uuid:piece_id>/run/", listed, name="ai_assistants_contentpiece_run"),
            path("<uuid:piece_id>/run/<slug:agent_id>/", run, name="ai_assistants_contentpiece_run_agent"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        piece = self.get_object(request, unquote(object_id))
        more = {} if piece is None else {"costs": _costs(request_scope(request), piece)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **more})

    def get_readonly_fields(self, request: HttpRequest, obj: ContentPiece | None = None) -> tuple[str, ...]:
        """A content piece stays in its organisation, which has paid for the calls that worked on it."""
        return ("id", "created_at", "updated_at") if obj is None else ("org", "id", "created_at", "updated_at")


def _costs(scope: Scope, piece: ContentPiece) -> dict[str, Any]:
    """The costs of the piece, each row with the address of its calls."""
    found = costs_of(scope, piece)
    since = {} if found.since is None else {"from": found.since}
    names = {agent.id: agent.name for agent in agents().values()}

    def address(**filters: str) -> str:
        return calls_address(scope, content_id=piece.pk, **filters, **since)

    rows = [found.total, *found.by_agent]
    usd, rub = column([row["cost_usd"] for row in rows], "USD"), column([row["cost_rub"] for row in rows], "RUB")
    shown = [{**row, "usd": usd[number], "rub": rub[number]} for number, row in enumerate(rows)]
    return {
        "total": {**shown[0], "address": address()},
        "rows": [
            {
                **row,
                "name": names.get(row["agent_id"], row["agent_id"] or gettext("no agent")),
                "address": address(agent_id=row["agent_id"]),
            }
            for row in shown[1:]
        ],
    }
