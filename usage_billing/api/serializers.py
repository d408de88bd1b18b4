"""The fields of the API's answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from usage_billing.api.fields import user_key_field
from usage_billing.models import UsageRecord
from usage_billing.models.fields import MONEY_PLACES

DECIMAL = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}
RATIO_PLACES = 6


class DayField(serializers.DateField):
    """A date of ISO 8601, whatever date formats REST_FRAMEWORK has."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso-8601", input_formats=["iso-8601"], **kwargs)


class MomentField(serializers.DateTimeField):
    """A moment of ISO 8601 in UTC."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso-8601", default_timezone=UTC, **kwargs)


@extend_schema_field(DECIMAL)
class AmountField(serializers.DecimalField):
    """An amount of money as an exact decimal string without trailing zeros. Null: unknown."""

    places = MONEY_PLACES

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=None, decimal_places=None, **{"allow_null": True, **kwargs})

    def to_representation(self, value: Any) -> Any:
        # + 0 turns "-0" into "0".
        return format(round(Decimal(value), self.places).normalize() + 0, "f")


@extend_schema_field(DECIMAL)
class RatioField(AmountField):
    """A ratio as a decimal string. Null: the divisor is zero."""

    places = RATIO_PLACES


_UNPRICED = "Calls without a cost in USD. The amounts do not include them."
_WITHOUT_RUB = "Calls without a cost in RUB: the unpriced ones, and those whose day has no exchange rate."


class TotalsSerializer(serializers.Serializer[dict[str, Any]]):
    """Totals of a period. An amount covers the priced calls; it is null if there are only unpriced ones."""

    total_tokens = serializers.IntegerField()
    cost_usd = AmountField()
    cost_rub = AmountField()
    requests_count = serializers.IntegerField()
    unpriced_count = serializers.IntegerField(source="unpriced_usd_count", help_text=_UNPRICED)
    unpriced_rub_count = serializers.IntegerField(help_text=_WITHOUT_RUB)


class SummarySerializer(serializers.Serializer[dict[str, Any]]):
    today = TotalsSerializer()
    this_month = TotalsSerializer()
    all_time = TotalsSerializer()


class MeasuresSerializer(serializers.Serializer[dict[str, Any]]):
    """All totals of a period."""

    requests_count = serializers.IntegerField()
    failed_count = serializers.IntegerField()
    unpriced_count = serializers.IntegerField(source="unpriced_usd_count", help_text=_UNPRICED)
    unpriced_rub_count = serializers.IntegerField(help_text=_WITHOUT_RUB)
    prompt_tokens = serializers.IntegerField(help_text="Includes cached and cache-written tokens.")
    completion_tokens = serializers.IntegerField(help_text="Includes reasoning tokens.")
    total_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    cache_write_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField()
    execution_time_ms = serializers.IntegerField(help_text="Sum over all calls.")
    cost_usd = AmountField()
    cost_rub = AmountField()


class PeriodSerializer(serializers.Serializer[dict[str, Any]]):
    """Billing days, both included; `to` is null if the period is open."""

    def get_fields(self) -> dict[str, Any]:
        return {name: DayField(allow_null=True) for name in ("from", "to")}


_P95 = (
    "The time that 95 % of the calls of known duration do not exceed: an estimate, interpolated between the bucket"
    " boundaries of OpenTelemetry's `gen_ai.client.operation.duration`. Null: no duration is known, or not all of them."
)


class HistoryItemSerializer(MeasuresSerializer):
    date = DayField(help_text="The first day of the step.")
    hour = serializers.DateTimeField(
        format="iso-8601", allow_null=True, help_text="The moment at which the hour begins. Null: another step."
    )
    p95_time_ms = RatioField(help_text=_P95)


class HistorySerializer(serializers.Serializer[dict[str, Any]]):
    period = PeriodSerializer()
    archived_before = DayField(
        allow_null=True,
        help_text="By hour, calls before this day are archived and not counted. Null: none, or another step.",
    )
    items = HistoryItemSerializer(many=True, help_text="Oldest first, without gaps.")


class PreviousPeriodSerializer(serializers.Serializer[dict[str, Any]]):
    """Totals of the period before, which has the same length."""

    requests_count = serializers.IntegerField()
    total_tokens = serializers.IntegerField()
    cost_usd = AmountField()
    cost_rub = AmountField()


class ChangeSerializer(serializers.Serializer[dict[str, Any]]):
    """Relative change over the period before: 0.25 is a quarter more, 0 nothing after nothing.

    Null: the period before had none, or an amount is unknown.
    """

    requests_count = RatioField()
    total_tokens = RatioField()
    cost_usd = RatioField()
    cost_rub = RatioField()


class ItemSerializer(MeasuresSerializer):
    """Totals of one agent, model, …, with shares, averages and changes."""

    share = RatioField(help_text="Share of the known USD of all calls that match, 0 to 1.")
    average_cost_usd = AmountField(help_text="Average of the priced calls.")
    average_cost_rub = AmountField(help_text="Average of the priced calls.")
    average_time_ms = RatioField()
    p95_time_ms = RatioField(help_text=_P95)
    then = serializers.DictField(
        allow_null=True, help_text="The item's value of the dimension `then_by`. Null without that parameter."
    )
    before = PreviousPeriodSerializer()
    change = ChangeSerializer()


class AgentItemSerializer(ItemSerializer):
    agent_id = serializers.CharField(help_text="Empty: no agent.")


class ModelItemSerializer(ItemSerializer):
    ai_provider = serializers.CharField()
    ai_model = serializers.CharField()


class RequestTypeItemSerializer(ItemSerializer):
    request_type = serializers.CharField(help_text="Empty: no request type.")


class UserItemSerializer(ItemSerializer):
    user = user_key_field(allow_null=True, help_text="Null: the system.")
    username = serializers.CharField(allow_null=True, help_text="Null: no user, or a deleted one.")


class OrgItemSerializer(ItemSerializer):
    org = serializers.IntegerField()
    name = serializers.CharField()


class ProviderItemSerializer(ItemSerializer):
    ai_provider = serializers.CharField()


class StatusItemSerializer(ItemSerializer):
    status = serializers.CharField()


class WorkflowItemSerializer(ItemSerializer):
    workflow_id = serializers.CharField(allow_null=True, help_text="Null: calls outside a workflow.")


class ContentItemSerializer(ItemSerializer):
    content_id = serializers.CharField(allow_null=True, help_text="Null: calls without content.")


class TagItemSerializer(ItemSerializer):
    value = serializers.CharField(help_text="Empty: calls without this tag.")
    is_other = serializers.BooleanField(help_text="Whether this item counts the values beyond the bound of values.")


class BreakdownSerializer(serializers.Serializer[dict[str, Any]]):
    period = PeriodSerializer()
    previous_period = PeriodSerializer()
    total = ItemSerializer()
    other = MeasuresSerializer(allow_null=True, help_text="Totals of the items beyond `limit`.")


class AgentsSerializer(BreakdownSerializer):
    items = AgentItemSerializer(many=True)


class ModelsSerializer(BreakdownSerializer):
    items = ModelItemSerializer(many=True)


class RequestTypesSerializer(BreakdownSerializer):
    items = RequestTypeItemSerializer(many=True)


class UsersSerializer(BreakdownSerializer):
    items = UserItemSerializer(many=True)


class OrgsSerializer(BreakdownSerializer):
    items = OrgItemSerializer(many=True)


class ProvidersSerializer(BreakdownSerializer):
    items = ProviderItemSerializer(many=True)


class StatusesSerializer(BreakdownSerializer):
    items = StatusItemSerializer(many=True)


class WorkflowsSerializer(BreakdownSerializer):
    items = WorkflowItemSerializer(many=True)


class ContentsSerializer(BreakdownSerializer):
    items = ContentItemSerializer(many=True)


class TagsSerializer(BreakdownSerializer):
    key = serializers.CharField()
    items = TagItemSerializer(many=True)


class CallSerializer(serializers.ModelSerializer[UsageRecord]):
    """One call. Null: unknown, or not given."""

    org = serializers.IntegerField(source="org_id")
    user = user_key_field(source="user_id", allow_null=True)
    cost_usd = AmountField()
    cost_rub = AmountField()
    known_cost_usd = AmountField(help_text="Lower bound of an unknown cost; no total contains it.")
    usd_rub_rate = AmountField(help_text="Exchange rate USD/RUB of the day of the call.")
    created_at = MomentField(help_text="When the call was made.")
    recorded_at = MomentField(help_text="When the call was inserted into the ledger.")
    usage_date = DayField(help_text="The organisation's billing day.")

    class Meta:
        model = UsageRecord
        fields = [field.name for field in UsageRecord._meta.concrete_fields]
        # Labels would stand in the schema in the reader's language.
        extra_kwargs = {
            name: {"label": "", "help_text": text, "read_only": True}
            for name, text in {
                "id": "",
                "content_id": "The content that the call was made for, in the application's own ids.",
                "workflow_id": "The workflow that the call is a step of.",
                "agent_id": "Empty: no agent.",
                "request_type": "Empty: no request type.",
                "request_id": "The provider's id, or a generated one.",
                "endpoint": "The path at the provider.",
                "ai_provider": "For example `openai`.",
                "ai_model": "The provider's name of the model.",
                "prompt_tokens": "Includes cached and cache-written tokens.",
                "completion_tokens": "Includes reasoning tokens.",
                "total_tokens": "",
                "cached_tokens": "",
                "cache_write_tokens": "",
                "reasoning_tokens": "",
                "usage": "All units that the provider reported.",
                "price_source": "Source of the price; `unpriced:…` gives the reason for none.",
                "platform": "",
                "content_type": "",
                "task_type": "",
                "execution_time_ms": "",
                "status": "",
                "error_code": "Empty: none.",
                "request_metadata": "",
                "response_metadata": "",
                "provider_organization": "The provider's id of the organisation that paid. Empty: not known.",
                "provider_project": "The provider's id of the project or workspace. Empty: not known.",
                "api_key_fingerprint": "Tells API keys apart. Empty: no key, or one that changes every hour.",
                "provider_user_profile": "The provider's id of the user profile that paid. Empty: none.",
                "tags": "Key → value, texts; at most ten.",
            }.items()
        }

    def to_representation(self, instance: UsageRecord) -> dict[str, Any]:
        """Use the fields that `columns_of_calls` found once: REST framework finds them again for each call."""
        names, values, shown = columns_of_calls()
        return {
            name: None if value is None else show(value)
            for name, value, show in zip(names, values(instance), shown, strict=True)
        }


@cache
def columns_of_calls() -> tuple[list[str], Callable[[UsageRecord], tuple[Any, ...]], list[Callable[[Any], Any]]]:
    """Return the fields' names, a getter of a call's values, and the formatter of each field."""
    fields = CallSerializer().fields
    sources = [str(field.source) for field in fields.values()]
    return [*fields], attrgetter(*sources), [field.to_representation for field in fields.values()]


class ListTotalsSerializer(TotalsSerializer):
    failed_count = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()


class CallsSerializer(serializers.Serializer[dict[str, Any]]):
    count = serializers.IntegerField(
        help_text="Number of all calls that match. Archived calls are included, unless a filter is of single calls."
    )
    total = ListTotalsSerializer(help_text="Totals of the same calls, unpriced ones included.")
    next = serializers.URLField(allow_null=True, help_text="Address of the next page; null on the last page.")
    next_cursor = serializers.CharField(
        allow_null=True, help_text="The `cursor` of the next page, for the same ordering."
    )
    archived_before = DayField(
        allow_null=True, help_text="Calls before this day are archived and not listed. Null: none are archived."
    )
    items = CallSerializer(many=True)
