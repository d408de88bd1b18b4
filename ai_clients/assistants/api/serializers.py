"""The JSON of the agents, field by field."""

from __future__ import annotations

from typing import Any

from django.core.validators import slug_re
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from usage_billing.api.serializers import (
    COMPLETION_TOKENS,
    PROMPT_TOKENS,
    REQUESTS,
    TOKENS,
    UNPRICED,
    WITHOUT_RUB,
    AmountField,
)


class AgentSerializer(serializers.Serializer[Any]):
    """An agent."""

    id = serializers.CharField(help_text="Id of the agent, for its address and for reports.")
    name = serializers.CharField(help_text="Name, in the language of the request.")
    description = serializers.CharField(help_text="Purpose, in the language of the request.")
    provider = serializers.CharField(help_text="Provider that it calls, such as `anthropic`.")
    model = serializers.CharField(help_text="The provider's name of the model that it calls.")
    input_schema = serializers.DictField(help_text="JSON Schema of the `input` of a run.")
    output_schema = serializers.DictField(help_text="JSON Schema of the `output` of a run.")


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
    """The task of an agent, and the organisation that is charged."""

    input = serializers.DictField(help_text="As the agent's `input_schema` says.")
    org = OrganizationField(
        required=False, help_text="Organisation that is charged: id or slug. Required if you belong to several."
    )
    content_id = serializers.UUIDField(
        required=False, help_text="The content piece to work on: it gives `text` and `title` where they are left out."
    )
    workflow_id = serializers.CharField(
        required=False,
        max_length=100,
        help_text="Workflow that this run is a part of. Without it the run is a workflow of its own.",
    )


class EstimateSerializer(serializers.Serializer[Any]):
    """The cost of a run's calls."""

    requests_count = serializers.IntegerField(help_text=REQUESTS)
    prompt_tokens = serializers.IntegerField(help_text=PROMPT_TOKENS)
    completion_tokens = serializers.IntegerField(help_text=COMPLETION_TOKENS)
    total_tokens = serializers.IntegerField(help_text=TOKENS)
    cost_usd = AmountField(help_text="USD, the sum. Null: the cost of a call is unknown.")
    cost_rub = AmountField(help_text="RUB, the sum. Null: the cost of a call or the exchange rate is unknown.")
    unpriced_count = serializers.IntegerField(help_text=UNPRICED)
    unpriced_rub_count = serializers.IntegerField(help_text=WITHOUT_RUB)


class RunSerializer(serializers.Serializer[dict[str, Any]]):
    """A finished run."""

    agent_id = serializers.CharField(help_text="Id of the agent.")
    org = serializers.CharField(help_text="Slug of the organisation that is charged.")
    content_id = serializers.UUIDField(allow_null=True, help_text="The content piece of the run. Null: none.")
    workflow_id = serializers.CharField(help_text="Workflow of the run's calls, a filter of the reports.")
    output = serializers.DictField(help_text="As the agent's `output_schema` says.")
    cost = EstimateSerializer(help_text="The cost of the run's calls.")
