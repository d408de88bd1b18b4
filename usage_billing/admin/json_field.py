"""A form field for JSON that refuses every malformed text."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput

from usage_billing.api.parsers import decoded


class BoundedJSONField(forms.JSONField):
    """Django's own field raises other errors than `ValidationError` for deep nesting and long numbers."""

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and value.strip():
            try:
                decoded(value)
            except ValueError as error:
                raise forms.ValidationError(self.error_messages["invalid"], "invalid", {"value": value}) from error
        return super().to_python(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        if isinstance(data, str):
            try:
                decoded(data)
            except ValueError:
                return InvalidJSONInput(data)
        return super().bound_data(data, initial)
