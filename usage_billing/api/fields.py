"""Fields of the API's parameters and answers."""

from __future__ import annotations

import re
import uuid
from typing import Any

from rest_framework import serializers

from usage_billing.models import user_keys
from usage_billing.models.fields import LARGEST_ID

STATUS = (
    "Outcome: `failed`: the provider answered with an error, or not at all; `aborted`: the caller stopped it;"
    " `pending`: the answer of a background call is awaited; `refused`: a budget stopped it before it was sent."
)
"""The description of the parameter and of the property."""


class WholeNumberField(serializers.IntegerField):
    """Accepts digits only: DRF's own field also accepts `1.0` and Arabic digits, and `int` may fail on long texts."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, str) and not re.fullmatch(r"-?[0-9]{1,19}", data):
            self.fail("invalid")
        return int(super().to_internal_value(data))


def user_key_field(*, min_value: int = 1, **options: Any) -> serializers.Field[Any, Any, Any, Any]:
    """Return a field for keys of the project's user model: numbers from `min_value`, UUIDs or text."""
    if isinstance(user_keys.nobody(), uuid.UUID):
        return serializers.UUIDField(**options)
    if user_keys.nobody() == 0:
        return WholeNumberField(min_value=min_value, max_value=LARGEST_ID, **options)
    return serializers.CharField(max_length=user_keys.key_field().max_length, **options)
