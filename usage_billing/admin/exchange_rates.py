"""The admin of exchange rates."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import pgettext_lazy

from usage_billing.admin.scoped import ScopedAdmin
from usage_billing.admin.theme import ModelAdmin
from usage_billing.models import ExchangeRate
from usage_billing.tenancy.scope import Scope


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ScopedAdmin, ModelAdmin[ExchangeRate]):
    """A rate applies to calls that are inserted after it. Each call keeps the rate that priced it."""

    accusative = pgettext_lazy("accusative", "USD/RUB exchange rate")
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
