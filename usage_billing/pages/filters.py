"""The filters in an address, defined by the API: an invalid value is left out, and its problem is returned."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers

from usage_billing.api import filters
from usage_billing.api.fields import LARGEST_ID, WholeNumberField
from usage_billing.api.filters import COLUMNS, EXCLUDES
from usage_billing.models import DailyTagUsage
from usage_billing.reports.parameters import TAG, Excluded

Wrong = dict[tuple[str, str], str]
"""Name and text of an invalid filter → what is wrong with it."""

@functools.cache
def _fields() -> dict[str, Any]:
    fields = filters.value_fields() | filters.single_call_fields()
    fields["org"] = WholeNumberField(min_value=1, max_value=LARGEST_ID)  # no slugs: the links of the pages have ids
    return fields


@functools.cache
def _tag_field() -> serializers.CharField:
    longest = DailyTagUsage._meta.get_field("tag_value").max_length
    return serializers.CharField(allow_blank=True, max_length=longest, trim_whitespace=False)


def is_filter(name: str) -> bool:
    """Whether a URL parameter is a filter."""
    base = name.removesuffix(EXCLUDES)
    return base in _fields() or base.startswith(TAG)


def filters_of(lists: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], Wrong]:
    """Filters as reports take them, and the problem of each invalid (name, text)."""
    wanted: dict[str, set[Any]] = {}
    excluded: dict[str, set[Any]] = {}
    wrong: Wrong = {}
    for name, texts in lists.items():
        base = name.removesuffix(EXCLUDES)
        column = COLUMNS.get(base, base)
        for text in texts:
            try:
                value = _value(name, base, text)
            except serializers.ValidationError as error:
                wrong[name, text] = _problem(error)
            else:
                (excluded if name.endswith(EXCLUDES) else wanted).setdefault(column, set()).add(value)
    found: dict[str, Any] = {column: values - excluded.pop(column, set()) for column, values in wanted.items()}
    return {**found, **{column: Excluded(frozenset(values)) for column, values in excluded.items()}}, wrong


def _value(name: str, base: str, text: str) -> Any:
    if base.startswith(TAG):
        filters.tag_key(base.removeprefix(TAG), name)
        return _tag_field().run_validation(text)
    return _fields()[base].run_validation(text)


def _problem(error: serializers.ValidationError) -> str:
    detail = error.detail
    first = next(iter(detail.values())) if isinstance(detail, dict) else detail
    return str(first[0])
