"""Links of Explore: from a row to its calls, and from “all others” to the calls that no shown row counts."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from usage_billing.pages.explore_choice import Choice
from usage_billing.pages.page import Page
from usage_billing.pages.parameters import Changes, query_of
from usage_billing.pages.rows import excluding
from usage_billing.reports.totals import Totals


def without_rows(page: Page, choice: Choice, shown: Sequence[Totals], others: Sequence[Totals]) -> Changes | None:
    """The URL parameters that exclude the shown rows; None where no filter can.

    Filters exclude values of one parameter at a time: neither pairs of two groups, nor one of two models of the same
    name. others: the rows that must remain.
    """
    changes = excluding(page, choice.group, shown, others)
    return None if changes is None else {**choice.metric.calls, **changes}


def narrowed(link: str, changes: Changes) -> str:
    """An address with some parameters changed."""
    path, _, query = link.partition("?")
    return f"{path}?{query_of(tuple(parse_qsl(query, keep_blank_values=True)), changes)}"
