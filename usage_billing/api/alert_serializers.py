"""The fields of alert channels, rules and alerts: as they are sent, and as they are answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.utils.translation import gettext, gettext_lazy
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from usage_billing.api import filters
from usage_billing.api.body_fields import (
    BodySerializer,
    CountField,
    FlagField,
    GivenAmountField,
    GivenOrgField,
    TextField,
)
from usage_billing.api.filters import COLUMNS, NARROWING, ValuesField, check_tag_key
from usage_billing.api.serializers import AmountField, MomentField
from usage_billing.models import AlertChannel, AlertDelivery, AlertFiring, AlertRule
from usage_billing.models.daily_usage import DIMENSIONS
from usage_billing.models.fields import LARGEST_ID
from usage_billing.recording import tags
from usage_billing.reports import TAG

ORG = "Organisation: its id, or its slug. Null: the whole installation, for superadmins."
ORG_ANSWERED = "Slug of the organisation. Null: the whole installation."
NAMES = {column: name for name, column in COLUMNS.items()}
"""Columns that the API calls by another name."""
BY = {NAMES.get(column, column): column for column in DIMENSIONS}
"""Name of a dimension that a rule can watch one by one → its column."""
CHANNEL_KIND = "Where messages go: `email`, a `slack`-compatible webhook, `telegram`, or a signed `webhook`."
TARGET = "E-mail addresses with commas between them, the URL of the webhook, or the chat of the Telegram bot."
LANGUAGE = "Language of its messages, such as `en`. Empty: the organisation's."
RULE_KIND = (
    "What it watches: `budget_share` and `forecast` (of `budget`, in per cent of its limit), `spend` (far above the"
    " usual, from so many USD on), `unpriced` and `errors` (per cent of calls), `p95_time` (ms), `backlog` (events in"
    " the outbox, for superadmins), `silence` (hours without a call)."
)
RULE_SCOPE = "Calls that it watches: filters of the reports, name → value or list of values. Empty: all."
RULE_BY = "Dimension whose values are watched one by one. Empty: all calls together."
STEP = "Whether it looks at hours or at days."
BOUND = "What is too much, in the unit of `kind`."
RENOTIFY = "Hours after which it is told again while it goes on. Null: it is told once."
CHANNELS = (
    "Ids of the channels that it goes to. Empty: all active ones of the organisation; without any, e-mail to owners."
)


# ── Sent ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {
            "anyOf": [
                {"type": ["string", "integer"]},
                {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1, "maxItems": 100},
            ]
        },
    }
)
class RuleScopeField(serializers.Field[Any, Any, Any, Any]):
    """Filters of reports by name, each with a value or a list of values. Returns them by column, as rules keep them."""

    default_error_messages = {"invalid": gettext_lazy("Write filters of the reports by name, each with its values.")}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            self.fail("invalid")
        fields, found, problems = filters.value_fields(), dict[str, Any](), dict[str, Any]()
        for name, given in data.items():
            try:
                found[COLUMNS.get(str(name), str(name))] = _values(_field(name, fields), given)
            except serializers.ValidationError as error:
                problems[str(name)] = error.detail
        if problems:
            raise serializers.ValidationError(problems)
        return found


def _field(name: Any, fields: Mapping[str, Any]) -> Any:
    """The field of a filter. Organisations are named by their ids: a rule keeps what it watches."""
    if isinstance(name, str) and name.startswith(TAG):
        check_tag_key(name.removeprefix(TAG))
        return serializers.CharField(allow_blank=True, max_length=tags.VALUE_LENGTH, trim_whitespace=False)
    if name not in NARROWING:
        known = ", ".join([*NARROWING, "tag.<key>"])
        raise serializers.ValidationError(
            gettext("There is no such filter. Known filters: %(known)s.") % {"known": known}
        )
    return fields[name]


def _values(field: Any, given: Any) -> Any:
    value = ValuesField(child=field).run_validation(given if isinstance(given, list) else [given])
    return sorted(map(_plain, value), key=str) if isinstance(value, set) else _plain(value)


def _plain(value: Any) -> Any:
    """A value as JSON holds it: a user's key may be a UUID."""
    return value if value is None or isinstance(value, str | int) else str(value)


class ChannelBody(BodySerializer):
    """A channel as it is sent."""

    answered = frozenset({"id", "has_secret", "new_secret"})

    name = TextField(max_length=100, help_text="Name, unique in the organisation.")
    org = GivenOrgField(
        min_value=1, max_value=LARGEST_ID, allow_null=True, default=None, help_text=f"{ORG} It does not change."
    )
    kind = serializers.ChoiceField(choices=AlertChannel.Kind.values, help_text=CHANNEL_KIND)
    target = TextField(max_length=1000, help_text=TARGET)
    secret = TextField(
        max_length=500,
        allow_blank=True,
        required=False,
        write_only=True,
        trim_whitespace=True,
        help_text="Key that signs a `webhook` (`whsec_…`), or token of a Telegram bot. It is stored encrypted and never"
        " answered. A webhook without one gets one.",
    )
    language = serializers.ChoiceField(
        choices=[code for code, _ in settings.LANGUAGES], allow_blank=True, default="", help_text=LANGUAGE
    )
    is_active = FlagField(default=True, help_text="Whether alerts go there.")


class RuleBody(BodySerializer):
    """A rule as it is sent."""

    answered = frozenset({"id"})

    name = TextField(max_length=100, help_text="Name, unique in the organisation.")
    org = GivenOrgField(
        min_value=1, max_value=LARGEST_ID, allow_null=True, default=None, help_text=f"{ORG} It does not change."
    )
    kind = serializers.ChoiceField(choices=AlertRule.Kind.values, help_text=f"{RULE_KIND} It does not change.")
    budget = CountField(
        min_value=1, max_value=LARGEST_ID, allow_null=True, default=None, help_text="Id of the budget that it watches."
    )
    scope = RuleScopeField(default=dict, help_text=RULE_SCOPE)
    by = serializers.ChoiceField(choices=list(BY), allow_blank=True, default="", help_text=RULE_BY)
    step = serializers.ChoiceField(choices=AlertRule.Step.values, default=AlertRule.Step.DAY, help_text=STEP)
    bound = GivenAmountField(default=0, help_text=BOUND)
    renotify_hours = CountField(min_value=1, max_value=10_000, allow_null=True, default=None, help_text=RENOTIFY)
    channels = serializers.ListField(
        child=CountField(min_value=1, max_value=LARGEST_ID), max_length=50, default=list, help_text=CHANNELS
    )
    is_active = FlagField(default=True, help_text="Whether it is watched.")


# ── Answered ─────────────────────────────────────────────────────────────────────────────────────────────────────


class ChannelSerializer(serializers.ModelSerializer[AlertChannel]):
    """A place that alerts go to."""

    org = serializers.SerializerMethodField(help_text=ORG_ANSWERED)
    has_secret = serializers.SerializerMethodField(help_text="Whether a secret is stored.")
    new_secret = serializers.SerializerMethodField(
        help_text="The secret that was made up by this request, for your program: it is told once. Null: none was."
    )

    class Meta:
        model = AlertChannel
        fields = ("id", "name", "org", "kind", "target", "has_secret", "new_secret", "language", "is_active")
        extra_kwargs = {
            name: {"label": "", "help_text": text, "read_only": True}
            for name, text in {
                "id": "Id of the channel.",
                "name": "Name, unique in the organisation.",
                "kind": CHANNEL_KIND,
                "target": TARGET,
                "language": LANGUAGE,
                "is_active": "Whether alerts go there.",
            }.items()
        }

    def get_org(self, channel: AlertChannel) -> str | None:
        return channel.org.slug if channel.org else None

    def get_has_secret(self, channel: AlertChannel) -> bool:
        """Without reading it: a key that is gone hides no channel."""
        return bool(channel.__dict__.get("secret"))

    def get_new_secret(self, channel: AlertChannel) -> str | None:
        return self.context.get("new_secret") or None


class RuleSerializer(serializers.ModelSerializer[AlertRule]):
    """What raises an alert."""

    org = serializers.SerializerMethodField(help_text=ORG_ANSWERED)
    budget = serializers.IntegerField(source="budget_id", allow_null=True, help_text="Id of the budget. Null: none.")
    scope = serializers.SerializerMethodField(help_text=RULE_SCOPE)
    by = serializers.SerializerMethodField(help_text=RULE_BY)
    bound = AmountField(allow_null=False, help_text=BOUND)
    channels = serializers.SerializerMethodField(help_text=CHANNELS)

    class Meta:
        model = AlertRule
        fields = (
            "id", "name", "org", "kind", "budget", "scope", "by", "step", "bound", "renotify_hours", "channels",
            "is_active",
        )  # fmt: skip
        extra_kwargs = {
            name: {"label": "", "help_text": text, "read_only": True}
            for name, text in {
                "id": "Id of the rule.",
                "name": "Name, unique in the organisation.",
                "kind": RULE_KIND,
                "step": STEP,
                "renotify_hours": RENOTIFY,
                "is_active": "Whether it is watched.",
            }.items()
        }

    def get_org(self, rule: AlertRule) -> str | None:
        return rule.org.slug if rule.org else None

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_scope(self, rule: AlertRule) -> dict[str, Any]:
        return {NAMES.get(column, column): value for column, value in rule.scope.items()}

    def get_by(self, rule: AlertRule) -> str:
        return NAMES.get(rule.by, rule.by)

    def get_channels(self, rule: AlertRule) -> list[int]:
        return sorted(channel.pk for channel in rule.channels.all())


class DeliverySerializer(serializers.ModelSerializer[AlertDelivery]):
    """A message about an alert."""

    channel = serializers.IntegerField(
        source="channel_id", allow_null=True, help_text="Id of the channel. Null: a person."
    )
    created_at = MomentField(help_text="When it was written, in UTC.")
    sent_at = MomentField(allow_null=True, help_text="When it was taken, in UTC. Null: not yet.")

    class Meta:
        model = AlertDelivery
        fields = ("channel", "recipient", "event", "state", "attempts", "problem", "created_at", "sent_at")
        extra_kwargs = {
            name: {"label": "", "help_text": text, "read_only": True}
            for name, text in {
                "recipient": "E-mail address. Empty: the channel says where.",
                "event": "What it tells: `firing`, `still_firing`, `resolved`, or a `test`.",
                "state": "Whether it is `waiting`, `sent`, or given up (`failed`).",
                "attempts": "Number of attempts.",
                "problem": "Why the last attempt failed. Empty: it did not.",
            }.items()
        }


class FiringSerializer(serializers.ModelSerializer[AlertFiring]):
    """An alert, with how it was told."""

    org = serializers.SerializerMethodField(help_text=ORG_ANSWERED)
    rule = serializers.IntegerField(
        source="rule_id", allow_null=True, help_text="Id of the rule. Null: one of a budget's own thresholds."
    )
    budget = serializers.IntegerField(source="budget_id", allow_null=True, help_text="Id of the budget. Null: none.")
    ended = serializers.CharField(
        help_text="Why it is over: `below` again, its `window` has ended, or it is `unwatched`. Empty: it goes on."
    )
    value = AmountField(help_text="What was found when it began. Null: unknown.")
    bound = AmountField(allow_null=False, help_text="What was crossed.")
    began_at = MomentField(help_text="When it began, in UTC.")
    told_at = MomentField(allow_null=True, help_text="When it was last told, in UTC. Null: not yet.")
    resolved_at = MomentField(allow_null=True, help_text="When it was over, in UTC. Null: it goes on.")
    deliveries = DeliverySerializer(many=True, help_text="Messages about it, newest first.")

    class Meta:
        model = AlertFiring
        fields = (
            "id", "org", "rule", "budget", "key", "state", "ended", "value", "bound", "began_at", "told_at",
            "resolved_at", "deliveries",
        )  # fmt: skip
        extra_kwargs = {
            name: {"label": "", "help_text": text, "read_only": True}
            for name, text in {
                "id": "Id of the alert.",
                "key": "What crossed: window and share of a budget (`2026-11-01/80`), or a value of `by`; empty: all.",
                "state": "Whether it is `firing` or `resolved`.",
            }.items()
        }

    def get_org(self, firing: AlertFiring) -> str | None:
        return firing.org.slug if firing.org else None


class ChannelsSerializer(serializers.Serializer[dict[str, Any]]):
    """A page of channels."""

    count = serializers.IntegerField(help_text="Number of all channels that match.")
    items = ChannelSerializer(many=True, help_text="The channels of this page, by name.")


class RulesSerializer(serializers.Serializer[dict[str, Any]]):
    """A page of rules."""

    count = serializers.IntegerField(help_text="Number of all rules that match.")
    items = RuleSerializer(many=True, help_text="The rules of this page, by name.")


class FiringsSerializer(serializers.Serializer[dict[str, Any]]):
    """A page of alerts."""

    count = serializers.IntegerField(help_text="Number of all alerts that match.")
    items = FiringSerializer(many=True, help_text="The alerts of this page, newest first.")


class TestedSerializer(serializers.Serializer[dict[str, Any]]):
    """What came of a test."""

    deliveries = DeliverySerializer(many=True, help_text="One for each address.")
