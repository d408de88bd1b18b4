"""The filters that every endpoint and every page takes, each repeated for several values and excluded with `!`.

`agent_id=a&agent_id=b` is any of both, `agent_id!=a` any but this one, `tag.feature=search` a tag, `tag.feature=` calls
without that tag. `FiltersSerializer` (`parameters`) is built of these fields; pages use it as well.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from django.utils.translation import gettext
from rest_framework import serializers
from rest_framework.fields import empty

from usage_billing.api.fields import LARGEST_ID, STATUS, WholeNumberField, user_key_field
from usage_billing.models import Organization, UsageRecord
from usage_billing.recording import tags
from usage_billing.reports.parameters import TAG, UNPRICED, Excluded, allowed, both
from usage_billing.tenancy.scope import Scope

NARROWING = (
    "org",
    "user",
    "agent_id",
    "ai_provider",
    "ai_model",
    "request_type",
    "workflow_id",
    "content_id",
    "status",
    "provider_organization",
    "provider_project",
    "api_key",
    "user_profile",
)
"""Names of the filters of every endpoint, besides tags."""
OF_SINGLE_CALLS = (UNPRICED, "error_code", "price_source")
"""Names of the filters of endpoints that list calls."""
COLUMNS = {
    "org": "org_id",
    "user": "user_id",
    "api_key": "api_key_fingerprint",
    "user_profile": "provider_user_profile",
}
"""Columns of the filters with another name."""

EXCLUDES = "!"
"""The end of a parameter's name that excludes its values: `agent_id!=a`."""
MOST_VALUES = 100
"""Values of one filter in one request."""
MOST_TAGS = tags.MOST
"""Keys of tags in one request: as many as a call may have."""


SLUG = re.compile(r"(?=.*[A-Za-z])[-A-Za-z0-9_]{1,100}", re.ASCII)
"""A slug of an organisation, told from an id by a letter."""


class OrgField(WholeNumberField):
    """An organisation's id; with a `scope` in the serializer's context, also its slug, which `filters_of` resolves."""

    def to_internal_value(self, data: Any) -> Any:
        is_slug = "scope" in self.context and isinstance(data, str) and SLUG.fullmatch(data)
        return data if is_slug else super().to_internal_value(data)

    def run_validators(self, value: Any) -> None:
        if not isinstance(value, str):
            super().run_validators(value)


class ValuesField(serializers.ListField):
    """One value or several, each parsed by `child`; returns what `reports` takes as a filter's value."""

    def __init__(self, *, excludes: bool = False, **options: Any) -> None:
        super().__init__(required=False, allow_empty=False, max_length=MOST_VALUES, **options)
        self.excludes = excludes

    def to_internal_value(self, data: Any) -> Any:
        given = list(data) if isinstance(data, list | tuple) else [data]
        super().run_validators(given)  # the number of values
        values = frozenset(super().to_internal_value(given))
        return Excluded(values) if self.excludes else _simplified(values)

    def run_validators(self, value: Any) -> None:
        """Do nothing: the list was validated before it became a filter's value."""

    def run_child_validation(self, data: Any) -> Any:
        """Name the value that is wrong instead of its position."""
        values: list[Any] = []
        problems: list[Any] = []
        for each in data:
            try:
                values.append(self.child.run_validation(each))
            except serializers.ValidationError as error:
                problems += error.detail if isinstance(error.detail, list) else [str(error.detail)]
        if problems:
            raise serializers.ValidationError(problems)
        return values


class NullableField(serializers.CharField):
    """Text, or nothing: an empty text stands for NULL."""

    def run_validation(self, data: Any = empty) -> Any:
        return super().run_validation(data) or None


def text_field(column: str, **options: Any) -> serializers.CharField:
    """Return a field for any text that fits the column, unchanged."""
    return serializers.CharField(**_bounds(column), **options)


def _nullable_field(column: str, **options: Any) -> NullableField:
    return NullableField(**_bounds(column), allow_blank=True, **options)


def _bounds(column: str) -> dict[str, Any]:
    fields = {field.name: field for field in UsageRecord._meta.concrete_fields}
    return {"required": False, "max_length": fields[column].max_length, "trim_whitespace": False}


def value_fields() -> dict[str, serializers.Field[Any, Any, Any, Any]]:
    """Return a field for one value of each filter of `NARROWING`."""
    return {
        "org": OrgField(min_value=1, max_value=LARGEST_ID, help_text="Organisation: its id, or its slug."),
        "user": user_key_field(min_value=0, help_text="User's id. `0`: calls without a user."),
        "agent_id": text_field("agent_id", allow_blank=True, help_text="Id of the agent. Empty: calls without one."),
        "ai_provider": text_field("ai_provider", allow_blank=True, help_text="Provider, such as `openai`."),
        "ai_model": text_field(
            "ai_model", allow_blank=True, help_text="Model by the provider's name, such as `gpt-4.1-mini`."
        ),
        "request_type": text_field(
            "request_type", allow_blank=True, help_text="Request type. Empty: calls without one."
        ),
        "workflow_id": _nullable_field("workflow_id", help_text="Workflow. Empty: calls outside a workflow."),
        "content_id": _nullable_field(
            "content_id", help_text="Content, in the application's own ids. Empty: calls without content."
        ),
        "status": serializers.ChoiceField(choices=UsageRecord.Status.choices, help_text=STATUS),
        "provider_organization": text_field(
            "provider_organization", allow_blank=True, help_text="The provider's id of the organisation that paid."
        ),
        "provider_project": text_field(
            "provider_project", allow_blank=True, help_text="The provider's id of the project or workspace."
        ),
        "api_key": text_field(
            "api_key_fingerprint",
            allow_blank=True,
            help_text="API key, by the fingerprint that a call shows.",
        ),
        "user_profile": text_field(
            "provider_user_profile", allow_blank=True, help_text="The provider's id of the user profile that paid."
        ),
    }


def single_call_fields() -> dict[str, serializers.Field[Any, Any, Any, Any]]:
    """Return a field for one value of each filter of `OF_SINGLE_CALLS`. Archived calls do not have these."""
    return {
        UNPRICED: serializers.ChoiceField(
            choices=["usd", "rub"], help_text="Calls whose cost in this currency is unknown."
        ),
        "error_code": text_field(
            "error_code", allow_blank=True, help_text="Error code, such as `429 rate_limit_exceeded`."
        ),
        "price_source": text_field("price_source", help_text="Price source, such as `unpriced:unknown-model`."),
    }


def repeated(fields: Mapping[str, Any]) -> Iterator[tuple[str, ValuesField]]:
    """Yield name and field of each filter: its values, and its excluded values."""
    for name, child in fields.items():
        text = child.help_text or ""
        yield name, ValuesField(child=child, help_text=text)
        yield name + EXCLUDES, ValuesField(child=deepcopy(child), excludes=True, help_text=_excluded_text(name))


def _excluded_text(name: str) -> str:
    return f"Excludes these values of `{name}`."


def parsed_tags(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parsed values of the `tag.<key>` parameters, and the problems with the others, both by parameter."""
    given = [name for name in data if name.startswith(TAG)]
    if len({name.removesuffix(EXCLUDES) for name in given}) > MOST_TAGS:
        return {}, {given[0]: [gettext("Filter by at most %(most)d tags at a time.") % {"most": MOST_TAGS}]}
    found: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for name in given:
        value = serializers.CharField(allow_blank=True, max_length=tags.VALUE_LENGTH, trim_whitespace=False)
        try:
            check_tag_key(name.removesuffix(EXCLUDES).removeprefix(TAG))
            found[name] = ValuesField(child=value, excludes=name.endswith(EXCLUDES)).run_validation(data[name])
        except serializers.ValidationError as error:
            errors[name] = error.detail
    return found, errors


def check_tag_key(key: str) -> None:
    """Raise `ValidationError` for a key that no tag has."""
    if not key or tags.key(key) != key:
        text = gettext("The key of a tag has 1 to %(longest)d letters, digits and characters of “_ - . :”.")
        raise serializers.ValidationError(text % {"longest": tags.KEY_LENGTH})


def combined(given: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Join the included and the excluded values of each filter under its name without `!`."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        base = name.removesuffix(EXCLUDES)
        if base in names or base.startswith(TAG):
            if base in found:
                joined = both(allowed(found[base]), allowed(value))
                value = joined if isinstance(joined, Excluded) else _simplified(joined)
            found[base] = value
        else:
            found[name] = value
    return found


def filters_of(given: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """Return the filters for `reports`, by column, of a `FiltersSerializer`'s validated data.

    Raises `ValidationError` for an organisation's slug that is not in scope. One query if there is a slug.
    """
    names = (*NARROWING, *OF_SINGLE_CALLS)
    found = {COLUMNS.get(name, name): value for name, value in given.items() if name in names or name.startswith(TAG)}
    return {**found, "org_id": _ids(found["org_id"], scope)} if "org_id" in found else found


def _ids(orgs: Any, scope: Scope) -> Any:
    """Replace slugs by ids. Another tenant's slug is answered exactly as one that does not exist."""
    values = allowed(orgs)
    given = values.values if isinstance(values, Excluded) else values
    slugs = {value for value in given if isinstance(value, str)}
    if not slugs:
        return orgs
    ids = ids_of_slugs(slugs, scope)
    if unknown := sorted(slugs - ids.keys()):
        raise serializers.ValidationError({"org": [unknown_slug(slug) for slug in unknown]})
    found = frozenset(ids.get(value, value) for value in given)
    return Excluded(found) if isinstance(values, Excluded) else _simplified(found)


def ids_of_slugs(slugs: Collection[str], scope: Scope) -> dict[str, int]:
    """Return slug → id of the organisations in scope. One query."""
    visible = Organization.objects.filter(slug__in=slugs)
    if not scope.everything:
        visible = visible.filter(pk__in=scope.org_ids)
    return dict(visible.values_list("slug", "pk"))


def unknown_slug(slug: str) -> str:
    """Return the answer to a slug that is not in scope."""
    text = gettext("There is no organisation “%(slug)s” here. Give its id, or the slug of one that you may see.")
    return text % {"slug": slug}


def _simplified(values: frozenset[Any]) -> Any:
    """One value as itself, as a filter of one value is written."""
    return next(iter(values)) if len(values) == 1 else set(values)
