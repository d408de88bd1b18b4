"""The data of Explore: totals by group, by step, and of the compared period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from usage_billing import reports
from usage_billing.models.daily_usage import DIMENSIONS
from usage_billing.pages import explore_metrics
from usage_billing.pages.dimensions import MODEL
from usage_billing.pages.explore_choice import Choice
from usage_billing.pages.page import Page
from usage_billing.reports import Series
from usage_billing.reports.sql.totals import first_day
from usage_billing.reports.time_series import HOUR
from usage_billing.reports.totals import Totals, difference, total_of

ROWS, ALL_ROWS = 25, 500
"""Rows of the table, and rows of the table of all rows."""
LAYERS = 8
"""Series of the chart; all others are drawn as one."""


@dataclass(frozen=True)
class Data:
    """`rows`: of the table, in its order. `other`: the sum of all rows that are not among them.

    `whole`, `before`: totals of the period and of the compared one. `rows_before`: of the compared period, by key.
    `steps`, `steps_before`: time series of both. `leaders`: the first group's rows with most of the metric; `series`:
    theirs, and that of all others. `hidden`, `followers`: rows that are not shown, and not drawn: some of them, of
    models all. `reaches_back`: whether there are data since the compared period's first day.
    """

    rows: list[Totals]
    hidden: list[Totals]
    other: Totals | None
    whole: Totals
    before: Totals | None
    rows_before: dict[tuple[object, ...], Totals]
    steps: list[Totals]
    steps_before: list[Totals]
    leaders: list[Totals]
    followers: list[Totals]
    series: list[Series]
    reaches_back: bool


def read(page: Page, choice: Choice) -> Data:
    """Read everything in at most nine queries; of a tag each takes two."""
    scope, period, filters = page.scope, page.parameters.period, page.parameters.filters
    measures = explore_metrics.measures()
    of_steps = reports.measures_of(choice.figure) if choice.step == HOUR else measures
    steps = reports.time_series(
        scope, period, page.today, step=choice.step, filters=filters, measures=of_steps, now=page.now
    )
    # By hour, archived calls are left out.
    whole = (
        reports.totals(scope, filters=filters, period=period, measures=measures)[0]
        if choice.step == HOUR
        else total_of(steps, measures)
    )
    rows, hidden = _rows(page, choice, measures)
    leaders, followers = _leaders(page, choice, [*rows, *hidden]) if whole["requests_count"] else ([], [])
    series = reports.stacked_series(
        scope,
        choice.group.columns,
        [choice.group.key(row) for row in leaders],
        steps,
        period,
        step=choice.step,
        filters=filters,
        measures=reports.measures_of(choice.figure),
    )
    steps_before = _steps_before(page, choice, measures)
    return Data(
        rows=rows,
        hidden=hidden,
        other=difference(whole, rows, measures) if hidden else None,
        whole=whole,
        before=_before(page, choice, steps_before, measures),
        rows_before=_rows_before(page, choice, rows),
        steps=steps,
        steps_before=steps_before,
        leaders=leaders,
        followers=followers,
        series=series,
        reaches_back=_reaches_back(page, choice, steps_before),
    )


def _rows(page: Page, choice: Choice, measures: Sequence[str]) -> tuple[list[Totals], list[Totals]]:
    """The rows that are shown, and others."""
    most = ALL_ROWS if choice.all_rows else ROWS
    found = reports.totals(
        page.scope,
        by=choice.columns,
        filters=page.parameters.filters,
        period=page.parameters.period,
        measures=measures,
        limit=_limit(choice, most),
        ordering=choice.ordering,
    )
    return _cut(found, most)


def _leaders(page: Page, choice: Choice, rows: list[Totals]) -> tuple[list[Totals], list[Totals]]:
    """The rows of the chart's series, largest first, and others."""
    ordering = f"-{choice.figure}"
    if choice.then is None and choice.ordering == ordering:
        return _cut(rows, LAYERS)
    found = reports.totals(
        page.scope,
        by=choice.group.columns,
        filters=page.parameters.filters,
        period=page.parameters.period,
        measures=reports.measures_of(choice.figure),
        limit=_limit(choice, LAYERS),
        ordering=ordering,
    )
    return _cut(found, LAYERS)


def _limit(choice: Choice, most: int) -> int:
    """`without_rows` has to know all models: two providers may have models of the same name."""
    return ALL_ROWS + 2 if choice.group == MODEL else most + 2


def _cut(rows: list[Totals], most: int) -> tuple[list[Totals], list[Totals]]:
    """The first rows, and the others. A single row more is kept rather than “all others” for it alone."""
    return (rows, []) if len(rows) <= most + 1 else (rows[:most], rows[most:])


# ── The compared period ──────────────────────────────────────────────────────────────────────────────────────────


def _steps_before(page: Page, choice: Choice, measures: Sequence[str]) -> list[Totals]:
    if choice.compared is None or not choice.draws_compared:
        return []
    return reports.time_series(
        page.scope,
        choice.compared,
        page.today,
        step=choice.step,
        filters=page.parameters.filters,
        measures=reports.measures_of(choice.figure) if choice.step == HOUR else measures,
    )


def _before(page: Page, choice: Choice, steps: list[Totals], measures: Sequence[str]) -> Totals | None:
    if choice.compared is None:
        return None
    if choice.step != HOUR:
        return total_of(steps, measures)
    return reports.totals(page.scope, filters=page.parameters.filters, period=choice.compared, measures=measures)[0]


def _rows_before(page: Page, choice: Choice, rows: Sequence[Totals]) -> dict[tuple[object, ...], Totals]:
    if choice.compared is None or not rows:
        return {}
    filters = page.parameters.filters
    # There may be any number of workflows, and of values of tags.
    if len(rows) <= ROWS + 1 or not {*choice.columns} <= {*DIMENSIONS}:
        of_rows = {name: {row[name] for row in rows} for name in choice.columns}
        filters = reports.narrowed(filters, of_rows)
    found = reports.totals(
        page.scope,
        by=choice.columns,
        filters=filters,
        period=choice.compared,
        measures=reports.measures_of(choice.figure),
    )
    return {choice.key(row): row for row in found}


def _reaches_back(page: Page, choice: Choice, steps: Sequence[Totals]) -> bool:
    """Whether the scope's data, whatever the filters, begin on the compared period's first day or before it."""
    compared = choice.compared
    if compared is None or compared.since is None:
        return False
    if choice.step == "day" and steps and steps[0]["requests_count"]:
        return True
    first = first_day(page.scope)
    return first is not None and first <= compared.since
