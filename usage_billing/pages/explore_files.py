"""The numbers of Explore as a file: exactly the rows and columns of the page, with all digits.

CSV is for a spreadsheet in the reader's language, JSON Lines for programs: its names are those of the API.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext

from usage_billing.api import sheets
from usage_billing.pages import explore_chart, explore_table
from usage_billing.pages.explore_choice import STEPS, Choice
from usage_billing.pages.explore_data import Data
from usage_billing.pages.explore_metrics import COST
from usage_billing.pages.page import Page
from usage_billing.reports.totals import Totals

PLACES = 6
"""Decimals of shares and changes."""


@dataclass(frozen=True)
class File:
    """heads: for people. names: for programs. rows: a value for each.

    figure: of a table by step, in which each name after the second is that of a series.
    """

    heads: list[str]
    names: list[str]
    rows: list[list[Any]]
    figure: str = ""


def answer(page: Page, choice: Choice, data: Data, kind: str, table: str) -> HttpResponse:
    """The file as a download."""
    file = of_steps(page, choice, data) if table == STEPS else of_rows(page, choice, data)
    since, last = page.parameters.period.since, page.parameters.period.last_day(page.today)
    content, content_type = _written(file, kind)
    name = f"ai-costs-{table}-{since}-{last}.{kind}"
    return HttpResponse(
        content, content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def of_rows(page: Page, choice: Choice, data: Data) -> File:
    """The table: its rows, all others, and the total."""
    table = explore_table.table(page, choice, data)
    metrics, currency = table.metrics, choice.currency
    parameters = [name for each in choice.groups for name in each.parameters]
    ids = list(dict.fromkeys(parameters))
    heads = [str(each.one) for each in choice.groups]
    names = [f"{each.name}_name" for each in choice.groups]
    heads += [*ids, *(str(each.title) for each in metrics if each is not COST)]
    names += [*ids, *(each.figure(currency) for each in metrics if each is not COST)]
    if table.has_share:
        heads.append(gettext("Share"))
        names.append("share")
    if table.has_change:
        heads.append(gettext("Change"))
        names.append("change")
    heads += [gettext("Unpriced"), currency.upper()]
    names += [f"unpriced_{currency}_count", COST.figure(currency)]
    rows = [list(_of_row(choice, table, row, ids)) for row in table.rows]
    return File(heads, names, rows)


def _of_row(choice: Choice, table: explore_table.Table, row: explore_table.Row, ids: Sequence[str]) -> Iterator[Any]:
    texts = [name.text for name in row.names]
    yield from [*texts, *[None] * (len(choice.groups) - len(texts))]
    values = {} if row.kind else choice.narrowing(row.sums)
    yield from (values.get(name) for name in ids)
    yield from (_figure(row.sums, each, choice) for each in table.metrics if each is not COST)
    if table.has_share:
        yield _ratio(row.share)
    if table.has_change:
        yield _ratio(row.change)
    yield row.unpriced
    yield COST.value(row.sums, choice.currency)


def _figure(sums: Totals, metric: Any, choice: Choice) -> Any:
    value = metric.value(sums, choice.currency)
    return int(value) if value is not None and metric.kind == "count" else value


def _ratio(value: Decimal | None) -> Decimal | None:
    return None if value is None else round(value, PLACES)


def of_steps(page: Page, choice: Choice, data: Data) -> File:
    """The numbers of the chart: a row for each step, a column for the whole and for each series."""
    table = explore_chart.by_step(choice, data, explore_chart.draw(page, choice, data))
    figure = choice.figure
    heads = [gettext("Beginning"), f"{choice.metric.title}", *table.heads]
    return File(heads, ["date", figure, *table.heads], table.values, figure)


# ── Formats ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _written(file: File, kind: str) -> tuple[bytes, str]:
    if kind == "jsonl":
        content = "".join(f"{sheets.json_line(_object(file, row))}\n" for row in file.rows).encode()
    else:
        content = sheets.table(kind, file.heads, file.rows, sheets.dialect_of_language())
    return content, sheets.CONTENT_TYPES[kind]


def _object(file: File, row: Sequence[Any]) -> dict[str, Any]:
    """A row for programs. Series are a list, because people may give two of them the same name."""
    if not file.figure:
        return {name: _plain(value) for name, value in zip(file.names, row, strict=True)}
    moment, whole, *parts = map(_plain, row)
    series = [{"name": name, file.figure: part} for name, part in zip(file.names[2:], parts, strict=True)]
    return {"date": moment, file.figure: whole, "series": series}


def _plain(value: Any) -> Any:
    """Decimals as the API writes them, days and moments in ISO 8601."""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return value.isoformat() if isinstance(value, date | datetime) else value
