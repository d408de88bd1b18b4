"""Filters in the addresses of pages: those of the API, where an invalid value is left out and the others hold."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext
from rest_framework import serializers

from usage_billing.api.fields import LARGEST_ID, WholeNumberField
from usage_billing.api.filters import (
    COLUMNS,
    EXCLUDES,
    MOST_TAGS,
    MOST_VALUES,
    SLUG,
    combined,
    ids_of_slugs,
    parsed_tags,
    single_call_fields,
    unknown_slug,
    value_fields,
)
from usage_billing.reports.parameters import TAG, Excluded
from usage_billing.tenancy.scope import Scope

ORGS = ("org", "org" + EXCLUDES)


@functools.cache
def _fields() -> dict[str, Any]:
    return {
        **value_fields(),
        **single_call_fields(),
        # Slugs are replaced before.
        "org": WholeNumberField(min_value=1, max_value=LARGEST_ID),
    }


def is_filter(name: str) -> bool:
    """Whether a URL parameter is a filter."""
    name = name.removesuffix(EXCLUDES)
    return name in _fields() or (name.startswith(TAG) and len(name) > len(TAG))


def without_slugs(
    lists: Mapping[str, Sequence[str]], scope: Scope
) -> tuple[dict[str, list[str]], dict[tuple[str, str], str]]:
    """The same parameters with ids in place of organisations' slugs, and the problem of each (name, slug) out of scope.

    So the links of a page have ids, whichever its address has. One query if there is a slug.
    """
    found = {name: list(texts) for name, texts in lists.items()}
    given = [(name, text) for name in ORGS for text in found.get(name, ()) if SLUG.fullmatch(text)]
    if not given:
        return found, {}
    ids = ids_of_slugs({slug for _name, slug in given}, scope)
    wrong = {(name, slug): unknown_slug(slug) for name, slug in given if slug not in ids}
    for name in ORGS:
        known = [str(ids.get(text, text)) for text in found.pop(name, ()) if (name, text) not in wrong]
        found |= {name: list(dict.fromkeys(known))} if known else {}
    return found, wrong


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
