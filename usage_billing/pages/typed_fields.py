"""Form fields that take numbers as people write them in their language."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import get_language, gettext

from usage_billing.models.budget import validate_thresholds

_GROUPED = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")
"""A number with commas between thousands, as English writes it."""


class AmountField(forms.DecimalField):
    """An amount such as `1 500,50` in Russian and `1,500.50` in English."""

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(widget=widget, max_digits=24, decimal_places=12, **options)

    def to_python(self, value: Any) -> Any:
        return super().to_python(plain_number(value) if isinstance(value, str) else value)

    def prepare_value(self, value: Any) -> Any:
        return written_number(value) if isinstance(value, Decimal) else value


def plain_number(text: str) -> str:
    """The text with a decimal point and nothing between thousands."""
    text = re.sub(r"[\s\u00a0\u202f]", "", text)
    is_russian = (get_language() or "").startswith("ru")
    if not is_russian and _GROUPED.fullmatch(text):
        return text.replace(",", "")
    return text.replace(",", ".")


def written_number(value: Decimal) -> str:
    """The number for the field, without zeros at its end."""
    text = format(value.normalize(), "f")
    return text.replace(".", ",") if (get_language() or "").startswith("ru") else text


class SharesField(forms.CharField):
    """Per cents with commas between them → a list in rising order."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=100, widget=forms.TextInput(attrs={"autocomplete": "off"}), **options)

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        words = [word for word in re.split(r"[\s,;%]+", text) if word]
        if not all(word.isdecimal() for word in words):
            raise ValidationError(gettext("Write whole per cents with commas between them, such as 50, 80, 100."))
        shares = sorted({int(word) for word in words})
        validate_thresholds(shares)
        return shares

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(str(share) for share in value) if isinstance(value, list) else value
