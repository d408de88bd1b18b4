"""What prices and roubles follow from, and the log of what was costed again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from usage_billing.admin.json_field import BoundedJSONField
from usage_billing.admin.read_only import ToLookAt
from usage_billing.admin.scoped import ScopedAdmin, SuperadminAdmin
from usage_billing.models import ExchangeRate, Organization, PriceOverride, RepriceRun
from usage_billing.templatetags import amounts
from usage_billing.tenancy.scope import Scope

if TYPE_CHECKING:
    # The theme's classes have no types, and Django's take no parameter at run time.
    ExchangeRateBase = admin.ModelAdmin[ExchangeRate]
    PriceOverrideBase = admin.ModelAdmin[PriceOverride]
    RepriceRunBase = admin.ModelAdmin[RepriceRun]
else:
    ExchangeRateBase = PriceOverrideBase = RepriceRunBase = ModelAdmin


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ScopedAdmin, ExchangeRateBase):
    """A rate counts for the calls that are entered after it. Each call keeps the rate that it was costed with."""

    list_display = ("date", "usd_rub", "source")
    ordering = ("-date",)
    readonly_fields = ("source",)

    def in_scope(self, rows: QuerySet[ExchangeRate], scope: Scope) -> QuerySet[ExchangeRate]:
        """They are nobody's."""
        return rows

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
class PriceOverrideAdmin(SuperadminAdmin, PriceOverrideBase):
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
            options |= {"encoder": Indented, "form_class": BoundedJSONField}
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
class RepriceRunAdmin(ToLookAt, SuperadminAdmin, RepriceRunBase):
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
