"""The admin of calls, read-only."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Max, Min, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from usage_billing import reports
from usage_billing.admin.links import costs_link
from usage_billing.admin.read_only import ReadOnlyAdmin
from usage_billing.admin.scoped import ScopedAdmin, ScopedRelatedFilter, request_scope
from usage_billing.admin.theme import ModelAdmin, Paginator
from usage_billing.admin.user_names import NamesUsers, user_name
from usage_billing.budgets.stopped_calls import told_to
from usage_billing.models import UsageRecord
from usage_billing.templatetags import amounts


class QuickDates(QuerySet[UsageRecord]):
    """Offers the date hierarchy every month or day from the first call to the last, from both ends of an index.

    Django scans all calls to leave out the days without any.
    """

    def dates(self, field_name: str, kind: str, order: str = "ASC") -> Any:
        ends = self.order_by().aggregate(first=Min(field_name), last=Max(field_name))
        if ends["first"] is None:
            return []
        return sorted({_start(day, kind) for day in _days(ends["first"], ends["last"])}, reverse=order != "ASC")


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _start(day: date, kind: str) -> date:
    return {"year": day.replace(month=1, day=1), "month": day.replace(day=1)}.get(kind, day)


@admin.register(UsageRecord)
class UsageRecordAdmin(NamesUsers, ReadOnlyAdmin, ScopedAdmin, ModelAdmin[UsageRecord]):
    """Quick on a large table: nothing here counts or scans it."""

    list_display = ("created_at", "org", "kind", "model_used", "tokens", "usd", "rub", "who", "status_text")
    list_select_related = ()
    list_filter = ("status", "usage_date", ("org", ScopedRelatedFilter))
    date_hierarchy = "usage_date"
    search_fields = ("request_id__startswith",)
    search_help_text = _("The beginning of a request id")
    ordering = ("-created_at", "-id")
    sortable_by = ("created_at",)
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    paginator = Paginator
    list_per_page = 50
    list_fullwidth = True
    list_after_template = "usage_billing/parts/archived.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "created_at",
                    "usage_date",
                    "recorded_at",
                    "status",
                    "error_code",
                    "execution_time_ms",
                    "costs",
                )
            },
        ),
        (_("Attribution"), {"fields": ("org", "who", "agent_id", "request_type", "workflow_id", "content_id", "tags")}),
        (_("Kind of work"), {"fields": ("platform", "content_type", "task_type")}),
        (_("Provider"), {"fields": ("ai_provider", "ai_model", "endpoint", "request_id")}),
        (
            _("Account at the provider"),
            {
                "fields": (
                    "provider_organization",
                    "provider_project",
                    "api_key_fingerprint",
                    "provider_user_profile",
                )
            },
        ),
        (
            _("Tokens"),
            {
                "fields": (
                    ("prompt_tokens", "completion_tokens", "total_tokens"),
                    ("cached_tokens", "cache_write_tokens", "reasoning_tokens"),
                    "usage",
                )
            },
        ),
        (_("Cost"), {"fields": ("exact_usd", "known_usd", "exact_rub", "usd_rub_rate", "price_source")}),
        (_("Metadata"), {"fields": ("request_metadata", "response_metadata")}),
    )
    readonly_fields = ("who", "exact_usd", "known_usd", "exact_rub", "costs")

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageRecord]:
        """Return the calls that the reports show this person."""
        rows = QuickDates(UsageRecord, reports.calls(request_scope(request)).query)
        # Not joined: where the calls are distributed, Citus joins no local table that has row-level security.
        return rows.prefetch_related("org")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> UsageRecord | None:
        """Return the call as it may be shown to this person; nobody saves it."""
        call: UsageRecord | None = super().get_object(request, object_id, from_field)
        if call is not None:
            told_to(request_scope(request), [call])
        return call

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"archived_before": reports.archived_before(), **(extra_context or {})}
        return super().changelist_view(request, context)

    @admin.display(description=_("AI costs"))
    def costs(self, call: UsageRecord) -> str:
        """Link to the costs of the call's organisation, agent and model in its month, and of its day."""
        first = call.usage_date.replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        month = {"from": first.isoformat(), "to": last.isoformat()}
        day = {"from": call.usage_date.isoformat(), "to": call.usage_date.isoformat()}
        parts = (
            (gettext("of this organisation in the month"), {"org": call.org_id, **month}),
            (gettext("of this agent"), {"agent_id": call.agent_id, **month}),
            (gettext("of this model"), {"ai_provider": call.ai_provider, "ai_model": call.ai_model, **month}),
            (gettext("of the organisation on this day"), {"org": call.org_id, **day}),
        )
        return format_html_join(" · ", "{}", ((costs_link(text, **query),) for text, query in parts))

    @admin.display(description=_("request type"))
    def kind(self, call: UsageRecord) -> str:
        return call.request_type or gettext("no type")

    @admin.display(description=_("model"))
    def model_used(self, call: UsageRecord) -> str:
        return format_html('<span class="costs-model">{} / {}</span>', call.ai_provider, call.ai_model)

    @admin.display(description=_("tokens"))
    def tokens(self, call: UsageRecord) -> str:
        return amounts.grouped(call.total_tokens)

    @admin.display(description="USD")
    def usd(self, call: UsageRecord) -> str:
        return amounts.usd(call.cost_usd)

    @admin.display(description="RUB")
    def rub(self, call: UsageRecord) -> str:
        return amounts.rub(call.cost_rub)

    @admin.display(description=_("cost, USD"))
    def exact_usd(self, call: UsageRecord) -> str:
        return amounts.exact(call.cost_usd, "USD")

    @admin.display(description=_("known part of the cost, USD"))
    def known_usd(self, call: UsageRecord) -> str:
        return amounts.exact(call.known_cost_usd, "USD")

    @admin.display(description=_("cost, RUB"))
    def exact_rub(self, call: UsageRecord) -> str:
        return amounts.exact(call.cost_rub, "RUB")

    @admin.display(description=_("who"))
    def who(self, call: UsageRecord) -> str:
        return gettext("system") if call.user_id is None else user_name(call)

    @admin.display(description=_("status"))
    def status_text(self, call: UsageRecord) -> str:
        return " · ".join(filter(None, (call.get_status_display(), call.error_code)))
