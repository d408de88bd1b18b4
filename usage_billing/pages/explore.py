"""Explore: any metric by any one or two dimensions over time, compared with any period."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from django.http import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext

from usage_billing import reports
from usage_billing.api import export_slots
from usage_billing.pages import explore_chart, explore_data, explore_files, explore_menus, explore_table, shell
from usage_billing.pages.controls import Choice as Option
from usage_billing.pages.explore_choice import FORMATS, STEPS, Choice, choice_of, typed_tags
from usage_billing.pages.explore_choice import ExploreSerializer as ExploreSerializer
from usage_billing.pages.explore_metrics import axis_writer
from usage_billing.pages.page import Page
from usage_billing.reports.time_series import HOUR


def context(page: Page) -> dict[str, Any] | HttpResponseBase:
    """The context of the template, or a file of its numbers."""
    if page.scope.is_empty:
        return {}
    if changes := typed_tags(page):
        return redirect(page.link(changes))
    choice = choice_of(page)
    if kind := page.parameters.own.get("format"):
        return _file(page, choice, kind)
    data = explore_data.read(page, choice)
    drawn = explore_chart.draw(page, choice, data)
    table = explore_table.table(page, choice, data)
    headline = choice.metric.value(data.whole, choice.currency)
    period = page.parameters.period
    return {
        "choice": choice,
        "metric": choice.metric,
        "total": data.whole,
        "menus": explore_menus.menus(page, choice),
        "chart": drawn.chart,
        # It takes as long as the rest of the page, so it is made when somebody asks for it.
        "by_step": explore_chart.by_step(choice, data, drawn) if "numbers" in page.parameters.own else None,
        "numbers_link": page.link(numbers="show") + "#numbers",
        "without_numbers_link": page.link(numbers=None),
        "table": table,
        "headline": "—" if headline is None else axis_writer(choice.metric, choice.currency)(headline),
        "headline_change": table.change,
        "calls_link": page.calls(dict(choice.metric.calls)),
        "compared": choice.compared,
        "compared_last": choice.compared.last_day(page.today) if choice.compared else None,
        "reaches_back": data.reaches_back,
        "includes_today": period.includes(page.today) and choice.compared is not None,
        "patterns_link": page.link(patterns=None if choice.has_patterns else "1"),
        "archived_before": reports.archived_before(period) if choice.step == HOUR else None,
        "exports": exports(page),
    }


def exports(page: Page) -> list[tuple[str, list[Option]]]:
    """The files that can be had: the table, and the numbers of the chart, each in three formats."""
    names = {"csv": "CSV", "xlsx": "XLSX", "jsonl": "JSON Lines"}
    tables = ((None, gettext("This table")), (STEPS, gettext("The numbers of the chart")))
    return [
        (text, [Option(names[kind], page.link(format=kind, table=table), False) for kind in FORMATS])
        for table, text in tables
    ]


def _file(page: Page, choice: Choice, kind: str) -> HttpResponseBase:
    """The same numbers as a file, with all digits."""
    try:
        with closing(export_slots.take(page.request.user)):
            data = explore_data.read(page, choice)
            return explore_files.answer(page, choice, data, kind, page.parameters.own["table"])
    except export_slots.TooManyExportsError as full:
        return shell.too_many_exports(page.request, str(full))
