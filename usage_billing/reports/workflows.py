"""What one workflow, or one piece of content, cost: added up from the calls, which alone know of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usage_billing.reports.parameters import Period
from usage_billing.reports.sql.pipelining import Later, Report
from usage_billing.reports.totals import OF_COSTS, Totals, totals
from usage_billing.tenancy.scope import Scope

OF_WORK = (*OF_COSTS, "total_tokens", "failed_count")


@Report
def work(
    scope: Scope, column: str, period: Period, *, filters: Mapping[str, Any] | None = None, limit: int = 10
) -> Later[list[Totals]]:
    """`OF_WORK` of the dearest by `workflow_id` or `content_id`. One query, whose time grows with the period's calls.

    Calls without one are left out.
    """
    rows = totals.ask(scope, by=[column], filters=filters, period=period, limit=limit + 1, measures=OF_WORK)
    return lambda: [row for row in rows() if row[column] is not None][:limit]
