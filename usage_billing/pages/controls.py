"""The controls above each page: the period, the currency, and the active filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext, ngettext

from usage_billing import reports
from usage_billing.api.filters import EXCLUDES
from usage_billing.models.user_keys import parse as parse_user
from usage_billing.pages import dimensions, hooks
from usage_billing.pages import page as page_
from usage_billing.pages.page import Page
from usage_billing.pages.parameters import CURRENCIES, NAMED_PERIODS, PERIODS, WITHOUT_PERIOD
from usage_billing.reports.totals import COST_MEASURES

UNPRICED = "unpriced"


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


def context(page: Page) -> dict[str, Any]:
    """What the shell of every page needs. One query."""
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
    if name == UNPRICED:
        return text.upper()
    if (dimension := dimensions.by_name(name)) is not None:
        return page.names.of_text(dimension, text)
    return text or (gettext("no error") if name == "error_code" else gettext("not reported"))
