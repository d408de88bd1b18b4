"""URL parameters of the AI costs page: those of the API and a few more; and the links that change them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode

from django.http import QueryDict
from django.utils.translation import gettext
from rest_framework import serializers

from usage_billing.api.fields import user_key_field
from usage_billing.api.parameters import (
    COLUMNS,
    DEFAULT_DAYS,
    NARROWING,
    FiltersSerializer,
)
from usage_billing.pages.dimensions import BY_NAME, MODEL
from usage_billing.reports import Period

PERIODS = (7, 30, 90)
"""Lengths of the offered periods in days, today included."""
NAMED_PERIODS = ("this-month", "last-month")
CURRENCIES = ("usd", "rub")
PERIOD_PARAMETERS = ("days", "period_days", "period", "from", "to")
ANY = "*"
"""The form's value for “all”. An empty text is a value of its own: calls without an agent."""


class PageSerializer(FiltersSerializer):
    """The API's parameters, and those that choose how the page shows the report."""

    default_days = DEFAULT_DAYS

    user = user_key_field(required=False, min_value=0)  # `user_keys.nobody()`: calls without a user
    period = serializers.ChoiceField(required=False, choices=NAMED_PERIODS)
    by = serializers.ChoiceField(default=MODEL.name, choices=list(BY_NAME))
    currency = serializers.ChoiceField(default="usd", choices=CURRENCIES)
    compare_model = serializers.CharField(required=False, max_length=300)
    rows = serializers.ChoiceField(required=False, choices=["all"])
    workflows = serializers.ChoiceField(required=False, choices=["all"])

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for name in ("ai_provider", "ai_model"):
            fields[name].allow_blank = True
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "period" in attrs and (others := [name for name in PERIOD_PARAMETERS if name in attrs and name != "period"]):
            raise serializers.ValidationError(
                {"period": gettext("Give either this or “%(other)s”, not both.") % {"other": others[0]}}
            )
        return super().validate(attrs)


_quoted = functools.lru_cache(maxsize=1024)(quote_plus)
"""A page has hundreds of links made of the same few words."""


@dataclass(frozen=True)
class PageParameters:
    """The parsed URL parameters. `given`: the valid ones as texts; `hints`: messages about the invalid ones."""

    given: dict[str, str]
    filters: dict[str, Any]
    period: Period
    by: str
    currency: str
    compare_model: str = ""
    all_rows: bool = False
    all_workflows: bool = False
    hints: list[str] = field(default_factory=list)

    def link(self, changes: Mapping[str, str | None] | None = None, **more: str | None) -> str:
        """The address of this view with some parameters changed; None removes one."""
        query = {**self.given, **(changes or {}), **more}
        return "?" + "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in query.items() if value is not None)

    def without_period(self) -> dict[str, str | None]:
        return dict.fromkeys(PERIOD_PARAMETERS)

    def hidden(self, left_out: Sequence[str]) -> list[tuple[str, str]]:
        """Parameters that a form has to keep, besides its own fields."""
        return [(name, value) for name, value in self.given.items() if name not in left_out]


@functools.cache
def _parameters() -> frozenset[str]:
    return frozenset(PageSerializer().fields)


def without_empty(query: QueryDict) -> str | None:
    """The query without the fields that a form sends empty; None if there are none."""
    given = query.dict()
    empty = {
        name for name, value in given.items() if value == ANY or (name in PERIOD_PARAMETERS and not str(value).strip())
    }
    if not empty:
        return None
    return urlencode([(name, value) for name in query if name not in empty for value in query.getlist(name)])


def parse(query: QueryDict, today: date) -> PageParameters:
    """Parse the URL parameters; an invalid one is left out, and a hint says why."""
    given = {name: str(value) for name, value in query.dict().items() if name in _parameters()}
    hints: list[str] = []
    while True:
        serializer = PageSerializer(data=given)
        if serializer.is_valid():
            break
        wrong = serializer.errors
        if not wrong.keys() & given.keys():
            raise AssertionError(f"nothing to leave out for {wrong}")
        for name, problems in wrong.items():
            value = given.pop(name, "")
            hints += [
                gettext("“%(name)s=%(value)s” in the address was left out: %(problem)s")
                % {"name": name, "value": value[:50], "problem": problem}
                for problem in (problems if isinstance(problems, list) else [problems])
            ]
    values = serializer.validated_data
    return PageParameters(
        given=given,
        filters={COLUMNS.get(name, name): values[name] for name in NARROWING if name in values},
        period=_period(values, today),
        by=values["by"],
        currency=values["currency"],
        compare_model=values.get("compare_model", ""),
        all_rows="rows" in values,
        all_workflows="workflows" in values,
        hints=hints,
    )


def _period(values: Mapping[str, Any], today: date) -> Period:
    first_of_month = today.replace(day=1)
    if values.get("period") == "this-month":
        return Period(first_of_month)
    if values.get("period") == "last-month":
        return Period((first_of_month - timedelta(days=1)).replace(day=1), first_of_month)
    last = values.get("to")
    until = None if last is None else last + timedelta(days=1)
    if "from" in values:
        return Period(values["from"], until)
    days = values.get("days") or values.get("period_days") or DEFAULT_DAYS
    return Period((last or today) - timedelta(days=days - 1), until)
