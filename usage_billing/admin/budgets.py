"""Budgets, their history and requests, read-only: they are changed on their pages, through the services."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from usage_billing.admin.links import page_address
from usage_billing.admin.read_only import ReadOnlyAdmin
from usage_billing.admin.scoped import ScopedAdmin, ScopedRelatedFilter
from usage_billing.admin.theme import ModelAdmin
from usage_billing.admin.user_names import NamesUsers, user_name
from usage_billing.budgets import access
from usage_billing.models import Budget, BudgetChange, BudgetRequest
from usage_billing.templatetags.amounts import with_unit
from usage_billing.templatetags.links import linked
from usage_billing.tenancy.scope import Scope


@admin.register(Budget)
class BudgetAdmin(NamesUsers, ReadOnlyAdmin, ScopedAdmin, ModelAdmin[Budget]):
    accusative = pgettext_lazy("accusative", "budget")
    list_display = ("name", "org", "amount", "window", "mode", "is_active", "is_superadmins", "page")
    list_filter = ("mode", "window", "is_active", ("org", ScopedRelatedFilter))
    search_fields = ("name",)
    list_select_related = ("org",)
    fieldsets = (
        (None, {"fields": ("page", "org", "name", "amount", "window", "starts_on", "mode", "replacement")}),
        (
            _("Which calls"),
            {"fields": ("who", "agent_id", "request_type", "ai_provider", "ai_model", "tag_key", "tag_value")},
        ),
        (
            _("Thresholds and more"),
            {"fields": ("thresholds", "when_unavailable", "is_active", "is_superadmins", "created_at")},
        ),
    )
    readonly_fields = ("page", "amount", "who", "is_superadmins")

    def in_scope(self, rows: QuerySet[Budget], scope: Scope) -> QuerySet[Budget]:
        return rows.filter(pk__in=access.visible(scope).values("pk"))

    @admin.display(description=_("limit"))
    def amount(self, budget: Budget) -> str:
        return with_unit(budget.limit, budget.unit)

    @admin.display(description=_("user"))
    def who(self, budget: Budget) -> str:
        return "—" if budget.user_id is None else user_name(budget)

    @admin.display(description=_("page"))
    def page(self, budget: Budget) -> str:
        return str(linked(_("Spent, history, change"), page_address("budget", id=budget.pk)))


@admin.register(BudgetChange)
class BudgetChangeAdmin(ReadOnlyAdmin, ScopedAdmin, ModelAdmin[BudgetChange]):
    list_display = ("at", "budget_name", "organization", "by", "what")
    search_fields = ("budget_name",)
    list_select_related = ("org",)
    fields = ("at", "budget_name", "organization", "by", "what")

    def in_scope(self, rows: QuerySet[BudgetChange], scope: Scope) -> QuerySet[BudgetChange]:
        return rows.filter(org_id__in=scope.owned_org_ids)

    @admin.display(description=_("organisation"))
    def organization(self, change: BudgetChange) -> str:
        return change.org.name

    @admin.display(description=_("changes"))
    def what(self, change: BudgetChange) -> str:
        lines = ((name, before or "—", after or "—") for name, (before, after) in change.fields.items())
        return format_html_join(", ", "{}: {} → {}", lines)


@admin.register(BudgetRequest)
class BudgetRequestAdmin(NamesUsers, ReadOnlyAdmin, ScopedAdmin, ModelAdmin[BudgetRequest]):
    list_display = ("created_at", "budget_name", "organization", "who", "amount", "state", "answered_by")
    list_filter = ("state",)
    list_select_related = ("org", "budget")
    fields = (
        "created_at", "budget_name", "organization", "who", "amount", "reason", "state", "answered_by", "answered_at",
    )  # fmt: skip

    def in_scope(self, rows: QuerySet[BudgetRequest], scope: Scope) -> QuerySet[BudgetRequest]:
        return rows.filter(pk__in=access.visible_requests(scope).values("pk"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("org", "budget")

    @admin.display(description=_("budget"))
    def budget_name(self, asked: BudgetRequest) -> str:
        return str(linked(asked.budget.name, page_address("budget", id=asked.budget_id)))

    @admin.display(description=_("organisation"))
    def organization(self, asked: BudgetRequest) -> str:
        return asked.org.name

    @admin.display(description=_("wanted limit"))
    def amount(self, asked: BudgetRequest) -> str:
        return with_unit(asked.limit, asked.budget.unit)

    @admin.display(description=_("user"))
    def who(self, asked: BudgetRequest) -> str:
        return user_name(asked)
