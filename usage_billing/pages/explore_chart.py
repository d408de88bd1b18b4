"""The chart of Explore, and its numbers as a table by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext

from usage_billing.pages import chart
from usage_billing.pages.chart import Chart, Layer, Step
from usage_billing.pages.colors import OTHERS, color_of
from usage_billing.pages.explore_choice import Choice
from usage_billing.pages.explore_data import Data
from usage_billing.pages.explore_links import narrowed, without_rows
from usage_billing.pages.explore_metrics import axis_writer, column_writer
from usage_billing.pages.overview import steps_of
from usage_billing.pages.page import Page
from usage_billing.pages.parameters import Changes, query_of
from usage_billing.reports import measures_of
from usage_billing.reports.time_series import HOUR
from usage_billing.reports.totals import Totals, difference
from usage_billing.templatetags.amounts import short_date, written_day

MOST_LINKED_CELLS = 400
"""A table of more cells has links on its totals alone: each link is a hundred bytes of the page."""

Values = Sequence[Decimal | None]


@dataclass(frozen=True)
class Cell:
    text: str
    link: str | None = None


@dataclass(frozen=True)
class Line:
    """A step: its name, the whole, and the part of each series."""

    name: str
    is_partial: bool
    cells: list[Cell]


@dataclass(frozen=True)
class StepsTable:
    """`values`: of each step, in the same order: its beginning, the whole and each series."""

    heads: list[str]
    lines: list[Line]
    values: list[list[Any]]


@dataclass(frozen=True)
class Drawn:
    """The chart, and what it was drawn from: steps, the metric of the whole at each, and the series.

    Each series has the URL parameters that narrow a list of calls to it; None if none can.
    """

    chart: Chart
    steps: list[Step]
    whole: Values
    layers: list[tuple[Layer, Changes | None]]


def draw(page: Page, choice: Choice, data: Data) -> Drawn:
    """Bars of the series upon each other, or lines where parts do not add up."""
    metric, currency = choice.metric, choice.currency
    steps = _steps(page, choice, data.steps)
    layers = _layers(page, choice, data)
    whole = [metric.value(row, currency) for row in data.steps]
    before = [metric.value(row, currency) for row in data.steps_before] if data.reaches_back else []
    drawn = chart.draw(
        steps,
        [layer for layer, _ in layers],
        axis_writer(metric, currency),
        totals=whole,
        compared=_as_long_as(steps, before),
        is_stacked=metric.is_additive,
        has_patterns=choice.has_patterns,
    )
    return Drawn(drawn, steps, whole, layers)


def _layers(page: Page, choice: Choice, data: Data) -> list[tuple[Layer, Changes | None]]:
    metric, write = choice.metric, axis_writer(choice.metric, choice.currency)
    page.names.look_up_rows(choice.group, data.leaders)
    by_key = {choice.group.key(row): row for row in data.leaders}
    rest = difference(data.whole, data.leaders, measures_of(choice.figure))
    layers: list[tuple[Layer, Changes | None]] = []
    for each in data.series:
        values = [metric.value(row, choice.currency) for row in each.rows]
        row = rest if each.key is None else by_key[each.key]
        total = None if row is None else metric.value(row, choice.currency)
        text = "—" if total is None else write(total)
        if each.key is None:
            others = without_rows(page, choice, data.leaders, data.followers)
            layers.append(
                (Layer(gettext("all others"), OTHERS, values, text, narrowing=query_of((), others or {})), others)
            )
            continue
        narrowing = choice.group.narrowing(each.key)
        calls = {**metric.calls, **narrowing}
        layer = Layer(
            page.names.of(choice.group, each.key),
            color_of(choice.group.name, str(each.key[-1])),
            values,
            text,
            link=page.link(narrowing),
            narrowing=query_of((), calls),
        )
        layers.append((layer, calls))
    return layers


def _steps(page: Page, choice: Choice, rows: Sequence[Totals]) -> list[Step]:
    if choice.step != HOUR:
        return steps_of(page, [row["date"] for row in rows], choice.step)
    return [_hour(page, row["date"]) for row in rows]


def _hour(page: Page, moment: datetime) -> Step:
    """A step of an hour. Its link leads to the calls of its day: lists of calls have days alone."""
    # Translators: an hour on the chart's axis, short, in Django's date format
    label = short_date(moment, gettext("M j H:i"))
    return Step(
        label,
        f"{written_day(moment.date())}, {moment:%H:%M}",
        link=page.calls(page.day(moment.date())),
        is_partial=moment + timedelta(hours=1) > page.now,
    )


def _as_long_as(steps: Sequence[Step], values: Values) -> list[Decimal | None]:
    """The values of the compared period, step by step; it may have another number of steps."""
    if not values:
        return []
    return [values[number] if number < len(values) else None for number in range(len(steps))]


# ── The same as a table ──────────────────────────────────────────────────────────────────────────────────────────


def by_step(choice: Choice, data: Data, drawn: Drawn) -> StepsTable:
    """The numbers that the chart draws."""
    steps, layers, whole = drawn.steps, drawn.layers, drawn.whole
    write = column_writer(choice.metric.kind, [*whole, *(value for layer, _ in layers for value in layer.values)])
    is_linked = len(steps) * len(layers) <= MOST_LINKED_CELLS
    lines, values = [], []
    for number, step in enumerate(steps):
        cells = [Cell(_written(write, whole[number]), step.link)]
        for layer, calls in layers:
            value = layer.values[number]
            link = narrowed(step.link, calls) if is_linked and step.link and calls and value else None
            cells.append(Cell(_written(write, value), link))
        lines.append(Line(step.title, step.is_partial, cells))
        values.append([data.steps[number]["date"], whole[number], *(layer.values[number] for layer, _ in layers)])
    return StepsTable([layer.name for layer, _ in layers], lines, values)


def _written(write: Any, value: Decimal | None) -> str:
    return "—" if value is None else str(write(value))
