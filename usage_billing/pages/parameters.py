"""URL parameters of the pages: the period, filters and currency that all pages share, and a few of each page's own.

A filter has the API's name. Several values of it mean any of them; `name!=value` excludes a value.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote_plus

from django.http import QueryDict
from django.utils.translation import gettext
from rest_framework import serializers

from usage_billing.api.fields import WholeNumberField
from usage_billing.api.parameters import DEFAULT_DAYS, FIRST_DAY, LAST_DAY, LONGEST_DAYS
from usage_billing.api.serializers import DayField
from usage_billing.pages.filters import filters_of, is_filter, typed_filters, without_slugs
from usage_billing.reports import Period
from usage_billing.tenancy.scope import NOTHING, Scope

PERIODS = (7, 30, 90)
"""Lengths of the offered periods in days, today included."""
NAMED_PERIODS = ("this-month", "last-month")
CURRENCIES = ("usd", "rub")
PERIOD_PARAMETERS = ("days", "period_days", "period", "from", "to")
SHARED = (*PERIOD_PARAMETERS, "currency")
"""Parameters, besides the filters, that a link to another page keeps."""

Pairs = tuple[tuple[str, str], ...]
Changes = Mapping[str, str | Sequence[str] | None]
"""Parameter → its new value or values; None removes it."""


class PageSerializer(serializers.Serializer[dict[str, Any]]):
    """The period and the currency. Each page adds its own parameters in a subclass."""

    currency = serializers.ChoiceField(default="usd", choices=CURRENCIES)
    period = serializers.ChoiceField(required=False, choices=NAMED_PERIODS)
    days = WholeNumberField(required=False, min_value=1, max_value=LONGEST_DAYS)
    period_days = WholeNumberField(required=False, min_value=1, max_value=LONGEST_DAYS)
    filters = serializers.ChoiceField(required=False, choices=("edit",))  # the filter form is open

    def get_fields(self) -> dict[str, Any]:
        # `from` is a keyword of Python.
        return {**super().get_fields(), **{name: DayField(required=False) for name in ("from", "to")}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        check_days(attrs, "from", "to")
        lengths: list[str] = [name for name in ("period", "days", "period_days", "from") if name in attrs]
        if "period" in attrs and "to" in attrs:
            lengths.append("to")
        if len(lengths) > 1:
            text = gettext("Give either this or “%(other)s”, not both.") % {"other": lengths[1]}
            raise serializers.ValidationError({lengths[0]: text})
        return attrs


def check_days(given: Mapping[str, Any], first: str, last: str) -> None:
    """Raise `ValidationError` for days that no page can show, and for a period of too many of them."""
    for name in (first, last):
        if name in given and not FIRST_DAY <= given[name] <= LAST_DAY:
            text = gettext("A day between %(first)s and %(last)s.") % {"first": FIRST_DAY, "last": LAST_DAY}
            raise serializers.ValidationError({name: text})
    if first not in given or last not in given:
        return
    if given[last] < given[first]:
        raise serializers.ValidationError({last: gettext("This day is before “%(first)s”.") % {"first": first}})
    if given[last] - given[first] >= timedelta(days=LONGEST_DAYS):
        text = gettext("A page shows at most %(days)d days.") % {"days": LONGEST_DAYS}
        raise serializers.ValidationError({last: text})


@dataclass(frozen=True)
class PageParameters:
    """The parsed URL parameters.

    pairs: the valid ones as they came, name and text. filters: as reports take them. own: the values of the page's own
    parameters. hints: messages about the invalid ones.
    """

    pairs: Pairs
    filters: dict[str, Any]
    period: Period
    currency: str = "usd"
    own: dict[str, Any] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)

    def given(self, name: str) -> list[str]:
        """The texts of a parameter."""
        return [text for given, text in self.pairs if given == name]

    def query(self, changes: Changes | None = None) -> str:
        """The query of this page with some parameters changed."""
        return query_of(self.pairs, changes or {})

    def shared(self, changes: Changes | None = None) -> str:
        """The query of another page: period, filters and currency, with some parameters changed."""
        return query_of(self.shared_pairs, changes or {})

    @functools.cached_property
    def shared_pairs(self) -> Pairs:
        return tuple(pair for pair in self.pairs if pair[0] in SHARED or is_filter(pair[0]))

    @property
    def filter_pairs(self) -> Pairs:
        return tuple(pair for pair in self.pairs if is_filter(pair[0]))

    def hidden(self, left_out: Iterable[str]) -> Pairs:
        """Parameters that a form has to keep, besides its own fields."""
        left = {*left_out}
        return tuple(pair for pair in self.pairs if pair[0] not in left)


WITHOUT_PERIOD: Changes = dict.fromkeys(PERIOD_PARAMETERS)
_quoted = functools.lru_cache(maxsize=4096)(quote_plus)
"""A page has hundreds of links made of the same few words."""


def query_of(pairs: Pairs, changes: Changes) -> str:
    """Format a query; a changed parameter replaces all its values."""
    kept = [(name, text) for name, text in pairs if name not in changes]
    for name, value in changes.items():
        if value is not None:
            kept += [(name, value)] if isinstance(value, str) else [(name, text) for text in value]
    return "&".join(f"{_quoted(name)}={_quoted(text)}" for name, text in kept)


def query_of_form(query: QueryDict) -> str | None:
    """The query without the fields that a form sends empty, and with what was typed as filters; None if it is so.

    A filter keeps an empty value, which stands for calls without an agent, a user or a tag.
    """
    pairs = tuple((name, text) for name in query for text in query.getlist(name))
    kept = tuple((name, text) for name, text in typed_filters(pairs) if text.strip() or is_filter(name))
    return None if kept == pairs else query_of(kept, {})


def parse(
    query: QueryDict, today: date, serializer_class: type[PageSerializer], scope: Scope = NOTHING
) -> PageParameters:
    """Parse the URL parameters; an invalid one is left out, and a hint says why. scope: of organisations' slugs."""
    given_lists = {name: [str(text) for text in query.getlist(name)] for name in query}
    lists, unknown = without_slugs(given_lists, scope)
    filters, wrong = filters_of({name: texts for name, texts in lists.items() if is_filter(name)})
    hints = [_hint(name, text, problem) for (name, text), problem in {**unknown, **wrong}.items()]
    values, given, more = _own(lists, serializer_class)
    pairs = [(name, text) for name, texts in lists.items() if is_filter(name) for text in texts]
    return PageParameters(
        pairs=(
            *((name, text) for name, text in given.items() if name != "filters"),
            *(pair for pair in pairs if pair not in wrong),
        ),
        filters=filters,
        period=period_of(values, today),
        currency=values["currency"],
        own=values,
        hints=[*hints, *more],
    )


def _own(
    lists: Mapping[str, Sequence[str]], serializer_class: type[PageSerializer]
) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """The values of the parameters that are no filters, their texts, and hints about the invalid ones."""
    known = serializer_class().fields
    given = {name: texts[-1] for name, texts in lists.items() if name in known and texts}
    hints: list[str] = []
    while not (serializer := serializer_class(data=given)).is_valid():
        # An error that names no given parameter is about all of them together.
        for name in serializer.errors.keys() & given.keys() or [*given]:
            text = given.pop(name)
            problems = serializer.errors.get(name, [gettext("It cannot be combined with the others.")])
            hints += [_hint(name, text, problem) for problem in problems]
    return serializer.validated_data, given, hints


def _hint(name: str, text: str, problem: object) -> str:
    return gettext("“%(name)s=%(value)s” in the address was left out: %(problem)s") % {
        "name": name,
        "value": text[:50],
        "problem": problem,
    }


def period_of(values: Mapping[str, Any], today: date) -> Period:
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
