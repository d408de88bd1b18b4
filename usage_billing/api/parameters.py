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

from usage_billing.api import filters
from usage_billing.api.fields import WholeNumberField
from usage_billing.api.filters import COLUMNS as COLUMNS
from usage_billing.api.filters import NARROWING as NARROWING
from usage_billing.api.groups import GROUPS
from usage_billing.api.serializers import DayField
from usage_billing.models import UsageRecord
from usage_billing.models.fields import LARGEST_ID
from usage_billing.recording import tags
from usage_billing.reports import ALL_STEPS, FIGURES, ORDERINGS, TAG, Period
from usage_billing.reports.time_series import LONGEST_BY_HOUR
from usage_billing.tenancy.scope import Scope

DEFAULT_DAYS = 30
DEFAULT_DAYS_BY_HOUR = 2
LONGEST_DAYS = 3660
LARGEST_PAGE = 1000
DEEPEST_OFFSET = 100_000
API_NAMES = {"unpriced_usd_count": "unpriced_count"}
"""Measures that the API calls by another name."""
ROW_ORDERINGS = tuple(API_NAMES.get(name, name) for name in FIGURES)
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2199, 12, 31)


def _days(help_text: str) -> serializers.IntegerField:
    return WholeNumberField(required=False, min_value=1, max_value=LONGEST_DAYS, help_text=help_text)


class FiltersSerializer(serializers.Serializer[dict[str, Any]]):
    """Filters and the period, for every endpoint. Filters narrow the caller's scope and never widen it.

    The period is `from` to `to`, or a number of days that ends with `to`, or with today.
    """

    default_days: int | None = None
    """The period if the query names none; None: all time."""

    days = _days("Number of billing days that end with `to`, or with today.")
    period_days = _days("Another name of `days`.")

    with_single_call_filters = False

    def get_fields(self) -> dict[str, Any]:
        # `from` is a keyword of Python.
        day = {
            "from": "First billing day, such as `2026-01-31`. Instead of `days`.",
            "to": "Last billing day, included, such as `2026-02-28`. Without it the period goes on.",
        }
        declared = super().get_fields()
        values = filters.value_fields() | {name: declared.pop(name) for name in filters.NARROWING if name in declared}
        if self.with_single_call_filters:
            values |= filters.single_call_fields()
        return {
            **dict(filters.repeated(values)),
            **declared,
            **{name: DayField(required=False, help_text=text) for name, text in day.items()},
        }

    def to_internal_value(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Parse values, or lists of values: of a filter there may be several."""
        tags_given, errors = filters.parsed_tags(data)
        rest = {name: value for name, value in data.items() if not name.startswith(TAG)}
        if unknown := [name for name in rest if name not in self.fields]:
            known = ", ".join(self._named())
            text = _("There is no such parameter here. Known parameters: %(known)s.") % {"known": known}
            raise serializers.ValidationError({name: [text] for name in sorted(unknown)})
        lists = {name: value for name, value in rest.items() if isinstance(value, list)}
        once = [name for name in lists if not isinstance(self.fields[name], filters.ValuesField)]
        if repeated := [name for name in once if len(lists[name]) > 1]:
            raise serializers.ValidationError({name: [_("Give this once.")] for name in repeated})
        try:
            given = super().to_internal_value({**rest, **{name: lists[name][0] for name in once if lists[name]}})
        except serializers.ValidationError as error:
            raise serializers.ValidationError({**error.detail, **errors}) from None  # type: ignore[dict-item]
        if errors:
            raise serializers.ValidationError(errors)
        return filters.combined({**given, **tags_given}, (*filters.NARROWING, *filters.OF_SINGLE_CALLS))

    def _named(self) -> list[str]:
        """The names of all parameters, for people."""
        return [*(name for name, field in self.fields.items() if not getattr(field, "excludes", False)), "tag.<key>"]

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
        help_text="The number of items; `other` sums up the rest.",
    )
    ordering = serializers.ChoiceField(
        default="-cost_usd",
        choices=[sign + name for name in ROW_ORDERINGS for sign in ("", "-")],
        help_text="With a minus: largest first. Items without the figure come last.",
    )
    then_by = serializers.RegexField(
        rf"^({'|'.join(GROUPS)}|tag\.[\w.:-]{{1,{tags.KEY_LENGTH}}})$",
        required=False,
        help_text="A second dimension, by whose values each item is divided: "
        + ", ".join(f"`{name}`" for name in GROUPS)
        + ", or `tag.<key>`.",
    )


class TagSerializer(BreakdownSerializer):
    key = serializers.RegexField(
        rf"^[\w.:-]{{1,{tags.KEY_LENGTH}}}$", help_text="The key of the tag, for example `feature`."
    )


class HistorySerializer(FiltersSerializer):
    default_days = DEFAULT_DAYS

    step = serializers.ChoiceField(
        default="day",
        choices=list(ALL_STEPS),
        help_text=f"Length of a step. A week begins on Monday. At most {LONGEST_BY_HOUR} days by hour, without archived"
        " calls.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        # The answer lists each day, also days without calls.
        if "from" in attrs and (attrs.get("to") or LAST_DAY) - attrs["from"] >= timedelta(days=LONGEST_DAYS):
            raise serializers.ValidationError(
                {"from": _("At most %(days)d days at a time; give “to” as well.") % {"days": LONGEST_DAYS}}
            )
        if attrs["step"] == "hour" and not {"days", "period_days", "from"} & attrs.keys():
            attrs["days"] = DEFAULT_DAYS_BY_HOUR
        return attrs


class DetailedSerializer(FiltersSerializer):
    with_single_call_filters = True

    ordering = serializers.ChoiceField(
        default="-created_at",
        choices=[sign + name for name in ORDERINGS for sign in ("", "-")],
        help_text="Column to sort by; with a minus, largest first. `cost_usd` leaves out unpriced calls.",
    )
    limit = WholeNumberField(
        default=100, min_value=1, max_value=LARGEST_PAGE, help_text="The number of calls of a page."
    )
    offset = WholeNumberField(
        default=0,
        min_value=0,
        max_value=DEEPEST_OFFSET,
        help_text="The number of calls to skip. For deep pages follow `next`, which is quick at any depth.",
    )
    cursor = serializers.CharField(
        required=False, max_length=500, help_text="Continues a list: `next_cursor` of the page before."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if "cursor" in attrs:
            if attrs["offset"]:
                raise serializers.ValidationError({"offset": _("Give either this or “cursor”, not both.")})
            attrs["after"] = position(attrs["cursor"], attrs["ordering"])
        return attrs


class ExportSerializer(FiltersSerializer):
    with_single_call_filters = True

    def get_fields(self) -> dict[str, Any]:
        formats = serializers.ChoiceField(
            default="csv", choices=["csv", "jsonl", "xlsx"], help_text="Kind of file. A workbook holds 500,000 calls."
        )
        return {**super().get_fields(), "format": formats}


@dataclass(frozen=True)
class ReportParameters:
    """Filters by column, the period, and all parameters as given."""

    filters: dict[str, Any]
    period: Period
    given: dict[str, Any]


def report_parameters(serializer: type[FiltersSerializer], query: Any, scope: Scope, now: datetime) -> ReportParameters:
    """Parse a query. Raises DRF's `ValidationError`, which names each wrong parameter."""
    parsed = serializer(data=dict(query.lists()), context={"scope": scope})
    parsed.is_valid(raise_exception=True)
    given = parsed.validated_data
    return ReportParameters(filters.filters_of(given, scope), _period(serializer, given, scope.today(now)), given)


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


def position(text: str, ordering: str) -> tuple[Any, int]:
    """Decode a cursor of this ordering. Raises DRF's `ValidationError`, under `cursor`."""
    try:
        packed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        made_for, value, id_ = msgspec.json.decode(packed, type=tuple[str, str, int])
        if made_for == ordering and 0 <= id_ <= LARGEST_ID:
            column = UsageRecord._meta.get_field(ordering.removeprefix("-"))
            at: Any = column.clean(value, None)  # type: ignore[union-attr]  # within the column's bounds
            if isinstance(at, datetime) and at.tzinfo is None:
                raise ValueError("a moment without a zone")
            # Near the years 1 and 9999 a moment may have no UTC.
            return (at.astimezone(UTC) if isinstance(at, datetime) else at), id_
    except (ValueError, OverflowError, msgspec.DecodeError, DjangoValidationError):
        pass  # refused below, like a cursor of another ordering
    raise serializers.ValidationError(
        {"cursor": _("This cursor does not belong to this ordering. Take one from “next_cursor”, or leave it out.")}
    )
