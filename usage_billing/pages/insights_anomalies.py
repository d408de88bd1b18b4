"""Days that cost far more than usual: of the whole selection, of an organisation, or of a model; and why."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext

from usage_billing import reports
from usage_billing.pages.dimensions import AGENT, MODEL, ORG, TYPE, Dimension
from usage_billing.pages.page import Page
from usage_billing.reports import Anomaly, Cause, Period
from usage_billing.reports.totals import COST_MEASURES

MOST = 5
"""Anomalies that the page explains: two queries each."""
LEARNED_DAYS = 28
"""What is usual is learned from at least so many days, also where the period is shorter."""
SUBJECTS = 30
"""Organisations or models whose days are looked at: those that cost most."""
RELEVANT = Decimal("0.2")
"""An organisation's or a model's anomaly counts if it adds this part of a usual day of the whole selection."""

MOST_EXPENSIVE = {"sort": "-cost_usd"}


@dataclass(frozen=True)
class Entry:
    """cost, usual: in the page's currency. link: the day's calls; cause_link: those of what drove it."""

    anomaly: Anomaly
    subject: str
    is_whole: bool
    cost: Decimal | None
    usual: Decimal | None
    cause: str
    link: str
    cause_link: str | None


def entries(page: Page) -> list[Entry]:
    """The anomalies of the period, those that cost most beyond the usual first. At most 3 + 2 × `MOST` queries."""
    parameters = page.parameters
    period = learned_period(page)
    days = reports.time_series(page.scope, period, page.today, filters=parameters.filters, measures=COST_MEASURES)
    known = [row["cost_usd"] for row in days if row["cost_usd"]]
    if not known:
        return []
    least = RELEVANT * statistics.median(known)
    whole: list[tuple[Dimension | None, Any, Anomaly]] = [(None, (), each) for each in reports.anomalies(days, None)]
    dimension = ORG if page.several_orgs else MODEL
    parts = [(dimension, key, each) for key, each in _of_parts(page, dimension, period) if each.excess_usd >= least]
    found = [each for each in (*whole, *parts) if _is_shown(each[2], parameters.period)]
    found.sort(key=lambda each: (each[2].excess_usd, each[0] is None), reverse=True)
    return [_entry(page, *each) for each in found[:MOST]]


def learned_period(page: Page) -> Period:
    """The period, begun earlier where it is short."""
    period = page.parameters.period
    if period.since is None:
        return period
    earliest = period.last_day(page.today) - timedelta(days=LEARNED_DAYS - 1)
    return Period(min(period.since, earliest), period.until)


def _is_shown(anomaly: Anomaly, period: Period) -> bool:
    return period.since is None or anomaly.day >= period.since


def _of_parts(page: Page, dimension: Dimension, period: Period) -> list[tuple[tuple[Any, ...], Anomaly]]:
    """The anomalies of the organisations or models that cost most; none where there is one only. Two queries."""
    filters = page.parameters.filters
    rows = reports.totals(
        page.scope, by=dimension.columns, filters=filters, period=period, limit=SUBJECTS, measures=COST_MEASURES
    )
    if len(rows) < 2:
        return []
    keys = [dimension.key(row) for row in rows]
    return reports.anomalies_by(page.scope, dimension.columns, keys, period, filters=filters)


def _entry(page: Page, dimension: Dimension | None, key: tuple[Any, ...], anomaly: Anomaly) -> Entry:
    of_part = dict(zip(dimension.columns, key, strict=True)) if dimension else {}
    narrowing = dimension.narrowing(key) if dimension else {}
    found = reports.cause(page.scope, anomaly.day, filters={**page.parameters.filters, **of_part})
    text, of_cause = cause_words(page, _told(page, found, dimension))
    day = page.day(anomaly.day)
    return Entry(
        anomaly=anomaly,
        subject=page.names.of(dimension, key) if dimension else _whole_name(page),
        is_whole=dimension is None,
        cost=anomaly.row[f"cost_{page.parameters.currency}"],
        usual=_usual(page, anomaly),
        cause=text,
        link=page.calls({**day, **narrowing, **MOST_EXPENSIVE}),
        cause_link=page.calls({**day, **narrowing, **of_cause, **MOST_EXPENSIVE}) if of_cause else None,
    )


def _whole_name(page: Page) -> str:
    return gettext("All organisations") if page.several_orgs else gettext("All calls")


def _usual(page: Page, anomaly: Anomaly) -> Decimal | None:
    """In RUB at the rate of the day itself, so that the two amounts compare as they do in USD."""
    if page.parameters.currency == "usd":
        return anomaly.usual_usd
    rub: Decimal | None = anomaly.row["cost_rub"]
    return None if rub is None else rub / anomaly.times


def _told(page: Page, found: Cause, dimension: Dimension | None) -> Cause:
    """The cause without what the page's filters or the anomaly's own row say already."""
    filters = page.parameters.filters
    return Cause(
        None if "request_type" in filters else found.request_type,
        None if "ai_model" in filters or dimension == MODEL else found.model,
        None if "agent_id" in filters else found.agent_id,
    )


def cause_words(page: Page, found: Cause) -> tuple[str, dict[str, str]]:
    """The cause in words, and the URL parameters that narrow calls to it."""
    kind, model = found.request_type, found.model
    narrowing: dict[str, str] = {}
    if kind is not None:
        narrowing |= TYPE.narrowing((kind,))
    if model is not None:
        narrowing |= MODEL.narrowing(model)
    words = {
        "type": page.names.of(TYPE, (kind,)) if kind is not None else "",
        "model": page.names.of(MODEL, model) if model is not None else "",
    }
    if kind is not None and model is not None:
        return gettext("mostly %(type)s on %(model)s") % words, narrowing
    if kind is not None:
        return gettext("mostly %(type)s") % words, narrowing
    if model is not None:
        return gettext("mostly on %(model)s") % words, narrowing
    if found.agent_id is not None:
        agent = page.names.of(AGENT, (found.agent_id,))
        return gettext("mostly the agent %(agent)s") % {"agent": agent}, AGENT.narrowing((found.agent_id,))
    return gettext("spread over several request types and models"), {}
