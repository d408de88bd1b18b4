"""Lists that people keep, such as budgets: the parameters of a page, and the answers to what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError

from usage_billing.api.fields import WholeNumberField
from usage_billing.api.filters import OrgField, ids_of_slugs, unknown_slug
from usage_billing.budgets.access import NotAllowedError
from usage_billing.models import Organization
from usage_billing.models.fields import LARGEST_ID
from usage_billing.tenancy.scope import Scope

LARGEST_PAGE = 100
DEEPEST_OFFSET = 100_000


class QuerySerializer(serializers.Serializer[dict[str, Any]]):
    """The parameters of a query. Each may be given once."""

    def to_internal_value(self, data: Mapping[str, list[str]]) -> dict[str, Any]:
        if unknown := sorted(set(data) - set(self.fields)):
            known = ", ".join(self.fields)
            text = gettext("There is no such parameter here. Known parameters: %(known)s.") % {"known": known}
            raise serializers.ValidationError({name: [text] for name in unknown})
        if repeated := [name for name, values in data.items() if len(values) > 1]:
            raise serializers.ValidationError({name: [gettext("Give this once.")] for name in repeated})
        given: dict[str, Any] = super().to_internal_value({name: values[0] for name, values in data.items()})
        return given


class ListSerializer(QuerySerializer):
    """The part of a list that is wanted. Each parameter may be given once."""

    limit = WholeNumberField(default=50, min_value=1, max_value=LARGEST_PAGE, help_text="Size of a page.")
    offset = WholeNumberField(default=0, min_value=0, max_value=DEEPEST_OFFSET, help_text="Number of items to skip.")


class OrgListSerializer(ListSerializer):
    """A list that may be narrowed to an organisation."""

    org = OrgField(required=False, min_value=1, max_value=LARGEST_ID, help_text="Organisation: its id, or its slug.")


class TrueOrFalse(serializers.ChoiceField):
    """`true` or `false` in a query."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=["true", "false"], **options)


def listed(serializer: type[ListSerializer], query: Any, scope: Scope) -> dict[str, Any]:
    """The parameters of a list, its organisation as an id. Raises DRF's `ValidationError`."""
    parsed = serializer(data=dict(query.lists()), context={"scope": scope})
    parsed.is_valid(raise_exception=True)
    given = dict(parsed.validated_data)
    if isinstance(given.get("org"), str):
        given["org"] = _id_of_slug(given["org"], scope)
    return given


def page_of(rows: QuerySet[Any], given: Mapping[str, Any]) -> tuple[int, list[Any]]:
    """The number of all rows, and those of the page. Two queries."""
    return rows.count(), list(rows[given["offset"] : given["offset"] + given["limit"]])


def org_of(given: int | str, scope: Scope) -> Organization:
    """The organisation that a body names. Another tenant's is answered exactly as one that does not exist."""
    id_ = _id_of_slug(given, scope) if isinstance(given, str) else given
    visible = Organization.objects.filter(pk=id_)
    found = visible.first() if scope.everything or id_ in scope.org_ids else None
    if found is None:
        raise ValidationError({"org": [unknown_slug(str(given))]})
    return found


def _id_of_slug(slug: str, scope: Scope) -> int:
    found = ids_of_slugs([slug], scope).get(slug)
    if found is None:
        raise ValidationError({"org": [unknown_slug(slug)]})
    return found


SCOPE_FIELDS = ("user", "agent_id", "request_type", "ai_provider", "ai_model", "tag")


@contextmanager
def refusals_answered() -> Iterator[None]:
    """Answer what `budgets` refuses: 400 by field, 403 with its code."""
    try:
        yield
    except NotAllowedError as error:
        raise PermissionDenied(str(error), error.code) from error
    except DjangoValidationError as error:
        raise ValidationError(_by_field(error)) from error


def _by_field(error: DjangoValidationError) -> dict[str, Any]:
    if not hasattr(error, "error_dict"):
        return {"non_field_errors": error.messages}
    found: dict[str, Any] = {}
    for name, texts in error.message_dict.items():
        if name in SCOPE_FIELDS:
            found.setdefault("scope", {})[name] = texts
        else:
            found["non_field_errors" if name == "__all__" else name] = texts
    return found
