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

from usage_billing.api.fields import STATUS, user_key_field
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


REQUESTS = "Number of calls, those that a budget stopped included."
FAILED = "Number of failed calls. They may have a cost."
REFUSED = "Number of calls that a budget stopped before they were sent. They cost nothing and are in no average."
TOKENS = "Input and output tokens."
PROMPT_TOKENS = "Input tokens, cached and cache-written ones included."
COMPLETION_TOKENS = "Output tokens, reasoning included."
USD = "USD: the priced calls. Null: there are calls, and the cost of all of them is unknown."
RUB = "RUB, at the rate of each call's day. Null: there are calls, and the cost of all of them is unknown."
UNPRICED = "Number of calls without a cost in USD, which the amounts do not include. `price_source` of a call says why."
WITHOUT_RUB = "Number of calls without a cost in RUB: the unpriced ones, and those whose day has no exchange rate."


class TotalsSerializer(serializers.Serializer[dict[str, Any]]):
    """Totals of a period."""

    total_tokens = serializers.IntegerField(help_text=TOKENS)
    cost_usd = AmountField(help_text=USD)
    cost_rub = AmountField(help_text=RUB)
    requests_count = serializers.IntegerField(help_text=REQUESTS)
    unpriced_count = serializers.IntegerField(source="unpriced_usd_count", help_text=UNPRICED)
    unpriced_rub_count = serializers.IntegerField(help_text=WITHOUT_RUB)


class SummarySerializer(serializers.Serializer[dict[str, Any]]):
    """Totals of three periods."""

    today = TotalsSerializer(help_text="The present billing day.")
    this_month = TotalsSerializer(help_text="From the first of the month to today.")
    all_time = TotalsSerializer(help_text="Every call, archived calls included; narrowed by a period if one is given.")


class MeasuresSerializer(serializers.Serializer[dict[str, Any]]):
    """All totals of a period."""

    requests_count = serializers.IntegerField(help_text=REQUESTS)
    failed_count = serializers.IntegerField(help_text=FAILED)
    refused_count = serializers.IntegerField(help_text=REFUSED)
    unpriced_count = serializers.IntegerField(source="unpriced_usd_count", help_text=UNPRICED)
    unpriced_rub_count = serializers.IntegerField(help_text=WITHOUT_RUB)
    prompt_tokens = serializers.IntegerField(help_text=PROMPT_TOKENS)
    completion_tokens = serializers.IntegerField(help_text=COMPLETION_TOKENS)
    total_tokens = serializers.IntegerField(help_text=TOKENS)
    cached_tokens = serializers.IntegerField(help_text="Input tokens read from the provider's cache.")
    cache_write_tokens = serializers.IntegerField(help_text="Input tokens written to the provider's cache.")
    reasoning_tokens = serializers.IntegerField(help_text="Output tokens that the model spent on reasoning.")
    execution_time_ms = serializers.IntegerField(help_text="Milliseconds, the sum over all calls.")
    cost_usd = AmountField(help_text=USD)
    cost_rub = AmountField(help_text=RUB)


class PeriodSerializer(serializers.Serializer[dict[str, Any]]):
    """Billing days, both included."""

    def get_fields(self) -> dict[str, Any]:
        days = {"from": "First day. Null: since the first call.", "to": "Last day. Null: the period goes on."}
        return {name: DayField(allow_null=True, help_text=text) for name, text in days.items()}


_P95 = (
    "Milliseconds that 95 % of the calls of known duration do not exceed: an estimate, interpolated between the bucket"
    " boundaries of OpenTelemetry's `gen_ai.client.operation.duration`. Null: no duration is known, or not all of them."
)


class HistoryItemSerializer(MeasuresSerializer):
    """Totals of one step."""

    date = DayField(help_text="First day of the step; of an hour, its day.")
    hour = serializers.DateTimeField(
        format="iso-8601", allow_null=True, help_text="The moment at which the hour begins. Null: another step."
    )
    p95_time_ms = RatioField(help_text=_P95)


class HistorySerializer(serializers.Serializer[dict[str, Any]]):
    """A time series."""

    period = PeriodSerializer(help_text="The days that are covered.")
    archived_before = DayField(
        allow_null=True,
        help_text="By hour, calls before this day are archived and not counted. Null: none, or another step.",
    )
    items = HistoryItemSerializer(many=True, help_text="Oldest first, without gaps: a step without calls has zeros.")


class PreviousPeriodSerializer(serializers.Serializer[dict[str, Any]]):
    """Totals of the period before, which has the same length."""

    requests_count = serializers.IntegerField(help_text=REQUESTS)
    total_tokens = serializers.IntegerField(help_text=TOKENS)
    cost_usd = AmountField(help_text=USD)
    cost_rub = AmountField(help_text=RUB)


class ChangeSerializer(serializers.Serializer[dict[str, Any]]):
    """Relative change over the period before: `0.25` is a quarter more, `0` nothing after nothing.

    Null: the period before had none, or an amount is unknown.
    """

    requests_count = RatioField(help_text="Change of the number of calls, a ratio.")
    total_tokens = RatioField(help_text="Change of the tokens, a ratio.")
    cost_usd = RatioField(help_text="Change of the cost in USD, a ratio.")
    cost_rub = RatioField(help_text="Change of the cost in RUB, a ratio.")


class ItemSerializer(MeasuresSerializer):
    """Totals with share, averages and change."""

    share = RatioField(help_text="Part of the known cost in USD of all matching calls, 0 to 1. Null: that is zero.")
    average_cost_usd = AmountField(help_text="USD for each priced call. Null: there is none.")
    average_cost_rub = AmountField(help_text="RUB for each call with a cost in RUB. Null: there is none.")
    average_time_ms = RatioField(help_text="Milliseconds for each call. Null: there are no calls.")
    p95_time_ms = RatioField(help_text=_P95)
    then = serializers.DictField(
        allow_null=True, help_text="The item's value of the dimension `then_by`. Null without that parameter."
    )
    before = PreviousPeriodSerializer(help_text="The same item in the period before.")
    change = ChangeSerializer(help_text="Change over the period before.")


class AgentItemSerializer(ItemSerializer):
    """Totals of one agent."""

    agent_id = serializers.CharField(help_text="Id of the agent. Empty: calls without an agent.")


class ModelItemSerializer(ItemSerializer):
    """Totals of one model."""

    ai_provider = serializers.CharField(help_text="Provider, such as `openai`.")
    ai_model = serializers.CharField(help_text="The provider's name of the model.")


class RequestTypeItemSerializer(ItemSerializer):
    """Totals of one request type."""

    request_type = serializers.CharField(help_text="Request type. Empty: calls without one.")


class UserItemSerializer(ItemSerializer):
    """Totals of one user."""

    user = user_key_field(allow_null=True, help_text="User's id. Null: calls without a user, such as those of jobs.")
    username = serializers.CharField(allow_null=True, help_text="Log-in name. Null: no user, or a deleted one.")


class OrgItemSerializer(ItemSerializer):
    """Totals of one organisation."""

    org = serializers.IntegerField(help_text="Organisation's id.")
    name = serializers.CharField(help_text="Organisation's name.")


_ITEMS = "In the order of `ordering`, at most `limit`."


class ProviderItemSerializer(ItemSerializer):
    """Totals of one provider."""

    ai_provider = serializers.CharField(help_text="Provider, such as `openai`.")


class StatusItemSerializer(ItemSerializer):
    """Totals of one outcome."""

    status = serializers.CharField(help_text=STATUS)


class WorkflowItemSerializer(ItemSerializer):
    """Totals of one workflow."""

    workflow_id = serializers.CharField(allow_null=True, help_text="Id of the workflow. Null: calls outside one.")


class ContentItemSerializer(ItemSerializer):
    """Totals of one piece of content."""

    content_id = serializers.CharField(allow_null=True, help_text="Id of the content. Null: calls without content.")


class TagItemSerializer(ItemSerializer):
    """Totals of one value of the tag."""

    value = serializers.CharField(help_text="Value of the tag. Empty: calls without this tag.")
    is_other = serializers.BooleanField(help_text="Whether this item counts the values beyond the bound of values.")


class BreakdownSerializer(serializers.Serializer[dict[str, Any]]):
    """A breakdown: `items` and `other` add up to `total`."""

    period = PeriodSerializer(help_text="The days that are covered.")
    previous_period = PeriodSerializer(help_text="The days before, which `before` covers. Both null: there are none.")
    total = ItemSerializer(help_text="All matching calls.")
    other = MeasuresSerializer(allow_null=True, help_text="The items beyond `limit`. Null: there are none.")


class AgentsSerializer(BreakdownSerializer):
    """A breakdown by agent."""

    items = AgentItemSerializer(many=True, help_text=_ITEMS)


class ModelsSerializer(BreakdownSerializer):
    """A breakdown by model."""

    items = ModelItemSerializer(many=True, help_text=_ITEMS)


class RequestTypesSerializer(BreakdownSerializer):
    """A breakdown by request type."""

    items = RequestTypeItemSerializer(many=True, help_text=_ITEMS)


class UsersSerializer(BreakdownSerializer):
    """A breakdown by user."""

    items = UserItemSerializer(many=True, help_text=_ITEMS)


class OrgsSerializer(BreakdownSerializer):
    """A breakdown by organisation."""

    items = OrgItemSerializer(many=True, help_text=_ITEMS)


class ProvidersSerializer(BreakdownSerializer):
    """A breakdown by provider."""

    items = ProviderItemSerializer(many=True, help_text=_ITEMS)


class StatusesSerializer(BreakdownSerializer):
    """A breakdown by status."""

    items = StatusItemSerializer(many=True, help_text=_ITEMS)


class WorkflowsSerializer(BreakdownSerializer):
    """A breakdown by workflow."""

    items = WorkflowItemSerializer(many=True, help_text=_ITEMS)


class ContentsSerializer(BreakdownSerializer):
    """A breakdown by content."""

    items = ContentItemSerializer(many=True, help_text=_ITEMS)


class TagsSerializer(BreakdownSerializer):
    """A breakdown by the values of one tag."""

    key = serializers.CharField(help_text="Key of the tag.")
    items = TagItemSerializer(many=True, help_text=_ITEMS)


class CallSerializer(serializers.ModelSerializer[UsageRecord]):
    """One call."""

    org = serializers.IntegerField(source="org_id", help_text="Id of the organisation that the call is charged to.")
    user = user_key_field(source="user_id", allow_null=True, help_text="User's id. Null: the call had no user.")
    cost_usd = AmountField(help_text="USD. Null: unknown, and `price_source` says why. `0`: free.")
    cost_rub = AmountField(help_text="RUB. Null: the cost in USD or the exchange rate is unknown.")
    known_cost_usd = AmountField(
        help_text="USD: the known part of an unknown cost, a lower bound that no total contains. Null: no such part."
    )
    usd_rub_rate = AmountField(help_text="RUB for one USD on the day of the call. Null: not known.")
    created_at = MomentField(help_text="When the call was made, in UTC.")
    recorded_at = MomentField(help_text="When the call was inserted into the ledger, in UTC.")
    usage_date = DayField(help_text="The organisation's billing day.")

    class Meta:
        model = UsageRecord
        fields = [field.name for field in UsageRecord._meta.concrete_fields]
        # Labels would stand in the schema in the reader's language.
        extra_kwargs = {
            name: {"label": "", "help_text": text, "read_only": True}
            for name, text in {
                "id": "Id of the call in the ledger.",
                "content_id": "The content that the call was made for, in the application's own ids. Null: none.",
                "workflow_id": "The workflow that the call is a step of. Null: none.",
                "agent_id": "Id of the agent. Empty: none.",
                "request_type": "Request type. Empty: none.",
                "request_id": "The provider's id of the call, or a generated one.",
                "endpoint": "The path at the provider.",
                "ai_provider": "Provider, such as `openai`.",
                "ai_model": "The provider's name of the model.",
                "prompt_tokens": PROMPT_TOKENS,
                "completion_tokens": COMPLETION_TOKENS,
                "total_tokens": TOKENS,
                "cached_tokens": "Input tokens read from the provider's cache.",
                "cache_write_tokens": "Input tokens written to the provider's cache.",
                "reasoning_tokens": "Output tokens that the model spent on reasoning.",
                "usage": "All units that the provider reported, under the provider's names.",
                "price_source": "Price list and entry; `unpriced:…` gives the reason why the cost is unknown.",
                "platform": "Where the content is published, such as `telegram`. Empty: not given.",
                "content_type": "Kind of content, such as `post`. Empty: not given.",
                "task_type": "Kind of task, such as `check`. Empty: not given.",
                "execution_time_ms": "Milliseconds from the request to the end of the answer.",
                "status": STATUS,
                "error_code": "HTTP status and the provider's error code. Empty: no error.",
                "request_metadata": "What the application said about the call. Never the prompt.",
                "response_metadata": "Cost by unit in USD (`cost_parts`), and facts of the answer. Never its text.",
                "provider_organization": "The provider's id of the organisation that paid. Empty: not known.",
                "provider_project": "The provider's id of the project or workspace. Empty: not known.",
                "api_key_fingerprint": "Tells API keys apart. Empty: no key, or one that changes every hour.",
                "provider_user_profile": "The provider's id of the user profile that paid. Empty: none.",
                "tags": "Tags of the call: key → value, texts; at most ten.",
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
    """Totals of all calls of a list."""

    failed_count = serializers.IntegerField(help_text=FAILED)
    refused_count = serializers.IntegerField(help_text=REFUSED)
    prompt_tokens = serializers.IntegerField(help_text=PROMPT_TOKENS)
    completion_tokens = serializers.IntegerField(help_text=COMPLETION_TOKENS)


class CallsSerializer(serializers.Serializer[dict[str, Any]]):
    """A page of calls."""

    count = serializers.IntegerField(
        help_text="Number of all calls that match. Archived calls are included, unless a filter is of single calls."
    )
    total = ListTotalsSerializer(help_text="Totals of the same calls, unpriced ones included.")
    next = serializers.URLField(allow_null=True, help_text="Address of the next page. Null on the last page.")
    next_cursor = serializers.CharField(
        allow_null=True, help_text="The `cursor` of the next page, for the same ordering. Null on the last page."
    )
    archived_before = DayField(
        allow_null=True, help_text="Calls before this day are archived and not listed. Null: none are archived."
    )
    items = CallSerializer(many=True, help_text="The calls of this page, in the order of `ordering`.")
