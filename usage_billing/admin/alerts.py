"""Alerts, their rules, channels and deliveries, read-only: rules and channels are changed on the page of alerts.

The secret of a channel is not shown.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from usage_billing.admin.links import page_address
from usage_billing.admin.read_only import ReadOnlyAdmin
from usage_billing.admin.scoped import ScopedAdmin
from usage_billing.admin.theme import ModelAdmin
from usage_billing.models import AlertChannel, AlertDelivery, AlertFiring, AlertRule
from usage_billing.pages.alert_words import firing_words, in_unit_of_rule
from usage_billing.templatetags.links import linked
from usage_billing.tenancy.scope import Scope


class OfOwners(ReadOnlyAdmin, ScopedAdmin):
    """Rows for the owners of their organisation; those without one are for superadmins."""

    def in_scope(self, rows: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        return rows.filter(org_id__in=scope.owned_org_ids)

    @admin.display(description=_("organisation"))
    def organization(self, row: Any) -> str:
        return gettext("the installation") if row.org is None else row.org.name


@admin.register(AlertChannel)
class AlertChannelAdmin(OfOwners, ModelAdmin[AlertChannel]):
    accusative = pgettext_lazy("accusative", "alert channel")
    list_display = ("name", "organization", "kind", "target", "is_active", "page")
    list_filter = ("kind", "is_active")
    list_select_related = ("org",)
    search_fields = ("name",)
    fields = ("page", "organization", "name", "kind", "target", "language", "is_active", "created_at")
    readonly_fields = ("page", "organization")

    @admin.display(description=_("page"))
    def page(self, channel: AlertChannel) -> str:
        return str(linked(_("Edit"), page_address("alert-channel", id=channel.pk)))


@admin.register(AlertRule)
class AlertRuleAdmin(OfOwners, ModelAdmin[AlertRule]):
    accusative = pgettext_lazy("accusative", "alert rule")
    list_display = ("name", "organization", "kind", "amount", "step", "is_active", "page")
    list_filter = ("kind", "is_active")
    list_select_related = ("org",)
    search_fields = ("name",)
    fields = (
        "page", "organization", "name", "kind", "budget_name", "amount", "step", "by", "scope", "renotify_hours",
        "channel_names", "is_active", "created_at",
    )  # fmt: skip
    readonly_fields = ("page", "organization")

    @admin.display(description=_("page"))
    def page(self, rule: AlertRule) -> str:
        return str(linked(_("Edit"), page_address("alert-rule", id=rule.pk)))

    @admin.display(description=_("bound"))
    def amount(self, rule: AlertRule) -> str:
        return in_unit_of_rule(rule.kind, rule.bound)

    @admin.display(description=_("budget"))
    def budget_name(self, rule: AlertRule) -> str:
        return rule.budget.name if rule.budget else "—"

    @admin.display(description=_("channels"))
    def channel_names(self, rule: AlertRule) -> str:
        return ", ".join(channel.name for channel in rule.channels.all()) or "—"


@admin.register(AlertFiring)
class AlertFiringAdmin(OfOwners, ModelAdmin[AlertFiring]):
    accusative = pgettext_lazy("accusative", "alert")
    list_display = ("began_at", "source", "key", "organization", "state", "said", "resolved_at")
    list_filter = ("state",)
    list_select_related = ("org", "rule", "budget")
    fields = (
        "organization", "source", "key", "said", "state", "ended", "began_at", "told_at", "resolved_at",
    )  # fmt: skip

    @admin.display(description=_("alert"))
    def said(self, firing: AlertFiring) -> str:
        return firing_words(firing)[1]

    @admin.display(description=_("rule or budget"))
    def source(self, firing: AlertFiring) -> str:
        return str(firing.rule or firing.budget)


@admin.register(AlertDelivery)
class AlertDeliveryAdmin(OfOwners, ModelAdmin[AlertDelivery]):
    list_display = ("created_at", "to", "organization", "event", "state", "attempts", "next_attempt_at", "problem")
    list_filter = ("state", "event")
    list_select_related = ("org", "channel")
    fields = (
        "organization", "to", "event", "state", "attempts", "next_attempt_at", "problem", "created_at", "sent_at",
    )  # fmt: skip

    @admin.display(description=_("where to"))
    def to(self, delivery: AlertDelivery) -> str:
        return delivery.channel.name if delivery.channel else delivery.recipient
