"""The controls above each page: the period, the currency, and the filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext, ngettext

from usage_billing import reports
from usage_billing.api.filters import EXCLUDES
from usage_billing.models import UsageRecord
from usage_billing.models.user_keys import parse as parse_user
from usage_billing.pages import dimensions, hooks
from usage_billing.pages import page as page_
from usage_billing.pages.dimensions import ORG, STATUS, Dimension
from usage_billing.pages.names import of_organizations
from usage_billing.pages.page import Page
from usage_billing.pages.parameters import CURRENCIES, NAMED_PERIODS, PERIODS, WITHOUT_PERIOD, Pairs
from usage_billing.pages.tag_keys import tag_keys
from usage_billing.reports.totals import COST_MEASURES

OPTIONS = 100
"""Entries of a filter's list: those that cost most."""
TAGS = 5
"""Keys of tags that the form has a field for."""


@dataclass(frozen=True)
class Choice:
    """One of several views: its text, its link, and whether it is shown now."""

    text: str
    link: str
    is_current: bool


@dataclass(frozen=True)
class Chip:
    """An active filter and the link that removes it."""

    label: str
    is_excluded: bool
    values: str
    link: str


@dataclass(frozen=True)
class Field:
    """A filter in the form. options: value, name, and `is`, `not` or nothing."""

    name: str
    label: str
    options: list[tuple[str, str, str]]


def context(page: Page) -> dict[str, Any]:
    """What the shell of every page needs. One query, and one for each dimension while the filter form is open."""
    parameters = page.parameters
    last = parameters.period.last_day(page.today)
    chips, periods = _chips(page), _periods(page)
    return {
        "page": page,
        "parameters": parameters,
        "currency": parameters.currency,
        "scope_text": page_.scope_text(page),
        "is_superadmin": page.scope.everything,
        "no_organization": page.scope.is_empty,
        "several_orgs": page.several_orgs,
        "since": parameters.period.since,
        "last": last,
        "today": page.today,
        "zone": page.zone,
        "periods": periods,
        "is_custom": not any(each.is_current for each in periods),
        "currencies": [
            Choice(each.upper(), page.link(currency=each), each == parameters.currency) for each in CURRENCIES
        ],
        "chips": chips,
        "clear_link": page.link({name: None for name, _ in parameters.filter_pairs}) if chips else None,
        "filter_link": page.link(filters="edit") + "#filters",
        "without_period": parameters.hidden((*WITHOUT_PERIOD, "filters")),
        "simulated": ", ".join(name for name, host in hooks.destinations().items() if host == hooks.SIMULATOR),
    }


def _periods(page: Page) -> list[Choice]:
    parameters = page.parameters
    given = dict(parameters.pairs)
    is_default = not any(name in given for name in WITHOUT_PERIOD)
    offered: list[tuple[str, dict[str, str], bool]] = [
        (
            ngettext("%(days)s day", "%(days)s days", days) % {"days": days},
            {"days": str(days)},
            "to" not in given and (given.get("days") == str(days) or (is_default and days == PERIODS[1])),
        )
        for days in PERIODS
    ]
    texts = dict(zip(NAMED_PERIODS, (gettext("This month"), gettext("Last month")), strict=True))
    offered += [(text, {"period": name}, given.get("period") == name) for name, text in texts.items()]
    return [Choice(text, page.link({**WITHOUT_PERIOD, **change}), now) for text, change, now in offered]


def _chips(page: Page) -> list[Chip]:
    texts: dict[str, list[str]] = {}
    for name, text in page.parameters.filter_pairs:
        texts.setdefault(name, []).append(text)
    page.names.look_up(
        users=_with_calls(page, {parse_user(text) for name in ("user", "user!") for text in texts.get(name, ())}),
        contents=(text for name in ("content_id", "content_id!") for text in texts.get(name, ())),
    )
    return [
        Chip(
            dimensions.label(name.removesuffix(EXCLUDES)),
            name.endswith(EXCLUDES),
            ", ".join(value_text(page, name.removesuffix(EXCLUDES), text) for text in values),
            page.link({name: None}),
        )
        for name, values in texts.items()
    ]


def _with_calls(page: Page, users: set[Any]) -> set[Any]:
    """Those of the users who have calls in scope: an address may name anybody. One query, if it names somebody."""
    if not (wanted := {key for key in users if key is not None}):
        return set()
    rows = reports.totals(page.scope, by=("user_id",), filters={"user_id": wanted}, measures=COST_MEASURES)
    return {row["user_id"] for row in rows}


def value_text(page: Page, name: str, text: str) -> str:
    """The name of a filter's value."""
    if name == "unpriced":
        return text.upper()
    if (dimension := dimensions.by_name(name)) is not None:
        return page.names.of_text(dimension, text)
    return text or "—"


# ── The form ─────────────────────────────────────────────────────────────────────────────────────────────────────


def fields(page: Page) -> list[Field]:
    """The filters that the form offers, with the values that cost most in the period. One query for each."""
    found = []
    tags = [dimensions.of_tag(key) for key in tag_keys(page.scope, TAGS)]
    for dimension in (*dimensions.offered(page.scope), *tags):
        name = dimension.parameters[-1]
        modes = dict.fromkeys(page.parameters.given(name), "is")
        modes |= dict.fromkeys(page.parameters.given(name + EXCLUDES), "not")
        names = {text: page.names.of_text(dimension, text) for text in (*_values(page, dimension), *modes)}
        ordered = sorted(names.items(), key=lambda option: option[1].casefold())
        options = [(text, option, modes.get(text, "")) for text, option in ordered]
        found.append(Field(name, dimensions.label(name), options))
    return found


def kept(page: Page, shown: Sequence[Field]) -> Pairs:
    """The parameters that the form keeps: those that it has no field for."""
    names = [field.name for field in shown]
    return page.parameters.hidden([*names, *(name + EXCLUDES for name in names)])


def _values(page: Page, dimension: Dimension) -> list[str]:
    if dimension == ORG:
        page.names.orgs |= of_organizations(page.scope)
        return [str(id_) for id_ in page.names.orgs]
    if dimension == STATUS:
        return [str(value) for value in UsageRecord.Status.values]
    column = dimension.columns[-1]
    others = {name: value for name, value in page.parameters.filters.items() if name != column}
    rows = reports.totals(
        page.scope,
        by=(column,),
        filters=others,
        period=page.parameters.period,
        limit=OPTIONS,
        measures=COST_MEASURES,
    )
    page.names.look_up_rows(dimension, rows)
    return [str(row[column]) for row in rows]
