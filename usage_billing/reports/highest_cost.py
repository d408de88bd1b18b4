"""The highest cost of a call among some calls, from the rollups: an upper bound, for a budget that looks ahead."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from django.db.models import Max, Sum

from usage_billing.models import DailyUsage
from usage_billing.models.daily_usage import MAX_COST
from usage_billing.reports.parameters import Period


class HighestCost(NamedTuple):
    """usd: no call cost more. calls: how many there were."""

    usd: Decimal
    calls: int


def highest_costs(org_id: int, agent_id: str, period: Period) -> dict[tuple[str, str], HighestCost]:
    """The highest cost of an agent's priced calls in an organisation, by (provider, model). One query."""
    rows = DailyUsage.objects.filter(grain="org_mix", org_id=org_id, agent_id=agent_id)
    rows = rows.filter(**{f"{MAX_COST}__gt": 0})
    if period.since is not None:
        rows = rows.filter(usage_date__gte=period.since)
    found = rows.order_by().values_list("ai_provider", "ai_model").annotate(Max(MAX_COST), Sum("requests_count"))
    return {(provider, model): HighestCost(usd, calls) for provider, model, usd, calls in found}
