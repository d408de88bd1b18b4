"""The admin of price overrides: a field for each unit, and a preview on recorded calls."""

from __future__ import annotations

import json
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.models import DELETION, LogEntry
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from usage_billing.admin import price_preview
from usage_billing.admin.price_form import (
    PREFIX,
    PREVIEW,
    PriceOverrideForm,
    form_class,
    price_fieldsets,
    written_prices,
)
from usage_billing.admin.price_reasons import reason_text
from usage_billing.admin.scoped import SuperadminAdmin, request_scope
from usage_billing.admin.suggestions import model_input, provider_input
from usage_billing.admin.theme import ModelAdmin
from usage_billing.models import Organization, PriceOverride

RECALCULATE = "_recalculate"
"""Name of the button that saves the price and goes on to repricing."""


def recalculation_address(override: PriceOverride, today: date) -> str:
    """Return the address of the form that reprices the calls of this override, filled in."""
    values = {
        "date_from": min(override.valid_from, today).isoformat(),
        "date_to": today.isoformat(),
        "provider": override.provider,
        "model": override.model_pattern,
        "org": override.org_id or "",
        "reason": gettext("Price override: %(price)s") % {"price": override},
    }
    return f"{reverse('admin:usage_billing_repricerun_add')}?{urlencode(values)}"


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
    change_form_template = "admin/usage_billing/price_override_form.html"

    class Media:
        css = {"all": ("usage_billing/admin_forms.css",)}

    def get_fieldsets(self, request: HttpRequest, obj: PriceOverride | None = None) -> Any:
        applies_to = {"fields": (("provider", "model_pattern"), ("org", "valid_from"), "note")}
        made = () if obj is None else ((None, {"fields": (("created_at", "created_by"),)}),)
        return (
            (_("Applies to"), applies_to),
            *price_fieldsets(obj.prices if obj else {}, request.POST),
            *made,
        )

    def get_form(
        self, request: HttpRequest, obj: PriceOverride | None = None, change: bool = False, **options: Any
    ) -> Any:
        return super().get_form(request, obj, change, form=form_class(obj.prices if obj else {}), **options)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "provider":
            options["widget"] = provider_input(request)
        elif db_field.name == "model_pattern":
            options["widget"] = model_input(request)
        field = super().formfield_for_dbfield(db_field, request, **options)
        if db_field.name == "note" and field is not None:
            field.widget.attrs["rows"] = 2
        return field

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        response = super().changeform_view(request, *args, **kwargs)
        if isinstance(response, TemplateResponse) and response.context_data is not None:
            response.context_data |= self._preview(request, response.context_data["adminform"].form)
        return response

    def _preview(self, request: HttpRequest, form: PriceOverrideForm) -> dict[str, Any]:
        """Return the context of the panel below the fields."""
        if PREVIEW not in request.POST or not form.is_priced:
            return {"preview_days": price_preview.DAYS, "preview_refused": PREVIEW in request.POST}
        scope = request_scope(request)
        found = price_preview.preview(form.instance, scope, scope.today(timezone.now()))
        return {
            "preview_days": price_preview.DAYS,
            "preview": found,
            "preview_reasons": [(reason_text(reason), count) for reason, count in found.unpriced.most_common()],
            "preview_preceding": found.preceding.most_common(),
        }

    def response_add(self, request: HttpRequest, obj: PriceOverride, post_url_continue: str | None = None) -> Any:
        response = super().response_add(request, obj, post_url_continue)
        return self._recalculation(request, obj) or response

    def response_change(self, request: HttpRequest, obj: PriceOverride) -> Any:
        return self._recalculation(request, obj) or super().response_change(request, obj)

    def _recalculation(self, request: HttpRequest, obj: PriceOverride) -> HttpResponse | None:
        """Go on to repricing after “Save and recalculate”."""
        if RECALCULATE not in request.POST:
            return None
        return HttpResponseRedirect(recalculation_address(obj, request_scope(request).today(timezone.now())))

    @admin.display(description=_("organisation"), ordering="org__name")
    def for_whom(self, override: PriceOverride) -> str:
        return override.org.name if override.org else gettext("all")

    @admin.display(description=_("prices, USD"))
    def prices_text(self, override: PriceOverride) -> str:
        return written_prices(override.prices)

    def save_model(
        self, request: HttpRequest, obj: PriceOverride, form: ModelForm[PriceOverride], change: bool
    ) -> None:
        if not change:
            obj.created_by = request.user  # type: ignore[assignment]  # the admin lets nobody anonymous in
        super().save_model(request, obj, form, change)

    def construct_change_message(  # type: ignore[override]  # a text, which Django takes as well
        self, request: HttpRequest, form: PriceOverrideForm, formsets: Any, add: bool = False
    ) -> str:
        """Write “before → after” for each changed field, or all values of a new price."""
        lines = [
            _line(form.fields[name].label, _before(name, form.initial.get(name)), form.cleaned_data[name], is_new=add)
            for name in (form.fields if add else form.changed_data)
            if not name.startswith(PREFIX)
        ]
        if add or form.prices_before != form.instance.prices:
            lines.append(_line(gettext("Prices, USD"), form.prices_before, form.instance.prices, is_new=add))
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


def _line(label: Any, before: Any, after: Any, *, is_new: bool) -> str:
    return f"{label}: {_shown(after)}" if is_new else f"{label}: {_shown(before)} → {_shown(after)}"


def _before(name: str, initial: Any) -> Any:
    """Return the value that a field of the form had; for `org` the organisation, not its key."""
    return Organization.objects.filter(pk=initial).first() if name == "org" and initial else initial


def _shown(value: Any) -> str:
    """Format a form's value for the history."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if value not in (None, "") else "—"
