"""The admin: organisations, exchange rates and users to edit, calls to look at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Exists, OuterRef, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.paginator import InfinitePaginator

from usage_billing.models import ExchangeRate, Membership, Organization, UsageRecord
from usage_billing.models.organization import UNATTRIBUTED
from usage_billing.templatetags import amounts

if TYPE_CHECKING:
    # The theme's classes have no types, and Django's take no parameter at run time.
    MembershipBase = admin.TabularInline[Membership, Organization]
    OrganizationBase = admin.ModelAdmin[Organization]
    UsageRecordBase = admin.ModelAdmin[UsageRecord]
    ExchangeRateBase = admin.ModelAdmin[ExchangeRate]
    UserBase = DjangoUserAdmin[User]
    GroupBase = DjangoGroupAdmin
else:
    MembershipBase = TabularInline
    OrganizationBase = UsageRecordBase = ExchangeRateBase = ModelAdmin

    class UserBase(DjangoUserAdmin, ModelAdmin):
        pass

    class GroupBase(DjangoGroupAdmin, ModelAdmin):
        pass


class MembershipInline(MembershipBase):
    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Organization)
class OrganizationAdmin(OrganizationBase):
    list_display = ("name", "slug", "timezone", "closed_at")
    search_fields = ("name", "slug")
    inlines = (MembershipInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Organization | None = None) -> tuple[str, ...]:
        """The zone has placed each call on its business day, and the reserved organisation is found by its slug."""
        if obj is None:
            return ()
        zone = ("timezone",) if _with_calls([obj]) else ()
        return ("slug", *zone) if obj.slug == UNATTRIBUTED else zone

    def get_prepopulated_fields(self, request: HttpRequest, obj: Organization | None = None) -> dict[str, Any]:
        return {} if obj else {"slug": ("name",)}

    def has_delete_permission(self, request: HttpRequest, obj: Organization | None = None) -> bool:
        reserved = obj is not None and obj.slug == UNATTRIBUTED
        return not reserved and super().has_delete_permission(request, obj)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """What is in the way of a deletion, one line an organisation: Django would load and list every call."""
        orgs = list(objs)
        reserved = [
            gettext("“%(org)s” is reserved for calls without an organisation.") % {"org": org}
            for org in orgs
            if org.slug == UNATTRIBUTED
        ]
        charged = [
            gettext("The AI calls of “%(org)s”. Close the organisation instead.") % {"org": org}
            for org in _with_calls(orgs)
        ]
        if reserved or charged:
            return [], {}, set(), reserved + charged
        return super().get_deleted_objects(orgs, request)


def _with_calls(orgs: Iterable[Organization]) -> list[Organization]:
    """Those that have at least one call."""
    calls = UsageRecord.objects.filter(org=OuterRef("pk"))
    return list(Organization.objects.filter(Exists(calls), pk__in=[org.pk for org in orgs]))


@admin.register(UsageRecord)
class UsageRecordAdmin(UsageRecordBase):
    """To look at only: what is spent is spent. Quick on a large table: nothing here counts or scans it."""

    list_display = ("created_at", "org", "kind", "model_used", "tokens", "usd", "rub", "who", "status_text")
    list_filter = ("status", "usage_date")
    search_fields = ("request_id__startswith",)
    search_help_text = _("The beginning of a request id")
    ordering = ("-created_at", "-id")
    sortable_by = ("created_at",)
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    paginator = InfinitePaginator
    list_per_page = 50
    list_fullwidth = True
    fieldsets = (
        (None, {"fields": ("created_at", "usage_date", "recorded_at", "status", "error_code", "execution_time_ms")}),
        (_("Who and what for"), {"fields": ("org", "who", "agent_id", "request_type", "workflow_id", "content_id")}),
        (_("Kind of work"), {"fields": ("platform", "content_type", "task_type")}),
        (_("Provider"), {"fields": ("ai_provider", "ai_model", "endpoint", "request_id")}),
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
        (_("Cost"), {"fields": ("exact_usd", "exact_rub", "usd_rub_rate", "price_source")}),
        (_("Metadata"), {"fields": ("request_metadata", "response_metadata")}),
    )
    readonly_fields = ("who", "exact_usd", "exact_rub")

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageRecord]:
        # The user by an outer join, as the column may be NULL: a call whose user is gone is still there.
        return super().get_queryset(request).select_related("org", "user")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        return False

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

    @admin.display(description=_("cost, RUB"))
    def exact_rub(self, call: UsageRecord) -> str:
        return amounts.exact(call.cost_rub, "RUB")

    @admin.display(description=_("who"))
    def who(self, call: UsageRecord) -> str:
        if call.user_id is None:
            return gettext("system")
        return call.user.get_username() if call.user else f"#{call.user_id}"

    @admin.display(description=_("status"))
    def status_text(self, call: UsageRecord) -> str:
        return " · ".join(filter(None, (call.get_status_display(), call.error_code)))


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ExchangeRateBase):
    """A rate counts for the calls that are entered after it. Each call keeps the rate that it was costed with."""

    list_display = ("date", "usd_rub", "source")
    ordering = ("-date",)
    readonly_fields = ("source",)

    def get_readonly_fields(self, request: HttpRequest, obj: ExchangeRate | None = None) -> tuple[str, ...]:
        # The date is the key: saved under another one, the rate would be there twice.
        return ("source",) if obj is None else ("date", "source")

    def save_model(self, request: HttpRequest, obj: ExchangeRate, form: ModelForm[ExchangeRate], change: bool) -> None:
        obj.source = ExchangeRate.Source.MANUAL
        super().save_model(request, obj, form, change)


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(UserBase):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(GroupBase):
    pass
