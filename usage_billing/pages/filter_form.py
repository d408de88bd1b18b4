"""The controls above the page: periods, filters, and what each filter can be set to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from usage_billing import reports
from usage_billing.models import UsageRecord, user_keys
from usage_billing.pages.dimensions import AGENT, CONTENT, MODEL, ORG, TYPE, USER, WORKFLOW, Dimension
from usage_billing.pages.names import Names
from usage_billing.pages.parameters import PERIODS, PageParameters
from usage_billing.reports.totals import COST_MEASURES
from usage_billing.tenancy.scope import Scope

Key = tuple[Any, ...]

FIELDS = ("org", "user", "agent_id", "ai_model", "request_type")
OPTIONS = 200
"""Entries of a filter's list: those that cost most."""
LABELS = {
    "org": ORG.one,
    "user": USER.one,
    "agent_id": AGENT.one,
    "ai_provider": _("Provider"),
    "ai_model": MODEL.one,
    "request_type": TYPE.one,
    "workflow_id": WORKFLOW.one,
    "content_id": CONTENT.one,
    "status": _("Status"),
    "provider_organization": _("Provider's organisation"),
    "provider_project": _("Provider's project"),
    "api_key": _("API key"),
    "user_profile": _("Provider's user profile"),
}


@dataclass(frozen=True)
class Choice:
    """A field of the filter form: its `options`, each value and name, and the `chosen` value."""

    name: str
    label: Any
    options: list[tuple[str, str]]
    chosen: str | None


@dataclass(frozen=True)
class Chip:
    """An active filter, and the link that removes it."""

    label: Any
    value: str
    link: str


def periods(parameters: PageParameters) -> list[tuple[Any, str, bool]]:
    """(text, link, whether it is the current one) of each period to choose."""
    given = parameters.given
    is_default = not any(name in given for name in parameters.without_period())
    offered: list[tuple[Any, dict[str, str], bool]] = [
        (
            ngettext("%(days)s day", "%(days)s days", days) % {"days": days},
            {"days": str(days)},
            "to" not in given and (given.get("days") == str(days) or (is_default and days == PERIODS[1])),
        )
        for days in PERIODS
    ]
    offered += [
        (text, {"period": name}, given.get("period") == name)
        for name, text in (("this-month", gettext("This month")), ("last-month", gettext("Last month")))
    ]
    return [(text, parameters.link(parameters.without_period() | change), now) for text, change, now in offered]


def options(scope: Scope, shown: Sequence[Dimension], parameters: PageParameters) -> dict[Dimension, list[Key]]:
    """The keys that each active filter could be set to instead. One query for each."""
    found = {}
    for dimension in (TYPE, MODEL, AGENT, USER):
        if dimension.is_narrowed(parameters.filters) and dimension in (*shown, USER):
            others = {name: value for name, value in parameters.filters.items() if name not in dimension.columns}
            rows = reports.totals(
                scope,
                by=dimension.columns,
                filters=others,
                period=parameters.period,
                limit=OPTIONS,
                measures=COST_MEASURES,
            )
            found[dimension] = [dimension.key(row) for row in rows]
    return found


def choices(
    scope: Scope,
    parameters: PageParameters,
    rows: Mapping[Dimension, Sequence[tuple[Key, str]]],
    options: Mapping[Dimension, Sequence[Key]],
    known: Names,
) -> list[Choice]:
    """The fields of the filter form. `rows`: key and name of the rows of each breakdown on the page."""
    fields = []
    for dimension in (ORG, USER, AGENT, MODEL, TYPE):
        name = dimension.parameters[-1]
        if dimension is ORG:
            if not (scope.everything or len(scope.org_ids) > 1):
                continue
            found = [(str(id_), org) for id_, org in known.orgs.items()]
        elif dimension in options:
            found = [(str(key[-1]), known.of(dimension, key)) for key in options[dimension]]
        elif dimension in rows:
            found = [(str(key[-1]), text) for key, text in rows[dimension]]
        else:
            continue
        chosen = parameters.given.get(name)
        if chosen is not None and chosen not in dict(found):
            found.append((chosen, _chip_text(name, chosen, known)))
        fields.append(Choice(name, LABELS[name], sorted(dict(found).items(), key=lambda pair: pair[1]), chosen))
    return fields


def chips(parameters: PageParameters, known: Names) -> list[Chip]:
    return [
        Chip(LABELS[name], _chip_text(name, parameters.given[name], known), parameters.link({name: None}))
        for name in LABELS
        if name in parameters.given
    ]


def _chip_text(name: str, value: str, known: Names) -> str:
    match name:
        case "org":
            return known.org(int(value))
        case "user":
            return known.user(user_keys.parse(value))
        case "content_id":
            return known.contents.get(value, value)
        case "agent_id":
            return value or str(AGENT.nothing)
        case "request_type":
            return value or str(TYPE.nothing)
        case "status":
            return str(UsageRecord.Status(value).label)
    return value or "—"
