"""The cost of workflows and pieces of content, added up from the calls: rollups leave both out."""

from __future__ import annotations

from usage_billing.reports.parameters import Filters, Period
from usage_billing.reports.totals import COST_MEASURES, Totals, totals
from usage_billing.tenancy.scope import Scope

MEASURES = (*COST_MEASURES, "total_tokens", "failed_count")


def workflow_totals(
    scope: Scope, column: str, period: Period, *, filters: Filters | None = None, limit: int = 10
) -> list[Totals]:
    """The `MEASURES` of the most expensive by `workflow_id` or `content_id`; calls without one are left out.

    One query, whose time grows with the period's calls.
    """
    rows = totals(scope, by=[column], filters=filters, period=period, limit=limit + 1, measures=MEASURES)
    return [row for row in rows if row[column] is not None][:limit]
