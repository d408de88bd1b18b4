"""The JSON of the agents, field by field."""

from __future__ import annotations

from typing import Any

from django.core.validators import slug_re
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from usage_billing.api.serializers import AmountField


class AgentSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    provider = serializers.CharField()
    model = serializers.CharField()
    input_schema = serializers.DictField(help_text="JSON Schema of `input`.")
    output_schema = serializers.DictField(help_text="JSON Schema of `output`.")


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string"}]})
class OrganizationField(serializers.Field[Any, Any, Any, Any]):
    """An organisation's id (a number) or slug (a text)."""

    default_error_messages = {"invalid": "Give an organisation's id, as a number, or its slug, as a text."}

    def to_internal_value(self, value: Any) -> int | str:
        if isinstance(value, str) and slug_re.match(value):
            return value
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail("invalid")
        return value

    def to_representation(self, value: Any) -> Any:
        return value


class RunOrderSerializer(serializers.Serializer[dict[str, Any]]):
    """The body of a request to run an agent."""

    input = serializers.DictField(help_text="As the agent's `input_schema` says.")
    org = OrganizationField(
        required=False, help_text="Who is charged: id or slug. Needed by those who belong to several organisations."
    )
    content_id = serializers.UUIDField(
        required=False, help_text="The content piece to work on: it gives `text` and `title` where they are left out."
    )
    workflow_id = serializers.CharField(
        required=False, max_length=100, help_text="The job that this run is a part of; a new one, if left out."
    )


class EstimateSerializer(serializers.Serializer[Any]):
    """The cost of the run's calls. An amount is null if that of any call is unknown."""

    requests_count = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()
    cost_usd = AmountField(allow_null=True)
    cost_rub = AmountField(allow_null=True)
    unpriced_count = serializers.IntegerField(help_text="Calls without a known cost in USD.")
    unpriced_rub_count = serializers.IntegerField(help_text="These, and calls whose day has no exchange rate.")


class RunSerializer(serializers.Serializer[dict[str, Any]]):
    agent_id = serializers.CharField()
    org = serializers.CharField(help_text="Slug of the organisation that is charged.")
    content_id = serializers.UUIDField(allow_null=True)
    workflow_id = serializers.CharField()
    output = serializers.DictField(help_text="As the agent's `output_schema` says.")
    cost = EstimateSerializer()
