"""The most expensive calls, workflows and pieces of content."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from usage_billing import reports
from usage_billing.pages import call_columns
from usage_billing.pages.dimensions import WORKFLOW, WORKFLOWS, Dimension
from usage_billing.pages.page import CALLS, Page
from usage_billing.reports.calls import LISTED
from usage_billing.reports.totals import Totals
from usage_billing.templatetags.amounts import common_places

CALLS_SHOWN = 10
ROWS = 8
WORKFLOWS_UP_TO_CALLS = 10_000
"""With more calls in the period, workflows and content are added up only on request.

Milliseconds for both on PostgreSQL with a million calls, two busy cores: 150 for 13,000 calls, 690 for 57,000.
"""


@dataclass(frozen=True)
class Row:
    """A workflow or a piece of content. cost: in the page's currency."""

    name: str
    sums: Totals
    cost: Decimal | None
    link: str


@dataclass(frozen=True)
class Table:
    dimension: Dimension
    rows: list[Row]
    places: int


@dataclass(frozen=True)
class Section:
    """tables: None if they take long and were not asked for; `ask` is the address that does."""

    heads: list[call_columns.Head]
    calls: list[call_columns.Row]
    all_calls: str
    tables: list[Table] | None
    ask: str


def section(page: Page, total: Totals) -> Section:
    """The queries of a list by cost; one for the names of users; two for workflows and content, and their titles."""
    parameters = page.parameters
    listed = reports.page(
        page.scope,
        filters=parameters.filters,
        period=parameters.period,
        ordering="-cost_usd",
        limit=CALLS_SHOWN,
        fields=LISTED,
    )
    found = [call for call in listed.calls if call.cost_usd]
    columns = call_columns.compact(page)
    is_quick = total["requests_count"] <= WORKFLOWS_UP_TO_CALLS
    return Section(
        heads=call_columns.heads(page, columns),
        calls=call_columns.rows(page, columns, found),
        all_calls=page.to(CALLS, sort="-cost_usd"),
        tables=[_table(page, each) for each in WORKFLOWS] if is_quick or parameters.own.get("workflows") else None,
        ask=page.link(workflows="show") + f"#{WORKFLOW.name}",
    )


def _table(page: Page, dimension: Dimension) -> Table:
    column = dimension.columns[0]
    found = reports.workflow_totals(
        page.scope, column, page.parameters.period, filters=page.parameters.filters, limit=ROWS
    )
    page.names.look_up_rows(dimension, found)
    rows = [
        Row(
            page.names.of(dimension, (row[column],)),
            row,
            row[f"cost_{page.parameters.currency}"],
            page.calls({**dimension.narrowing((row[column],)), "sort": "-cost_usd"}),
        )
        for row in found
    ]
    return Table(dimension, rows, common_places(row.cost for row in rows))
