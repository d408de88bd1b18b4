"""The page as a CSV file: the same tables in the same order, with every digit of each amount.

The file is for a spreadsheet in the reader's language: a Russian one splits at semicolons and reads decimal commas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext

from usage_billing.api import sheets

Cells = Sequence[Any]


def answer(context: Mapping[str, Any]) -> HttpResponse:
    since, last = context["since"], context["last"]
    return HttpResponse(
        sheets.csv_file(_rows(context), sheets.dialect_of_language()),
        content_type=f"{sheets.CSV}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="ai-costs-{since}-{last}.csv"'},
    )


def _rows(context: Mapping[str, Any]) -> Iterator[Cells]:
    yield [context["title"], context["scope_text"]]
    yield [gettext("Period"), context["since"], context["last"]]
    yield from ([str(chip.label), chip.value] for chip in context["chips"])
    yield []
    yield from _totals(context)
    yield []
    yield from _days(context)
    for panel in (*context["panels"], *context["workflows"]):
        yield []
        yield from _panel(panel)
    yield []
    yield from _calls(context["latest"])


def _totals(context: Mapping[str, Any]) -> Iterator[Cells]:
    total = context["total"]
    before = total["before"] or {}
    yield [gettext("Total"), *_amount_heads(), gettext("Failed"), *_unpriced_heads()]
    yield [gettext("This period"), *_amounts(total), total["failed_count"], *_unpriced(total)]
    if before:
        yield [gettext("Previous period"), *_amounts(before)]
    expected = context["forecast"].expected
    if expected is not None:
        yield [gettext("This month, expected"), "", "", expected["usd"], expected["rub"]]


def _days(context: Mapping[str, Any]) -> Iterator[Cells]:
    currency = context["parameters"].currency.upper()
    names = [f"{entry['name']}, {currency}" for entry in context["legend"]]
    yield [gettext("Day"), *_amount_heads(), *_unpriced_heads(), *names]
    for row in context["days"]:
        sums = row["sums"]
        yield [sums["date"], *_amounts(sums), *_unpriced(sums), *row["amounts"]]


def _panel(panel: Any) -> Iterator[Cells]:
    heads = [str(panel.dimension.one), *_amount_heads(), gettext("Failed"), *_unpriced_heads()]
    yield [*heads, gettext("Share of cost"), gettext("Trend")]
    for row in panel.rows:
        sums = row.sums
        change = (sums["change"] or {}).get("cost_usd")
        numbers = [*_amounts(sums), sums["failed_count"], *_unpriced(sums)]
        yield [row.name, *numbers, *(None if each is None else round(each, 4) for each in (sums["share"], change))]
    if panel.other:
        yield [
            gettext("all others"),
            *_amounts(panel.other),
            panel.other["failed_count"],
            *_unpriced(panel.other),
        ]


def _calls(latest: Sequence[Mapping[str, Any]]) -> Iterator[Cells]:
    yield [
        gettext("Time"),
        gettext("Request type"),
        gettext("Agent"),
        gettext("Provider"),
        gettext("Model"),
        gettext("Tokens"),
        "USD",
        "RUB",
        gettext("Organisation"),
        gettext("Who"),
        gettext("Status"),
        gettext("Error"),
    ]
    for entry in latest:
        call = entry["call"]
        yield [
            call.created_at,
            call.request_type,
            call.agent_id,
            call.ai_provider,
            call.ai_model,
            call.total_tokens,
            call.cost_usd,
            call.cost_rub,
            entry["org"],
            entry["who"],
            entry["status"],
            call.error_code,
        ]


def _amount_heads() -> Cells:
    return [gettext("Requests"), gettext("Tokens"), "USD", "RUB"]


def _amounts(row: Mapping[str, Any]) -> Cells:
    return [row["requests_count"], row["total_tokens"], row["cost_usd"], row["cost_rub"]]


def _unpriced_heads() -> Cells:
    return [f"{gettext('Unpriced')}, USD", f"{gettext('Unpriced')}, RUB"]


def _unpriced(row: Mapping[str, Any]) -> Cells:
    return [row["unpriced_usd_count"], row["unpriced_rub_count"]]
