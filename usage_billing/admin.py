"""The admin: organisations, prices, exchange rates and users to edit, calls and re-costings to look at."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Exists, OuterRef, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.paginator import InfinitePaginator

from usage_billing.models import ExchangeRate, Membership, Organization, PriceOverride, RepriceRun, UsageRecord
from usage_billing.models.organization import UNATTRIBUTED
from usage_billing.templatetags import amounts

if TYPE_CHECKING:
    # The theme's classes have no types, and Django's take no parameter at run time.
    MembershipBase = admin.TabularInline[Membership, Organization]
    OrganizationBase = admin.ModelAdmin[Organization]
    UsageRecordBase = admin.ModelAdmin[UsageRecord]
    ExchangeRateBase = admin.ModelAdmin[ExchangeRate]
    PriceOverrideBase = admin.ModelAdmin[PriceOverride]
    RepriceRunBase = admin.ModelAdmin[RepriceRun]
    UserBase = DjangoUserAdmin[User]
    GroupBase = DjangoGroupAdmin
else:
    MembershipBase = TabularInline
    OrganizationBase = UsageRecordBase = ExchangeRateBase = PriceOverrideBase = RepriceRunBase = ModelAdmin

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


class ToLookAt:
    """An admin in which nothing can be added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(UsageRecord)
class UsageRecordAdmin(ToLookAt, UsageRecordBase):
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


class Indented(json.JSONEncoder):
    """One price a line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2})


@admin.register(PriceOverride)
class PriceOverrideAdmin(PriceOverrideBase):
    """Each change is in the history with what was there before it."""

    list_display = ("provider", "model_pattern", "for_whom", "valid_from", "prices_text", "note")
    list_display_links = ("provider", "model_pattern")
    list_filter = ("provider", "valid_from")
    list_select_related = ("org",)
    search_fields = ("model_pattern",)
    search_help_text = _("Part of a model's name")
    autocomplete_fields = ("org",)
    readonly_fields = ("created_at", "created_by")
    fieldsets = (
        (_("Which calls"), {"fields": ("provider", "model_pattern", "org", "valid_from")}),
        (
            _("Prices"),
            {
                "fields": ("prices", "note"),
                "description": _(
                    "These prices count for the calls that are entered from now on, before those of the price list. "
                    "Calls that are costed already stay as they are; to cost them again, run "
                    "“manage.py reprice_usage --from DATE --to DATE --reason WHY”."
                ),
            },
        ),
        (None, {"fields": ("created_at", "created_by")}),
    )

    @admin.display(description=_("organisation"), ordering="org__name")
    def for_whom(self, override: PriceOverride) -> str:
        return override.org.name if override.org else gettext("all")

    @admin.display(description=_("prices, USD"))
    def prices_text(self, override: PriceOverride) -> str:
        return ", ".join(f"{key} {usd}" for key, usd in override.prices.items())

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A form to fill in; with the amounts left empty it is refused."""
        return {"prices": {"input_mtok": "", "output_mtok": ""}, **super().get_changeform_initial_data(request)}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "prices":
            options["encoder"] = Indented
        return super().formfield_for_dbfield(db_field, request, **options)

    def save_model(
        self, request: HttpRequest, obj: PriceOverride, form: ModelForm[PriceOverride], change: bool
    ) -> None:
        if not change and isinstance(request.user, User):
            obj.created_by = request.user
        super().save_model(request, obj, form, change)

    def construct_change_message(  # type: ignore[override]  # a text, which Django takes as well
        self, request: HttpRequest, form: ModelForm[PriceOverride], formsets: Any, add: bool = False
    ) -> str:
        """What was there → what is there now; of a new price all of it."""
        before = None if add else form.initial
        lines = [
            f"{form.fields[name].label}: "
            + ("" if before is None else f"{_shown(_before(name, before.get(name)))} → ")
            + _shown(form.cleaned_data[name])
            for name in (form.fields if add else form.changed_data)
        ]
        return "\n".join(lines) or gettext("No fields changed.")

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """The price itself is in the history when it is gone: records name it by its id."""
        for override in queryset:
            LogEntry.objects.log_actions(
                user_id=request.user.pk or 0,
                queryset=[override],
                action_flag=DELETION,
                change_message=f"{self.for_whom(override)}: {_shown(override.prices)}",
                single_object=True,
            )


def _before(name: str, initial: Any) -> Any:
    """What a field of the form held: the organisation, not its number."""
    return Organization.objects.filter(pk=initial).first() if name == "org" else initial


def _shown(value: Any) -> str:
    """A form's value in the history."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if value not in (None, "") else "—"


@admin.register(RepriceRun)
class RepriceRunAdmin(ToLookAt, RepriceRunBase):
    """The log of `reprice_usage`."""

    list_display = (
        "started_at",
        "finished_at",
        "by",
        "reason",
        "date_from",
        "date_to",
        "seen",
        "changed",
        "usd",
        "rub",
    )
    list_filter = ("started_at",)
    list_select_related = ("org",)
    search_fields = ("reason", "by")

    @admin.display(description=_("calls seen"))
    def seen(self, run: RepriceRun) -> str:
        return amounts.grouped(run.records_seen)

    @admin.display(description=_("calls changed"))
    def changed(self, run: RepriceRun) -> str:
        return amounts.grouped(run.records_changed)

    @admin.display(description="USD")
    def usd(self, run: RepriceRun) -> str:
        return format_html("{} → {}", amounts.usd(run.usd_before), amounts.usd(run.usd_after))

    @admin.display(description="RUB")
    def rub(self, run: RepriceRun) -> str:
        return format_html("{} → {}", amounts.rub(run.rub_before), amounts.rub(run.rub_after))


admin.site.unregister(User)
admin.site.unregister(Group)
# Lists of ids, without a theme: who shall be out is deactivated, or gets a new password.
admin.site.unregister(OutstandingToken)
admin.site.unregister(BlacklistedToken)


@admin.register(User)
class UserAdmin(UserBase):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(GroupBase):
    pass
