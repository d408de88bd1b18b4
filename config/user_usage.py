"""The figures beside each user of the list: organisations with roles, last call, cost of the last days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Max, Q

from usage_billing import reports
from usage_billing.models import DailyUsage, Membership, UsageRecord
from usage_billing.reports import Period
from usage_billing.tenancy.scope import Scope

DAYS = 30
NO_COST: dict[str, Any] = {"requests_count": 0, "cost_usd": Decimal(0), "unpriced_usd_count": 0}
MEASURES = ("requests_count", "unpriced_usd_count", "unpriced_rub_count", "cost_usd", "cost_rub")


@dataclass
class UserUsage:
    """`cost`: the measures of the last `DAYS` days."""

    memberships: list[Membership] = field(default_factory=list)
    last_call_at: datetime | None = None
    cost: dict[str, Any] = field(default_factory=lambda: NO_COST)


def user_usage(users: Iterable[User], scope: Scope, today: date) -> dict[int, UserUsage]:
    """User key → usage, in four queries for any number of users."""
    keys = [user.pk for user in users]
    found: dict[int, UserUsage] = defaultdict(UserUsage)
    for membership in Membership.objects.filter(user__in=keys).select_related("org").order_by("org__name"):
        found[membership.user_id].memberships.append(membership)
    for key, at in _last_calls(keys):
        found[key].last_call_at = at
    costs = reports.totals(
        scope, by=("user_id",), filters={"user_id": {*keys}}, period=Period.of_days(DAYS, today), measures=MEASURES
    )
    for row in costs:
        found[row["user_id"]].cost = row
    return found


def _last_calls(keys: Sequence[int]) -> Iterable[tuple[int, datetime]]:
    """Read the calls of each user's last billing day, which the rollups tell: grouping would read all of their calls.

    The day before counts too: two organisations may be in different time zones.
    """
    last_days = DailyUsage.objects.filter(grain="org_user", user_id__in=keys).order_by()
    of_last_days = Q(pk__in=[])
    for key, day in last_days.values_list("user_id").annotate(Max("usage_date")):
        of_last_days |= Q(user_id=key, usage_date__gte=day - timedelta(days=1))
    return UsageRecord.objects.filter(of_last_days).order_by().values_list("user_id").annotate(Max("created_at"))
