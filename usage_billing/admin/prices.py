"""The admin of price overrides, exchange rates and the log of repricing."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import DELETION, LogEntry
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from usage_billing.admin.json_field import BoundedJSONField
from usage_billing.admin.read_only import ReadOnlyAdmin
from usage_billing.admin.scoped import ScopedAdmin, SuperadminAdmin
from usage_billing.admin.theme import ModelAdmin
from usage_billing.models import ExchangeRate, Organization, PriceOverride, RepriceRun
from usage_billing.templatetags import amounts
from usage_billing.tenancy.scope import Scope


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ScopedAdmin, ModelAdmin[ExchangeRate]):
    """A rate applies to calls that are inserted after it. Each call keeps the rate that priced it."""

    list_display = ("date", "usd_rub", "source")
    ordering = ("-date",)
    readonly_fields = ("source",)

    def in_scope(self, rows: QuerySet[ExchangeRate], scope: Scope) -> QuerySet[ExchangeRate]:
        """Rates belong to no organisation."""
        return rows

    def get_readonly_fields(self, request: HttpRequest, obj: ExchangeRate | None = None) -> tuple[str, ...]:
        # The date is the primary key: a changed date would make a second rate.
        return ("source",) if obj is None else ("date", "source")

    def save_model(self, request: HttpRequest, obj: ExchangeRate, form: ModelForm[ExchangeRate], change: bool) -> None:
        obj.source = ExchangeRate.Source.MANUAL
        super().save_model(request, obj, form, change)


class Indented(json.JSONEncoder):
    """One price a line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2})


@admin.register(PriceOverride)
class PriceOverrideAdmin(SuperadminAdmin, ModelAdmin[PriceOverride]):
    """The history of a price shows its values before and after each change."""

    accusative = pgettext_lazy("accusative", "price override")

    list_display = ("provider", "model_pattern", "for_whom", "valid_from", "prices_text", "note")
    list_display_links = ("provider", "model_pattern")
    list_filter = ("provider", "valid_from")
    list_select_related = ("org",)
    search_fields = ("model_pattern",)
    search_help_text = _("Part of a model's name")
    autocomplete_fields = ("org",)
    readonly_fields = ("created_at", "created_by")
    fieldsets = (
        (_("Applies to"), {"fields": ("provider", "model_pattern", "org", "valid_from")}),
        (
            _("Prices"),
            {
                "fields": ("prices", "note"),
                "description": _(
                    "These prices apply to calls that are recorded from now on, and take precedence over the price "
                    "list. Calls that have a price keep it. To reprice them, run "
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
        """Show the usual keys without amounts: the form is refused until they are filled in."""
        return {"prices": {"input_mtok": "", "output_mtok": ""}, **super().get_changeform_initial_data(request)}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "prices":
            options |= {"encoder": Indented, "form_class": BoundedJSONField}
        return super().formfield_for_dbfield(db_field, request, **options)

    def save_model(
        self, request: HttpRequest, obj: PriceOverride, form: ModelForm[PriceOverride], change: bool
    ) -> None:
        if not change:
            obj.created_by = request.user  # type: ignore[assignment]  # the admin lets nobody anonymous in
        super().save_model(request, obj, form, change)

    def construct_change_message(  # type: ignore[override]  # a text, which Django takes as well
        self, request: HttpRequest, form: ModelForm[PriceOverride], formsets: Any, add: bool = False
    ) -> str:
        """Write “before → after” for each changed field, or all values of a new price."""
        before = None if add else form.initial
        lines = [
            f"{form.fields[name].label}: "
            + ("" if before is None else f"{_shown(_before(name, before.get(name)))} → ")
            + _shown(form.cleaned_data[name])
            for name in (form.fields if add else form.changed_data)
        ]
        return "\n".join(lines) or gettext("No fields changed.")

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Write the prices into the history: usage records name a deleted price by its id."""
        for override in queryset:
            LogEntry.objects.log_actions(
                user_id=request.user.pk or 0,
                queryset=[override],
                action_flag=DELETION,
                change_message=f"{self.for_whom(override)}: {_shown(override.prices)}",
                single_object=True,
            )


def _before(name: str, initial: Any) -> Any:
    """Return the value that a field of the form had; for `org` the organisation, not its key."""
    return Organization.objects.filter(pk=initial).first() if name == "org" else initial


def _shown(value: Any) -> str:
    """Format a form's value for the history."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if value not in (None, "") else "—"


@admin.register(RepriceRun)
class RepriceRunAdmin(ReadOnlyAdmin, SuperadminAdmin, ModelAdmin[RepriceRun]):
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
