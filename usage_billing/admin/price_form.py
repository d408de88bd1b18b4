"""The form of a price override: one field for each unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from usage_billing.admin import price_units
from usage_billing.admin.theme import TextInput
from usage_billing.models import PriceOverride
from usage_billing.models.price_override import missing

PREFIX = "price_"
PREVIEW = "_preview"
"""Name of the button that shows what the prices would do, and saves nothing."""
IN_A_ROW = 3

TOO_LARGE = _("A price is below one million USD.")
TOO_FINE = _("A price has at most 12 digits after the point.")


def field_name(key: str) -> str:
    """Return the name of the form field of a price key."""
    return f"{PREFIX}{key}"


if TYPE_CHECKING:
    BaseForm = forms.ModelForm[PriceOverride]
else:
    BaseForm = forms.ModelForm


class PriceOverrideForm(BaseForm):
    """Takes the prices from one field for each unit. `form_class` makes a class with these fields."""

    price_keys: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prices_before: dict[str, str] = dict(self.instance.prices or {})
        for key, usd in self.prices_before.items():
            if field_name(key) in self.fields:
                self.initial[field_name(key)] = _decimal(usd)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        prices = dict(self._prices(cleaned))
        if self._all_are_valid():
            self._expect_complete(prices)
        self.instance.prices = prices
        return cleaned

    def is_valid(self) -> bool:
        """Return whether the form may be saved: one that only asks for a preview may not."""
        return super().is_valid() and PREVIEW not in self.data

    @property
    def is_priced(self) -> bool:
        """Whether the form is sound, and its prices can be tried."""
        return self.is_bound and not self.errors

    def _prices(self, cleaned: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield key and USD of the filled fields. An amount that is not changed keeps its digits."""
        for key in self.price_keys:
            amount = cleaned.get(field_name(key))
            if amount is not None:
                before = self.prices_before.get(key)
                is_same = before is not None and _decimal(before) == amount
                yield key, before if is_same and before is not None else format(amount, "f")

    def _all_are_valid(self) -> bool:
        return not any(field_name(key) in self.errors for key in self.price_keys)

    def _expect_complete(self, prices: Mapping[str, str]) -> None:
        if not prices:
            first = field_name(self.price_keys[0])
            self.add_error(first, ValidationError(gettext("Write at least one price: of input and output, as a rule.")))
        for key in missing(key for key in prices if price_units.is_known(key)):
            self.add_error(
                field_name(key),
                ValidationError(gettext("Also needed: without it, these prices do not cover every call.")),
            )


def form_class(prices: Mapping[str, str]) -> type[PriceOverrideForm]:
    """Return the form with a field for each unit, and for each other key that `prices` has."""
    keys = (*price_units.all_keys(), *(key for key in prices if not price_units.is_known(key)))
    fields: dict[str, Any] = {field_name(key): _field(key) for key in keys}
    made: type[PriceOverrideForm] = type("PriceOverrideForm", (PriceOverrideForm,), {**fields, "price_keys": keys})
    return made


def _field(key: str) -> forms.DecimalField:
    is_known = price_units.is_known(key)
    return forms.DecimalField(
        label=str(price_units.label(key)),
        help_text=str(price_units.per(key))
        if is_known
        else gettext("The price list no longer has this unit, so its price is not used. Empty the field to remove it."),
        required=False,
        localize=True,
        min_value=0,
        max_digits=18,
        decimal_places=12,
        widget=TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        error_messages={
            "invalid": _("Write a number such as 2.5."),
            "min_value": _("A price is not negative. 0 means free."),
            "max_digits": TOO_LARGE,
            "max_whole_digits": TOO_LARGE,
            "max_decimal_places": TOO_FINE,
        },
    )


def price_fieldsets(prices: Mapping[str, str], posted: Mapping[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    """Return a fieldset for each section; the other units are folded away unless one of them has a price."""
    known = {*price_units.all_keys()}
    sections = [
        (heading, {"fields": _rows([key for key in keys if key in known])}) for heading, keys in price_units.SECTIONS
    ]
    others = [*price_units.unusual_keys(), *(key for key in prices if key not in known)]
    is_used = any(key in prices or str(posted.get(field_name(key), "")).strip() for key in others)
    more: dict[str, Any] = {"fields": _rows(others)} | ({} if is_used else {"classes": ("collapse",)})
    return [*sections, (_("More units"), more)]


def _rows(keys: list[str]) -> tuple[tuple[str, ...], ...]:
    names = [field_name(key) for key in keys]
    return tuple(tuple(names[start : start + IN_A_ROW]) for start in range(0, len(names), IN_A_ROW))


def _decimal(usd: str) -> Decimal | str:
    """Return the amount; the text itself if it is none, so that the field shows it and refuses it."""
    try:
        return Decimal(usd)
    except (InvalidOperation, TypeError):
        return str(usd)


def written_prices(prices: Mapping[str, Any]) -> str:
    """Return the prices with the names of their units: “Input 2.5, Output 10”."""
    return ", ".join(f"{price_units.label(key)} {usd}" for key, usd in prices.items())
