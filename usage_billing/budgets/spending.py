"""How much of a budget is spent, by the ledger, and how much is reserved, by its leases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from usage_billing import reports
from usage_billing.budgets.scopes import filters_of, is_version_of
from usage_billing.budgets.windows import Window
from usage_billing.models import Budget, BudgetLease, SettledHold
from usage_billing.reports import Excluded, Period
from usage_billing.reports.totals import COST_MEASURES, Totals, total_of
from usage_billing.tenancy.scope import of_organization, within

MEASURES = (*COST_MEASURES, "total_tokens")
REFUSED = "refused"
"""The status of calls that a budget stopped: they are no calls of a budget that counts calls."""
LINGER = timedelta(hours=1)
"""For how long an expired lease goes on reserving, unless the drain of its outbox releases it.

Calls of a process that was killed wait there: they would be neither reserved nor spent.
"""
COLUMNS: dict[str, str] = {
    Budget.Unit.USD: "cost_usd",
    Budget.Unit.RUB: "cost_rub",
    Budget.Unit.TOKENS: "total_tokens",
    Budget.Unit.CALLS: "requests_count",
}
"""Unit → the measure of reports that it counts."""
UNPRICED: dict[str, str] = {Budget.Unit.USD: "unpriced_usd_count", Budget.Unit.RUB: "unpriced_rub_count"}
"""Unit → the measure of the calls that an amount leaves out."""


@dataclass(frozen=True)
class Spending:
    """Amounts in the budget's unit. unpriced: calls whose cost is unknown, which `spent` leaves out."""

    spent: Decimal
    reserved: Decimal
    unpriced: int

    @property
    def taken(self) -> Decimal:
        return self.spent + self.reserved


def spending(budget: Budget, window: Window, at: datetime | None = None) -> Spending:
    """What is spent and reserved in the window, in the scope of the budget's organisation.

    at: the moment of which leases reserve; now, if it is not given.

    What is spent comes from the rollups: equal to the ledger at every commit (guarantee 5, docs/guarantees.md). If the
    ledger settles holds between the two reads, they are read again: a call is never in neither of them.
    """
    windows, at = {budget.pk: window}, at or timezone.now()
    with within(of_organization(budget.org_id)):
        reserved = reserved_of([budget], windows, at)
        while True:
            total = totals_of(budget, Period(window.first, window.end))
            before, reserved = reserved, reserved_of([budget], windows, at)
            if reserved == before:
                break
    unpriced = total[UNPRICED[budget.unit]] if budget.unit in UNPRICED else 0
    return Spending(in_unit(budget, total), reserved[budget.pk], unpriced)


def reserved_of(budgets: Iterable[Budget], windows: Mapping[int, Window], at: datetime) -> dict[int, Decimal]:
    """What open leases of each budget have granted in its window, less the holds that are settled; by the budgets' ids.

    Two queries, in the scope of the budgets' organisations.
    """
    by_id = {budget.pk: budget for budget in budgets}
    found = dict.fromkeys(by_id, Decimal(0))
    open_leases = BudgetLease.objects.filter(
        org__in={budget.org_id for budget in by_id.values()}, budget__in=by_id, expires_at__gt=at - LINGER
    )
    leases = {
        lease.pk: lease
        for lease in open_leases
        if lease.first_day == windows[lease.budget_id].first and lease.unit == by_id[lease.budget_id].unit
    }
    if not leases:
        return found
    rows = SettledHold.objects.filter(org__in={lease.org_id for lease in leases.values()}, lease__in=leases)
    settled = dict(rows.values_list("lease_id").annotate(Sum("amount")))
    for lease in leases.values():
        found[lease.budget_id] += lease.granted - settled.get(lease.pk, Decimal(0))
    return found


def totals_of(budget: Budget, period: Period) -> Totals:
    """The totals of the calls that the budget counts."""
    filters = filters_of(budget)
    if budget.unit == Budget.Unit.CALLS:
        filters["status"] = Excluded(frozenset([REFUSED]))
    scope = of_organization(budget.org_id)
    if not budget.ai_model:
        return reports.totals(scope, filters=filters, period=period, measures=MEASURES)[0]
    rows = reports.totals(scope, by=["ai_model"], filters=filters, period=period, measures=MEASURES)
    return total_of([row for row in rows if is_version_of(row["ai_model"], budget.ai_model)], MEASURES)


def in_unit(budget: Budget, total: dict[str, Any]) -> Decimal:
    """The budget's measure among totals; an amount of which nothing is known counts as zero."""
    return Decimal(total[COLUMNS[budget.unit]] or 0)
