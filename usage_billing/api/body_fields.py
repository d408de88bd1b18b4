"""Fields of the bodies that people send: each accepts its own JSON type alone, and says what is right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from usage_billing.api.filters import OrgField
from usage_billing.models.fields import LARGEST_ID, MONEY_PLACES


class BodySerializer(serializers.Serializer[dict[str, Any]]):
    """A body without fields that nobody knows: a mistyped name is refused, and not left out.

    `answered`: names that an answer has besides. They are accepted and change nothing, so that an answer can be sent
    back.
    """

    answered: frozenset[str] = frozenset()

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := sorted(set(data) - {*self.fields, *self.answered})):
            text = gettext("There is no such field here. Known fields: %(known)s.") % {"known": ", ".join(self.fields)}
            raise serializers.ValidationError({str(name): [text] for name in unknown})
        return super().to_internal_value(data)


class TextField(serializers.CharField):
    """Text. DRF's own field accepts numbers too."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class FlagField(serializers.BooleanField):
    """True or false. DRF's own field accepts texts and numbers too."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class CountField(serializers.IntegerField):
    """A whole number. DRF's own field accepts texts too."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class GivenMomentField(serializers.DateTimeField):
    """A moment of ISO 8601 with its offset. DRF's own field accepts days, and moments that could be anywhere."""

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str) or not re.fullmatch(_MOMENT, data, re.ASCII):
            self.fail("invalid", format="2026-11-28T10:00:00Z")
        return super().to_internal_value(data)


@extend_schema_field(
    {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": LARGEST_ID},
            {"type": "string", "pattern": r"^[-A-Za-z0-9_]{1,100}$"},
        ]
    }
)
class GivenOrgField(OrgField):
    """An organisation's id or slug; `lists.org_of` finds it in the person's scope."""


_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)"
_AMOUNT = r"[0-9]{1,12}(\.[0-9]{1,12})?"


@extend_schema_field(
    {"anyOf": [{"type": "string", "pattern": f"^{_AMOUNT}$"}, {"type": "number", "minimum": 0, "maximum": 10**12 - 1}]}
)
class GivenAmountField(serializers.DecimalField):
    """An amount as a decimal string, or as a number."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=24, decimal_places=MONEY_PLACES, **options)

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool) or not isinstance(data, str | int | float):
            self.fail("invalid")
        if isinstance(data, str) and not re.fullmatch(_AMOUNT, data, re.ASCII):
            self.fail("invalid")
        return super().to_internal_value(data)
