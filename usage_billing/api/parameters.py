"""Report parameters: reads the query of a request, the same for every endpoint."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from usage_billing.api.fields import LARGEST_ID, WholeNumberField, user_key_field
from usage_billing.api.serializers import DayField
from usage_billing.models import UsageRecord
from usage_billing.reports import ORDERINGS, STEPS, Period
from usage_billing.tenancy.scope import Scope

DEFAULT_DAYS = 30
LONGEST_DAYS = 3660
LARGEST_PAGE = 1000
DEEPEST_OFFSET = 100_000
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2199, 12, 31)

NARROWING = (
    "org",
    "user",
    "agent_id",
    "ai_provider",
    "ai_model",
    "request_type",
    "workflow_id",
    "content_id",
    "status",
    "provider_organization",
    "provider_project",
    "api_key",
    "user_profile",
)
COLUMNS = {
    "org": "org_id",
    "user": "user_id",
    "api_key": "api_key_fingerprint",
    "user_profile": "provider_user_profile",
}
"""Columns of the filters with another name."""


def _text(column: str, **options: Any) -> serializers.CharField:
    """Accept any text that fits the column, unchanged."""
    fields = {field.name: field for field in UsageRecord._meta.concrete_fields}
    longest = fields[column].max_length
    return serializers.CharField(required=False, max_length=longest, trim_whitespace=False, **options)


def _days(help_text: str) -> serializers.IntegerField:
    return WholeNumberField(required=False, min_value=1, max_value=LONGEST_DAYS, help_text=help_text)


class FiltersSerializer(serializers.Serializer[dict[str, Any]]):
    """Filters and the period, for every endpoint. Filters narrow the caller's scope and never widen it.

    The period is `from` to `to`, or a number of days that ends with `to`, or with today.
    """

    default_days: int | None = None
    """The period if the query names none; None: all time."""

    org = WholeNumberField(required=False, min_value=1, max_value=LARGEST_ID, help_text="Organisation's id.")
    user = user_key_field(required=False, min_value=1, help_text="User's id.")
    agent_id = _text("agent_id", allow_blank=True, help_text="Empty: calls without an agent.")
    ai_provider = _text("ai_provider", help_text="For example `openai`.")
    ai_model = _text("ai_model", help_text="For example `gpt-4.1-mini`.")
    request_type = _text("request_type", allow_blank=True, help_text="Empty: calls without a type.")
    workflow_id = _text("workflow_id")
    content_id = _text("content_id")
    status = serializers.ChoiceField(required=False, choices=UsageRecord.Status.choices)
    provider_organization = _text(
        "provider_organization", allow_blank=True, help_text="The provider's id of the organisation that paid."
    )
    provider_project = _text(
        "provider_project", allow_blank=True, help_text="The provider's id of the project or workspace."
    )
    api_key = _text(
        "api_key_fingerprint", allow_blank=True, help_text="`api_key_fingerprint` of a call, never the key itself."
    )
    user_profile = _text(
        "provider_user_profile", allow_blank=True, help_text="The provider's id of the user profile that paid."
    )
    days = _days("Number of days that end with `to`, or with today.")
    period_days = _days("The same as `days`.")

    def get_fields(self) -> dict[str, Any]:
        # `from` is a keyword of Python.
        day = {"from": "First billing day, for example 2026-01-31.", "to": "Last billing day, included."}
        return {
            **super().get_fields(),
            **{name: DayField(required=False, help_text=text) for name, text in day.items()},
        }

    def to_internal_value(self, data: Mapping[str, Any]) -> dict[str, Any]:
        unknown = set(data) - set(self.fields)
        if unknown:
            known = ", ".join(self.fields)
            raise serializers.ValidationError(
                {
                    name: [_("There is no such parameter here. Known are: %(known)s.") % {"known": known}]
                    for name in sorted(unknown)
                }
            )
        given: dict[str, Any] = super().to_internal_value(data)
        return given

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for name in ("from", "to"):
            if name in attrs and not FIRST_DAY <= attrs[name] <= LAST_DAY:
                raise serializers.ValidationError(
                    {name: _("A day between %(first)s and %(last)s.") % {"first": FIRST_DAY, "last": LAST_DAY}}
                )
        if "from" in attrs and "to" in attrs and attrs["to"] < attrs["from"]:
            raise serializers.ValidationError({"to": _("This day is before “from”.")})
        lengths = [name for name in ("days", "period_days", "from") if name in attrs]
        if len(lengths) > 1:
            raise serializers.ValidationError(
                {lengths[0]: _("Give either this or “%(other)s”, not both.") % {"other": lengths[1]}}
            )
        return attrs


class SummarySerializer(FiltersSerializer):
    pass


class BreakdownSerializer(FiltersSerializer):
    default_days = DEFAULT_DAYS

    limit = WholeNumberField(
        default=200,
        min_value=1,
        max_value=LARGEST_PAGE,
        help_text="The number of items with the highest cost; `other` sums up the rest.",
    )


class HistorySerializer(FiltersSerializer):
    default_days = DEFAULT_DAYS

    step = serializers.ChoiceField(default="day", choices=list(STEPS), help_text="A week begins on Monday.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        # The answer lists each day, also days without calls.
        if "from" in attrs and (attrs.get("to") or LAST_DAY) - attrs["from"] >= timedelta(days=LONGEST_DAYS):
            raise serializers.ValidationError(
                {"from": _("At most %(days)d days at a time; give “to” as well.") % {"days": LONGEST_DAYS}}
            )
        return attrs


class DetailedSerializer(FiltersSerializer):
    ordering = serializers.ChoiceField(
        default="-created_at",
        choices=[sign + name for name in ORDERINGS for sign in ("", "-")],
        help_text="With a minus: largest first. Ordering by `cost_usd` leaves out unpriced calls.",
    )
    limit = WholeNumberField(default=100, min_value=1, max_value=LARGEST_PAGE)
    offset = WholeNumberField(
        default=0,
        min_value=0,
        max_value=DEEPEST_OFFSET,
        help_text="For deep pages follow `next`, which is quick at any depth.",
    )
    cursor = serializers.CharField(required=False, max_length=500, help_text="`next_cursor` of the previous page.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if "cursor" in attrs:
            if attrs["offset"]:
                raise serializers.ValidationError({"offset": _("Give either this or “cursor”, not both.")})
            attrs["after"] = _position(attrs["cursor"], attrs["ordering"])
        return attrs


class ExportSerializer(FiltersSerializer):
    def get_fields(self) -> dict[str, Any]:
        formats = serializers.ChoiceField(default="csv", choices=["csv", "jsonl", "xlsx"])
        return {**super().get_fields(), "format": formats}


@dataclass(frozen=True)
class ReportParameters:
    """Filters by column, the period, and all parameters as given."""

    filters: dict[str, Any]
    period: Period
    given: dict[str, Any]


def report_parameters(serializer: type[FiltersSerializer], query: Any, scope: Scope, now: datetime) -> ReportParameters:
    """Parse a query. Raises DRF's `ValidationError`, which names each wrong parameter."""
    repeated = [name for name in query if len(query.getlist(name)) > 1]
    if repeated:
        raise serializers.ValidationError({name: [_("Give this once.")] for name in repeated})
    parsed = serializer(data=query.dict())
    parsed.is_valid(raise_exception=True)
    given = parsed.validated_data
    filters = {COLUMNS.get(name, name): given[name] for name in NARROWING if name in given}
    return ReportParameters(filters, _period(serializer, given, scope.today(now)), given)


def _period(serializer: type[FiltersSerializer], given: Mapping[str, Any], today: date) -> Period:
    last = given.get("to")
    until = None if last is None else last + timedelta(days=1)
    if "from" in given:
        return Period(given["from"], until)
    days = given.get("days") or given.get("period_days") or serializer.default_days
    return Period(None if days is None else (last or today) - timedelta(days=days - 1), until)


# ── Cursors ──────────────────────────────────────────────────────────────────────────────────────────────────────


def cursor(ordering: str, position: tuple[Any, int]) -> str:
    """Encode the position where the next page begins. A cursor is opaque, and grants no access."""
    value, id_ = position
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return urlsafe_b64encode(msgspec.json.encode([ordering, text, id_])).decode().rstrip("=")


def _position(text: str, ordering: str) -> tuple[Any, int]:
    try:
        packed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        made_for, value, id_ = msgspec.json.decode(packed, type=tuple[str, str, int])
        if made_for == ordering and 0 <= id_ <= LARGEST_ID:
            column = UsageRecord._meta.get_field(ordering.removeprefix("-"))
            position: Any = column.clean(value, None)  # type: ignore[union-attr]  # within the column's bounds
            if isinstance(position, datetime) and position.tzinfo is None:
                raise ValueError("a moment without a zone")
            # Near the years 1 and 9999 a moment may have no UTC.
            return (position.astimezone(UTC) if isinstance(position, datetime) else position), id_
    except (ValueError, OverflowError, msgspec.DecodeError, DjangoValidationError):
        pass  # refused below, like a cursor of another ordering
    raise serializers.ValidationError(
        {"cursor": _("This cursor does not belong to this ordering. Take one from “next_cursor”, or leave it out.")}
    )
