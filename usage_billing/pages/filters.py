"""Filters in the addresses of pages: those of the API, where an invalid value is left out and the others hold."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext
from rest_framework import serializers

from usage_billing.api.fields import WholeNumberField
from usage_billing.api.filters import (
    COLUMNS,
    EXCLUDES,
    MOST_TAGS,
    MOST_VALUES,
    combined,
    parsed_tags,
    single_call_fields,
    value_fields,
)
from usage_billing.models.fields import LARGEST_ID
from usage_billing.reports.parameters import TAG, Excluded


@functools.cache
def _fields() -> dict[str, Any]:
    return {
        **value_fields(),
        **single_call_fields(),
        # Links of the pages have ids.
        "org": WholeNumberField(min_value=1, max_value=LARGEST_ID),
    }


def is_filter(name: str) -> bool:
    """Whether a URL parameter is a filter."""
    name = name.removesuffix(EXCLUDES)
    return name in _fields() or (name.startswith(TAG) and len(name) > len(TAG))


def filters_of(lists: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], dict[tuple[str, str], str]]:
    """Filters as reports take them, and the problem of each invalid (name, text)."""
    found: dict[str, Any] = {}
    wrong: dict[tuple[str, str], str] = {}
    tags = list(dict.fromkeys(name.removesuffix(EXCLUDES) for name in lists if name.startswith(TAG)))[:MOST_TAGS]
    for name, texts in lists.items():
        values: set[Any] = set()
        for text in dict.fromkeys(texts):
            try:
                values.add(_value(name, text, tags, len(values)))
            except serializers.ValidationError as error:
                wrong[name, text] = _first(error.detail)
        if values:
            found[name] = Excluded(frozenset(values)) if name.endswith(EXCLUDES) else values
    joined = combined(found, tuple(_fields()))
    return {COLUMNS.get(name, name): value for name, value in joined.items()}, wrong


def _value(name: str, text: str, tags: Sequence[str], count: int) -> Any:
    base = name.removesuffix(EXCLUDES)
    if count == MOST_VALUES:
        raise serializers.ValidationError(gettext("A filter takes at most %(most)d values.") % {"most": MOST_VALUES})
    if not base.startswith(TAG):
        return _fields()[base].run_validation(text)
    if base not in tags:
        raise serializers.ValidationError(gettext("Filter by at most %(most)d tags at a time.") % {"most": MOST_TAGS})
    values, problems = parsed_tags({base: text})
    if problems:
        raise serializers.ValidationError(problems[base])
    return values[base]


def _first(detail: Any) -> str:
    """The first message of an error."""
    while isinstance(detail, dict | list):
        detail = next(iter(detail.values() if isinstance(detail, dict) else detail))
    return str(detail)
