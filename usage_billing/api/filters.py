"""Filters of reports as URL parameters: each may be repeated, and `name!=value` excludes a value."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers

from usage_billing.api.fields import user_key_field
from usage_billing.api.parameters import COLUMNS, NARROWING, FiltersSerializer
from usage_billing.reports.parameters import Excluded

TAG = "tag."
EXCLUDING = "!"


@functools.cache
def _fields() -> dict[str, Any]:
    known = FiltersSerializer().fields
    fields = {name: known[name] for name in NARROWING}
    for name in ("ai_provider", "ai_model"):
        fields[name].allow_blank = True
    fields["user"] = user_key_field(min_value=0)
    fields["unpriced"] = serializers.ChoiceField(choices=("usd", "rub"))
    fields["error_code"] = fields["price_source"] = serializers.CharField(max_length=200, allow_blank=True)
    return fields


def is_filter(name: str) -> bool:
    """Whether a URL parameter is a filter."""
    name = name.removesuffix(EXCLUDING)
    return name in _fields() or name.startswith(TAG)


def filters_of(lists: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], dict[tuple[str, str], str]]:
    """Filters as reports take them, and the problem of each invalid (name, text)."""
    wanted: dict[str, set[Any]] = {}
    excluded: dict[str, set[Any]] = {}
    wrong: dict[tuple[str, str], str] = {}
    for name, texts in lists.items():
        base = name.removesuffix(EXCLUDING)
        column = COLUMNS.get(base, base)
        for text in texts:
            try:
                value = text if base.startswith(TAG) else _fields()[base].run_validation(text)
            except serializers.ValidationError as error:
                wrong[name, text] = str(error.detail[0])  # type: ignore[index]
            else:
                (excluded if name.endswith(EXCLUDING) else wanted).setdefault(column, set()).add(value)
    filters: dict[str, Any] = {column: values - excluded.pop(column, set()) for column, values in wanted.items()}
    return {**filters, **{column: Excluded(frozenset(values)) for column, values in excluded.items()}}, wrong
