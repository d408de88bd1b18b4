"""What the JSON says, field by field."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

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
    """A sum of money as a decimal string, exact, without trailing zeros; never a float. Null: not known."""

    places = MONEY_PLACES

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=None, decimal_places=None, **{"allow_null": True, **kwargs})

    def to_representation(self, value: Any) -> Any:
        # + 0: a rounded-off negative would be "-0".
        return format(round(Decimal(value), self.places).normalize() + 0, "f")


@extend_schema_field(DECIMAL)
class RatioField(AmountField):
    """A quotient as a decimal string; null where there is nothing to divide by."""

    places = RATIO_PLACES


_UNPRICED = "Calls without a known cost in USD, or without a rate for RUB. The amounts do not include them."


class TotalsSerializer(serializers.Serializer[dict[str, Any]]):
    """Sums over a period. An amount covers the calls whose amount is known; it is null if there are only others."""

    total_tokens = serializers.IntegerField()
    cost_usd = AmountField()
    cost_rub = AmountField()
    requests_count = serializers.IntegerField()
    unpriced_count = serializers.IntegerField(source="unpriced_rub_count", help_text=_UNPRICED)


class SummarySerializer(serializers.Serializer[dict[str, Any]]):
    today = TotalsSerializer()
    this_month = TotalsSerializer()
    all_time = TotalsSerializer()


class MeasuresSerializer(serializers.Serializer[dict[str, Any]]):
    """All sums over a period."""

    requests_count = serializers.IntegerField()
    failed_count = serializers.IntegerField()
    unpriced_count = serializers.IntegerField(source="unpriced_rub_count", help_text=_UNPRICED)
    prompt_tokens = serializers.IntegerField(help_text="Cached and cache-written ones included.")
    completion_tokens = serializers.IntegerField(help_text="Reasoning included.")
    total_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    cache_write_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField()
    execution_time_ms = serializers.IntegerField(help_text="Of all calls together.")
    cost_usd = AmountField()
    cost_rub = AmountField()


class PeriodSerializer(serializers.Serializer[dict[str, Any]]):
    """Business days, both included; `to` is null where the period is open."""

    def get_fields(self) -> dict[str, Any]:
        return {name: DayField(allow_null=True) for name in ("from", "to")}


class HistoryItemSerializer(MeasuresSerializer):
    date = DayField(help_text="The first day of the day, week or month.")


class HistorySerializer(serializers.Serializer[dict[str, Any]]):
    period = PeriodSerializer()
    items = HistoryItemSerializer(many=True, help_text="The oldest first, without gaps.")


class ComparedSerializer(serializers.Serializer[dict[str, Any]]):
    """The period before, of the same length."""

    requests_count = serializers.IntegerField()
    total_tokens = serializers.IntegerField()
    cost_usd = AmountField()
    cost_rub = AmountField()


class ChangeSerializer(serializers.Serializer[dict[str, Any]]):
    """How much more it is than in the period before: 0.25 for a quarter more; null where that was nothing."""

    requests_count = RatioField()
    total_tokens = RatioField()
    cost_usd = RatioField()
    cost_rub = RatioField()


class ItemSerializer(MeasuresSerializer):
    """The sums of one agent, model, …, and what follows from them."""

    share = RatioField(help_text="Of the known USD of everything that the filters leave, 0 to 1.")
    average_cost_usd = AmountField(help_text="Of the calls whose cost is known.")
    average_cost_rub = AmountField(help_text="Of the calls whose cost is known.")
    average_time_ms = RatioField()
    before = ComparedSerializer()
    change = ChangeSerializer()


class AgentItemSerializer(ItemSerializer):
    agent_id = serializers.CharField(help_text="Empty: without an agent.")


class ModelItemSerializer(ItemSerializer):
    ai_provider = serializers.CharField()
    ai_model = serializers.CharField()


class RequestTypeItemSerializer(ItemSerializer):
    request_type = serializers.CharField(help_text="Empty: without a type.")


class UserItemSerializer(ItemSerializer):
    user = serializers.IntegerField(allow_null=True, help_text="Null: the system itself.")
    username = serializers.CharField(allow_null=True, help_text="Null: nobody, or somebody who is gone.")


class OrgItemSerializer(ItemSerializer):
    org = serializers.IntegerField()
    name = serializers.CharField()


class BreakdownSerializer(serializers.Serializer[dict[str, Any]]):
    period = PeriodSerializer()
    previous_period = PeriodSerializer()
    total = ItemSerializer()
    other = MeasuresSerializer(allow_null=True, help_text="What the items beyond `limit` add up to.")


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


class CallSerializer(serializers.ModelSerializer[UsageRecord]):
    """One call. Null: not known, or not given."""

    org = serializers.IntegerField(source="org_id")
    user = serializers.IntegerField(source="user_id", allow_null=True)
    cost_usd = AmountField()
    cost_rub = AmountField()
    usd_rub_rate = AmountField(help_text="RUB for a USD on the day of the call.")
    created_at = MomentField(help_text="When the call was made.")
    recorded_at = MomentField(help_text="When the call was inserted into the ledger.")
    usage_date = DayField(help_text="The organisation's billing day.")

    class Meta:
        model = UsageRecord
        fields = [field.name for field in UsageRecord._meta.concrete_fields]
        # A label is what it is called in forms, in the language of whoever reads the schema.
        extra_kwargs = {
            name: {"label": "", "help_text": text, "read_only": True}
            for name, text in {
                "id": "",
                "content_id": "What it was made for, in the application's own terms.",
                "workflow_id": "What it was a step of.",
                "agent_id": "Empty: without an agent.",
                "request_type": "Empty: without a type.",
                "request_id": "The provider's, or one of ours where it gave none.",
                "endpoint": "The path at the provider.",
                "ai_provider": "Such as `openai`.",
                "ai_model": "As the provider named it.",
                "prompt_tokens": "Cached and cache-written ones included.",
                "completion_tokens": "Reasoning included.",
                "total_tokens": "",
                "cached_tokens": "",
                "cache_write_tokens": "",
                "reasoning_tokens": "",
                "usage": "Every unit that the provider reported.",
                "price_source": "Where the price came from; `unpriced:…` says why there is none.",
                "platform": "",
                "content_type": "",
                "task_type": "",
                "execution_time_ms": "",
                "status": "",
                "error_code": "Empty: none.",
                "request_metadata": "",
                "response_metadata": "",
            }.items()
        }

    def to_representation(self, instance: UsageRecord) -> dict[str, Any]:
        """As REST framework does it, which finds out anew for each call what its fields are: a quarter of the time."""
        names, values, shown = columns_of_calls()
        return {
            name: None if value is None else show(value)
            for name, value, show in zip(names, values(instance), shown, strict=True)
        }


@cache
def columns_of_calls() -> tuple[list[str], Callable[[UsageRecord], tuple[Any, ...]], list[Callable[[Any], Any]]]:
    """The fields' names, what takes their values of a call, and what shows each."""
    fields = CallSerializer().fields
    sources = [str(field.source) for field in fields.values()]
    return [*fields], attrgetter(*sources), [field.to_representation for field in fields.values()]


class CallsSerializer(serializers.Serializer[dict[str, Any]]):
    count = serializers.IntegerField(help_text="Of all calls that match, on whichever page; archived ones too.")
    next = serializers.URLField(allow_null=True, help_text="The next page's address; null on the last.")
    next_cursor = serializers.CharField(
        allow_null=True, help_text="What `next` has as its `cursor`; good for the same ordering."
    )
    archived_before = DayField(
        allow_null=True, help_text="Calls of the period before this day are archived and not listed; null: none are."
    )
    items = CallSerializer(many=True)
