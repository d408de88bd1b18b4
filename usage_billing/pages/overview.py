"""The overview: how much, since when, what for, and what needs action."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import get_language, gettext
from rest_framework import serializers

from usage_billing import reports
from usage_billing.pages import call_columns, chart, insights_anomalies, needs_action, overview_budgets, rows
from usage_billing.pages.chart import Chart, Layer, Step
from usage_billing.pages.colors import OTHERS, color_of
from usage_billing.pages.dimensions import AGENT, BY_NAME, MODEL, ORG, TYPE, USER, Dimension
from usage_billing.pages.page import EXPLORE, INSIGHTS, Page
from usage_billing.pages.parameters import WITHOUT_PERIOD, PageSerializer, query_of
from usage_billing.reports import Breakdown, Comparison, Forecast, Period, Series
from usage_billing.reports.anomalies import LOOKED_AT_DAYS
from usage_billing.reports.forecast import learned_since
from usage_billing.reports.totals import COST_MEASURES, Totals
from usage_billing.templatetags.amounts import short_date, style_of, write_amount, written_day

STACKED_BY = (MODEL, TYPE, AGENT, ORG, USER)
MEASURES = (*COST_MEASURES, "total_tokens", "prompt_tokens", "completion_tokens", "failed_count")
ROWS = 5
"""Rows of a breakdown."""
LAYERS = 6
"""Series of the chart; all others are drawn as one."""
LATEST_CALLS = 50
DAILY_UP_TO, WEEKLY_UP_TO = 100, 731
"""The longest periods, in days, whose chart is by day and by week. Longer ones are by month."""


class OverviewSerializer(PageSerializer):
    by = serializers.ChoiceField(default=MODEL.name, choices=[each.name for each in STACKED_BY])


def context(page: Page) -> dict[str, Any]:
    """The context of the template. Its number of queries does not depend on the amount of usage."""
    parameters, scope = page.parameters, page.scope
    period, filters = parameters.period, parameters.filters
    step = step_of(period, page.today)
    shown = _shown(page)
    stacked_by = BY_NAME[parameters.own["by"]]

    compared = reports.comparison(scope, period, page.today, page.now, filters=filters, figures=MEASURES)
    total = compared.now
    if not total["requests_count"]:
        return {"total": total}
    breakdowns = {each: _breakdown(page, each, compared) for each in dict.fromkeys((*shown, stacked_by))}
    of_days = [{"usage_date": day, **row} for day, row in compared.days.items()]
    days = reports.time_series(scope, period, page.today, step=step, filters=filters, measures=MEASURES, days=of_days)
    is_learned_from = period.since is not None and period.since <= learned_since(page.today) and period.until is None
    forecast = reports.forecast(scope, page.today, filters=filters, days=compared.days if is_learned_from else None)
    archived = compared.archived_before
    latest = reports.newest(scope, LATEST_CALLS, filters=filters, period=period, days=of_days, archived=archived)
    columns = call_columns.compact(page)
    of_orgs = breakdowns[ORG].items if ORG in breakdowns else []
    watched = overview_budgets.watched(page)
    page.names.look_up(orgs=(*(call.org_id for call in latest), *(row["org_id"] for row in of_orgs)))
    return {
        "total": total,
        "cards": _cards(page, compared),
        "compared": compared,
        "previous_last": compared.previous.last_day(page.today) if compared.previous else None,
        "step": step,
        "forecast": forecast,
        "month_ends": last_of_month(page.today),
        "drawn_forecast_link": None if _draws_forecast(page) else page.link({**WITHOUT_PERIOD, "period": "this-month"}),
        "chart": _chart(page, stacked_by, breakdowns[stacked_by], days, step, forecast),
        "stacks": [(each, page.link(by=each.name), each == stacked_by) for each in STACKED_BY if _tells(page, each)],
        "watched": watched,
        "needs_action": [*watched.items, *needs_action.items(page, total, compared.days)],
        "last_days_looked_at": LOOKED_AT_DAYS if insights_anomalies.is_cut(page) else None,
        "panels": [rows.panel(page, each, breakdowns[each], ROWS, _panel_measures(page)) for each in shown],
        "heads": call_columns.heads(page, columns),
        "latest": call_columns.rows(page, columns, latest),
        "calls_link": page.calls(),
        "insights_link": page.to(INSIGHTS),
        "numbers_link": page.to(EXPLORE, group=stacked_by.name, step=step, numbers="show") + "#numbers",
        "failed_link": page.calls(status="failed"),
        "unpriced_usd_link": page.calls(unpriced="usd"),
        "unpriced_rub_link": page.calls(unpriced="rub"),
        "month_link": page.calls({**WITHOUT_PERIOD, "period": "this-month"}),
        "last_month_link": page.calls({**WITHOUT_PERIOD, "period": "last-month"}),
        "archived_before": archived,
    }


def _shown(page: Page) -> tuple[Dimension, ...]:
    """Types, models, agents; and organisations, or the users of one."""
    if page.several_orgs and "org_id" not in page.parameters.filters:
        return TYPE, MODEL, AGENT, ORG
    users = page.scope.everything or page.scope.owned_org_ids
    return (TYPE, MODEL, AGENT, USER) if users else (TYPE, MODEL, AGENT)


def _tells(page: Page, dimension: Dimension) -> bool:
    return dimension in (*_shown(page), MODEL)


def _panel_measures(page: Page) -> tuple[str, ...]:
    """Amounts in the page's currency alone: adding up those of 200 organisations takes 2 ms for each currency."""
    currency = page.parameters.currency
    return "requests_count", f"unpriced_{currency}_count", f"cost_{currency}"


def _breakdown(page: Page, dimension: Dimension, compared: Comparison) -> Breakdown:
    return reports.breakdown(
        page.scope,
        dimension.columns,
        page.parameters.period,
        page.today,
        filters=page.parameters.filters,
        limit=LAYERS + 1,
        whole=(compared.now, compared.before if compared.reaches_back else None),
        measures=_panel_measures(page),
        ordering=f"-cost_{page.parameters.currency}",
        compare=ROWS + 1 if compared.reaches_back else 0,
    )


# ── Cards ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Card:
    """A number of the period. change: relative, None where there is nothing to compare with. is_new: it was zero.

    before_link: the calls of the days that it is compared with. Calls cannot be listed up to a time of day, so of the
    comparison's `part_day` it lists all.
    """

    column: str
    value: Any
    change: Decimal | None
    is_new: bool
    before: Any
    link: str
    before_link: str | None


def _cards(page: Page, compared: Comparison) -> list[Card]:
    """Requests, tokens, USD and RUB."""
    before = compared.before or {}
    left_out = compared.part_day if compared.leaves_out_today else None
    days = page.previous_days(until=left_out)
    return [
        Card(
            column,
            compared.now[column],
            compared.change(column),
            compared.is_new(column),
            before.get(column),
            page.calls(),
            page.calls(days) if days else None,
        )
        for column in ("requests_count", "total_tokens", "cost_usd", "cost_rub")
    ]


# ── Chart ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _chart(
    page: Page, dimension: Dimension, found: Breakdown, days: Sequence[Totals], step: str, forecast: Forecast
) -> Chart:
    parameters = page.parameters
    keys = [dimension.key(item) for item in found.items[:LAYERS]]
    if len(found.items) == LAYERS + 1 and not found.other:
        keys.append(dimension.key(found.items[-1]))
    series = reports.stacked_series(
        page.scope, dimension.columns, keys, days, parameters.period, step=step, filters=parameters.filters
    )
    page.names.look_up_rows(dimension, found.items)
    write = amount_writer(parameters.currency)
    steps = steps_of(page, [row["date"] for row in days], step)
    layers = [_layer(page, dimension, each, write) for each in series]
    column = f"cost_{parameters.currency}"
    totals = [row[column] for row in days]
    if _draws_forecast(page):
        expected = forecast.to_come[parameters.currency]
        dates = [row["date"] for row in days]
        steps, layers, totals = _with_forecast(page, dates, steps, layers, totals, expected)
    return chart.draw(steps, layers, write, totals=totals)


def _draws_forecast(page: Page) -> bool:
    """The days to come follow the days of their month; other periods tell the month's forecast in words."""
    return page.parameters.given("period") == ["this-month"]


def _layer(page: Page, dimension: Dimension, series: Series, write: chart.Write) -> Layer:
    column = f"cost_{page.parameters.currency}"
    values = [row[column] for row in series.rows]
    known = [value for value in values if value is not None]
    total = write(sum(known, Decimal(0))) if known else "—"
    if series.key is None:
        return Layer(gettext("all others"), OTHERS, values, total)
    narrowing = dimension.narrowing(series.key)
    return Layer(
        page.names.of(dimension, series.key),
        color_of(dimension.name, str(series.key[-1])),
        values,
        total,
        link=page.link(narrowing),
        narrowing=query_of((), narrowing),
    )


def _with_forecast(
    page: Page,
    days: Sequence[date],
    steps: list[Step],
    layers: list[Layer],
    totals: list[Decimal | None],
    expected: Mapping[date, Decimal],
) -> tuple[list[Step], list[Layer], list[Decimal | None]]:
    """Add the days to come, and what is still expected of today.

    In an organisation in the east tomorrow may have begun: its day is among `days` already.
    """
    to_come = [day for day in sorted(expected) if day > page.today and day not in days]
    nothing: list[Decimal | None] = [None] * len(to_come)
    of_days = [expected.get(page.today) if day == page.today else None for day in days]
    of_days += [expected[day] for day in to_come]
    return (
        [*steps, *(Step(label_of(day, "day"), written_day(day), is_expected=True) for day in to_come)],
        [
            *(Layer(**{**vars(layer), "values": [*layer.values, *nothing]}) for layer in layers),
            Layer(gettext("forecast"), "c-expected", of_days, ""),
        ],
        [*totals, *(expected[day] for day in to_come)],
    )


def steps_of(page: Page, days: Sequence[date], step: str) -> list[Step]:
    """The steps of a time series, each with a link to its calls."""
    period = page.parameters.period
    last = period.last_day(page.today)
    found = []
    for day in days:
        ends = min(_end(day, step), max(last, day))
        starts = max(day, period.since) if period.since else day
        found.append(
            Step(
                label_of(day, step),
                written_day(day),
                link=page.calls(page.day(starts, ends)),
                is_partial=ends >= page.today,
            )
        )
    return found


def _end(day: date, step: str) -> date:
    if step == "week":
        return day + timedelta(days=6)
    return last_of_month(day) if step == "month" else day


def label_of(day: date, step: str) -> str:
    return _label_of(day, step, get_language())


@functools.lru_cache(maxsize=4096)
def _label_of(day: date, step: str, _language: str | None) -> str:
    # Translators: a day, and a month, on the chart's axis, short, in Django's date format
    return date_format(day, gettext("M Y")) if step == "month" else short_date(day, gettext("M j"))


def step_of(period: Period, today: date) -> str:
    length = (period.last_day(today) - (period.since or today)).days + 1
    return "day" if length <= DAILY_UP_TO else "week" if length <= WEEKLY_UP_TO else "month"


def last_of_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def amount_writer(currency: str) -> chart.Write:
    return partial(write_amount, currency=currency.upper(), style=style_of(get_language()))
