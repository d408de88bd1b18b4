"""The fields of budgets, of their history and of requests for higher limits, as they are sent and answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from usage_billing.api.body_fields import (
    BodySerializer,
    CountField,
    FlagField,
    GivenAmountField,
    GivenOrgField,
    TextField,
)
from usage_billing.api.fields import user_key_field
from usage_billing.api.serializers import AmountField, DayField, MomentField
from usage_billing.budgets import history
from usage_billing.models import Budget, BudgetRequest
from usage_billing.models.budget import DEFAULT_THRESHOLDS
from usage_billing.models.fields import LARGEST_ID
from usage_billing.recording import tags

SCOPE = "Which calls it counts. `null`: any."
ORG = "Organisation: its id, or its slug."
LIMIT = "The limit, in `unit`."
WINDOW = (
    "What it counts: the organisation's billing `day`, `week` (from Monday), `month`, or the `total` from `starts_on`."
)
UNIT = "What `limit` and the figures are in."
MODE = (
    "What happens at the limit: `alert`: people are told; `stop`: calls beyond it are refused before they are sent;"
    " `downgrade`: assistants use `replacement` beyond it."
)
THRESHOLDS = "Shares of the limit, in per cent and rising, at which people are told. Empty: at none."
WHEN_UNAVAILABLE = (
    "Whether a `stop` budget lets calls through (`open`) or refuses them (`closed`) without the database."
)
REPLACEMENT = "The cheaper model of the mode `downgrade`, as `provider:model`."
STARTS_ON = "First day of the window `total`. By default the organisation's present day."
IS_ACTIVE = "Whether it counts, tells and stops."
OF_MEMBERS = " Null: the caller may not know what others spend."


# ── Sent ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _scope_text(column: str, help_text: str) -> TextField:
    longest = Budget._meta.get_field(column).max_length  # type: ignore[union-attr]  # a column of text
    return TextField(max_length=longest, required=False, allow_null=True, allow_blank=True, help_text=help_text)


@extend_schema_field(
    {
        "anyOf": [
            {"type": "string", "maxLength": tags.KEY_LENGTH + 1 + tags.VALUE_LENGTH},
            {
                "type": "object",
                "properties": {
                    "key": {"type": "string", "description": "Key of the tag."},
                    "value": {"type": "string", "description": "Value of the tag."},
                },
                "required": ["key", "value"],
                "additionalProperties": False,
            },
            {"type": "null"},
        ]
    }
)
class TagField(serializers.Field[Any, Any, Any, Any]):
    """A tag as `key=value`, as filters write it, or as `{"key": …, "value": …}`. Null or empty: any tags."""

    default_error_messages = {"invalid": gettext_lazy("Write a tag as “key=value”, such as “feature=search”.")}

    def to_internal_value(self, data: Any) -> tuple[str, str]:
        if isinstance(data, Mapping) and set(data) == {"key", "value"}:
            parts: tuple[Any, Any] = (data["key"], data["value"])
        elif isinstance(data, str):
            key, equals, value = data.partition("=")
            parts = (key, value) if equals or not data else (None, None)
        else:
            parts = (None, None)
        key, value = parts
        if not isinstance(key, str) or not isinstance(value, str) or "\0" in key + value:
            self.fail("invalid")
        if len(key) > tags.KEY_LENGTH or len(value) > tags.VALUE_LENGTH:
            self.fail("invalid")
        return key, value


class BudgetScopeBody(BodySerializer):
    """Which calls a budget counts. What is left out, null or empty narrows nothing."""

    agent_id = _scope_text("agent_id", "Id of the agent.")
    request_type = _scope_text("request_type", "Request type.")
    ai_provider = _scope_text("ai_provider", "Provider, such as `openai`.")
    ai_model = _scope_text("ai_model", "Model by the provider's name; its dated versions count too.")
    tag = TagField(required=False, allow_null=True, help_text="Tag of the calls, as `key=value`, or as an object.")

    def get_fields(self) -> dict[str, Any]:
        user = user_key_field(required=False, allow_null=True, help_text="User's id.")
        return {"user": user, **super().get_fields()}


class BudgetBody(BodySerializer):
    """A budget as it is sent."""

    answered = frozenset(
        {"id", "spent", "reserved", "remaining", "resets_at", "forecast", "runs_out_on", "unpriced_count"}
        | {"is_used_up", "is_superadmins", "may_change"}
    )

    name = TextField(max_length=100, help_text="Name, unique in the organisation.")
    org = GivenOrgField(min_value=1, max_value=LARGEST_ID, help_text=f"{ORG} It does not change.")
    scope = BudgetScopeBody(required=False, allow_null=True, help_text=SCOPE)
    window = serializers.ChoiceField(choices=Budget.Window.values, default=Budget.Window.MONTH, help_text=WINDOW)
    limit = GivenAmountField(help_text=LIMIT)
    unit = serializers.ChoiceField(choices=Budget.Unit.values, default=Budget.Unit.USD, help_text=UNIT)
    mode = serializers.ChoiceField(choices=Budget.Mode.values, default=Budget.Mode.ALERT, help_text=MODE)
    thresholds = serializers.ListField(
        child=CountField(min_value=1, max_value=1000),
        max_length=20,
        default=list(DEFAULT_THRESHOLDS),
        help_text=THRESHOLDS,
    )
    when_unavailable = serializers.ChoiceField(
        choices=Budget.WhenUnavailable.values, default=Budget.WhenUnavailable.OPEN, help_text=WHEN_UNAVAILABLE
    )
    replacement = TextField(max_length=250, default="", allow_blank=True, help_text=REPLACEMENT)
    starts_on = DayField(required=False, allow_null=True, help_text=STARTS_ON)
    is_active = FlagField(default=True, help_text=IS_ACTIVE)


def values_of(given: Mapping[str, Any], *, is_whole: bool) -> dict[str, Any]:
    """The values of `budgets.editing` in validated data. is_whole: a scope that is left out narrows nothing."""
    values = {name: value for name, value in given.items() if name not in ("org", "scope")}
    if values.get("starts_on", "") is None:
        del values["starts_on"]
    scope = dict(given.get("scope") or {})
    if is_whole or ("scope" in given and given["scope"] is None):
        scope = dict.fromkeys(BudgetScopeBody().fields) | scope
    if "user" in scope:
        values["user_id"] = scope.pop("user")
    if "tag" in scope:
        values["tag_key"], values["tag_value"] = scope.pop("tag") or ("", "")
    return values | {name: value or "" for name, value in scope.items()}


class AskBody(BodySerializer):
    """A request for a higher limit, as it is sent."""

    budget = CountField(min_value=1, max_value=LARGEST_ID, help_text="Id of the budget.")
    limit = GivenAmountField(help_text="The limit that is wanted, in the budget's unit.")
    reason = TextField(max_length=500, default="", allow_blank=True, help_text="Why, for whoever answers.")


class AnswerBody(BodySerializer):
    """The answer to a request."""

    state = serializers.ChoiceField(
        choices=[BudgetRequest.State.GRANTED.value, BudgetRequest.State.REFUSED.value],
        help_text="The answer: `granted` sets the budget's limit; `refused` changes nothing.",
    )
    limit = GivenAmountField(
        required=False, help_text="The limit that is granted, above the present one. By default the one that is wanted."
    )


# ── Answered ─────────────────────────────────────────────────────────────────────────────────────────────────────


@extend_schema_field({"type": "string", "format": "date-time"})
class LocalMomentField(serializers.Field[Any, Any, Any, Any]):
    """A moment of ISO 8601 in the zone that it comes with."""

    def to_representation(self, value: datetime) -> str:
        return value.isoformat()


class BudgetScopeSerializer(serializers.Serializer[dict[str, Any]]):
    """Which calls a budget counts; null narrows nothing."""

    agent_id = serializers.CharField(allow_null=True, help_text="Id of the agent.")
    request_type = serializers.CharField(allow_null=True, help_text="Request type.")
    ai_provider = serializers.CharField(allow_null=True, help_text="Provider, such as `openai`.")
    ai_model = serializers.CharField(allow_null=True, help_text="Model; its dated versions count too.")
    tag = serializers.CharField(allow_null=True, help_text="Tag of the calls, as `key=value`.")

    def get_fields(self) -> dict[str, Any]:
        return {"user": user_key_field(allow_null=True, help_text="User's id."), **super().get_fields()}


class BudgetSerializer(serializers.Serializer[dict[str, Any]]):
    """A budget and the state of its present window."""

    id = serializers.IntegerField(help_text="Id of the budget.")
    name = serializers.CharField(help_text="Name, unique in the organisation.")
    org = serializers.CharField(help_text="Slug of the organisation.")
    scope = BudgetScopeSerializer(help_text=SCOPE)
    window = serializers.ChoiceField(choices=Budget.Window.values, help_text=WINDOW)
    limit = AmountField(allow_null=False, help_text=LIMIT)
    unit = serializers.ChoiceField(choices=Budget.Unit.values, help_text=UNIT)
    mode = serializers.ChoiceField(choices=Budget.Mode.values, help_text=MODE)
    thresholds = serializers.ListField(child=serializers.IntegerField(), help_text=THRESHOLDS)
    when_unavailable = serializers.ChoiceField(choices=Budget.WhenUnavailable.values, help_text=WHEN_UNAVAILABLE)
    replacement = serializers.CharField(help_text=f"{REPLACEMENT} Empty: none.")
    starts_on = DayField(help_text="First day of the window `total`.")
    is_active = serializers.BooleanField(help_text=IS_ACTIVE)
    is_superadmins = serializers.BooleanField(help_text="Whether a superadmin has set it: owners cannot change it.")
    may_change = serializers.BooleanField(help_text="Whether the caller may change and delete it.")
    is_used_up = serializers.BooleanField(help_text="Whether all of the limit is spent.")
    spent = AmountField(help_text=f"What its calls have used in the window, in `unit`.{OF_MEMBERS}")
    reserved = AmountField(help_text=f"What calls under way hold, in `unit`.{OF_MEMBERS}")
    remaining = AmountField(help_text=f"The limit less `spent` and `reserved`; may be negative.{OF_MEMBERS}")
    unpriced_count = serializers.IntegerField(
        allow_null=True, help_text=f"Number of calls without a cost, which `spent` leaves out.{OF_MEMBERS}"
    )
    resets_at = LocalMomentField(
        allow_null=True, help_text="When the next window begins, in the organisation's zone. Null: the window `total`."
    )
    forecast = AmountField(
        help_text="What is expected to be spent at the end of the window. Null: a total, too little history, or not"
        " the caller's to know."
    )
    runs_out_on = DayField(
        allow_null=True,
        help_text="The day on which it is expected to be used up; today if it is. Null: not in this window, or not the"
        " caller's to know.",
    )


class BudgetsSerializer(serializers.Serializer[dict[str, Any]]):
    """A page of budgets."""

    count = serializers.IntegerField(help_text="Number of all budgets that match.")
    items = BudgetSerializer(many=True, help_text="The budgets of this page, by name.")


class BudgetChangeSerializer(serializers.Serializer[Any]):
    """A change of a budget."""

    at = MomentField(help_text="When, in UTC.")
    by = serializers.CharField(help_text="Who: the log-in name.")
    action = serializers.SerializerMethodField(help_text="What: `created`, `changed` or `deleted`.")
    name = serializers.CharField(source="budget_name", help_text="Name of the budget then.")
    changes = serializers.DictField(
        source="fields",
        child=serializers.ListField(child=serializers.CharField()),
        help_text="Field → its value before and after, as text. `requested_by`: whose request was granted.",
    )

    def get_action(self, change: Any) -> str:
        return history.action_of(change)


class BudgetHistorySerializer(serializers.Serializer[dict[str, Any]]):
    """A page of a budget's history."""

    count = serializers.IntegerField(help_text="Number of all changes.")
    items = BudgetChangeSerializer(many=True, help_text="The changes of this page, newest first.")


class AskedLimitSerializer(serializers.Serializer[dict[str, Any]]):
    """A request for a higher limit."""

    id = serializers.IntegerField(help_text="Id of the request.")
    org = serializers.CharField(help_text="Slug of the organisation.")
    budget = serializers.IntegerField(help_text="Id of the budget.")
    budget_name = serializers.CharField(help_text="Name of the budget.")
    username = serializers.CharField(allow_null=True, help_text="Log-in name of the person. Null: it is not known.")
    limit = AmountField(allow_null=False, help_text="The limit that is wanted, in the budget's unit.")
    reason = serializers.CharField(help_text="Why, in the person's words.")
    state = serializers.ChoiceField(choices=BudgetRequest.State.values, help_text="State of the request.")
    created_at = MomentField(help_text="When it was sent, in UTC.")
    answered_by = serializers.CharField(help_text="Log-in name of whoever answered. Empty: nobody yet.")
    answered_at = MomentField(allow_null=True, help_text="When it was answered, in UTC. Null: not yet.")

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        return {**fields, "user": user_key_field(help_text="Id of the person who asks.")}


class AskedLimitsSerializer(serializers.Serializer[dict[str, Any]]):
    """A page of requests for higher limits."""

    count = serializers.IntegerField(help_text="Number of all requests that match.")
    items = AskedLimitSerializer(many=True, help_text="The requests of this page, newest first.")
