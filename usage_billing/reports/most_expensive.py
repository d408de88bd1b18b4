"""The most expensive calls, found through the rollups."""

from __future__ import annotations

from usage_billing.models import UsageRecord
from usage_billing.models.archived_usage import OF_CALLS_ONLY
from usage_billing.reports.calls import calls
from usage_billing.reports.parameters import ALL_TIME, SINGLE_CALL_FILTERS, Filters, Period, tag_keys
from usage_billing.reports.sql.totals import highest_costs
from usage_billing.tenancy.scope import Scope


def most_expensive(
    scope: Scope, limit: int, *, filters: Filters | None = None, period: Period = ALL_TIME
) -> list[UsageRecord]:
    """The calls with the highest cost; free and unpriced calls are left out. Two queries.

    The rollups tell the highest cost of each day. The `limit` highest of them are of as many calls, so a call below
    the least of them cannot be in the list: only a few days are read, and of each only the first entries of its index
    by cost. A day's cost is too high after its calls were repriced to less, or archived. If that leaves the list too
    short, it is read again with more days.
    """
    rows = calls(scope, filters=filters, period=period, ordering="-cost_usd").filter(cost_usd__gt=0)
    names = {*(filters or {})}
    if not names.isdisjoint((*OF_CALLS_ONLY, *SINGLE_CALL_FILTERS)) or len(tag_keys(names)) > 1:
        return list(rows[:limit])  # no rollup keeps these
    days = highest_costs(scope, filters or {}, period)
    count = limit
    while True:
        least = days[count - 1][1] if count < len(days) else 0
        candidates = [day for day, cost in days if cost >= least]
        found = list(rows.filter(usage_date__in=candidates, cost_usd__gte=least)[:limit])
        if len(found) == limit or count >= len(days):
            return found
        count *= 4
