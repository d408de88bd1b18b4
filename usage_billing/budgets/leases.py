"""Leases: the parts of budgets that processes may spend without asking again.

Each is taken in one transaction of the process's own connection, within the scope of the budget's organisation. A row
that the transaction updates first (`BudgetLock`) lets one process at a time look and take, on every database: two of
them never see the same rest. What is spent comes from the ledger, so a lease is never granted against an old sum.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from django.db.models import Count, F
from django.utils import timezone

from usage_billing.budgets.spending import LINGER, Spending, spending
from usage_billing.budgets.windows import Window, window_of
from usage_billing.models import Budget, BudgetLease, BudgetLock, SettledHold
from usage_billing.models.database import atomic
from usage_billing.models.fields import MONEY_PLACES
from usage_billing.tenancy.scope import EVERYTHING, of_organization, within

LIFE = timedelta(seconds=60)
"""How long a lease lasts unless its process moves its end on. After it no call may use the lease."""
SHARE = 16
"""A lease beyond what is asked for now takes at most this part of the rest, so that it shrinks near the limit."""
PLACES = Decimal(1).scaleb(-MONEY_PLACES)


class GoneError(Exception):
    """The budget is deleted, inactive, or stops nothing any more."""


class UsedUpError(Exception):
    """What is left of the budget is less than the call may cost. The facts are those of the moment."""

    def __init__(self, budget: Budget, window: Window, spending: Spending) -> None:
        super().__init__(f"{budget.name}: {spending.taken} of {budget.limit} {budget.unit}")
        self.budget, self.window, self.spending = budget, window, spending


@dataclass(frozen=True)
class Granted:
    """A new lease. is_last: nothing else was reserved and less was left than asked for, so it is for one call alone."""

    id: int
    amount: Decimal
    is_last: bool


def take(
    org_id: int,
    budget_id: int,
    window: Window,
    *,
    outbox_id: str,
    unit: str,
    least: Decimal,
    wanted: Decimal,
    more: Decimal = Decimal(0),
    returned: Mapping[int, Decimal] | None = None,
) -> Granted:
    """Take a lease of at least `least`. Raises `UsedUpError`, `GoneError`, and what the database raises.

    outbox_id: where the calls of this process wait for the ledger; empty if unknown.
    unit: of the amounts; a budget that counts in another one by now is gone, until its process knows it.
    wanted: by all calls that wait now. more: for calls to come; at most `1 / SHARE` of the rest is granted for them.
    returned: what earlier leases of this process give back first, by their ids. If a call may cost more than is left,
    and nothing is reserved, the whole rest is granted for that call: the budget can be used to its end.
    """
    with _alone_with(org_id, budget_id):
        give_back(org_id, returned or {})
        at = timezone.now()  # a lease that expires later is reserved now, for its process may renew it
        _delete_expired(org_id, budget_id, at)
        budget = Budget.objects.filter(org=org_id, pk=budget_id, mode=Budget.Mode.STOP, is_active=True).first()
        if budget is None or budget.unit != unit:
            raise GoneError
        found = spending(budget, window, at)
        rest = budget.limit - found.taken
        is_last = 0 < rest < least and not found.reserved
        amount = min(rest, max(least, wanted))
        amount += _whole(budget, min(more, max(Decimal(0), rest - amount) / SHARE))
        if amount <= 0 or (rest < least and not is_last):
            raise UsedUpError(budget, window, found)
        lease = BudgetLease.objects.create(
            org_id=org_id,
            budget=budget,
            first_day=window.first,
            unit=unit,
            granted=amount,
            holder=holder(),
            outbox=outbox_id,
            expires_at=timezone.now() + LIFE,
        )
    return Granted(lease.pk, amount, is_last)


def _whole(budget: Budget, amount: Decimal) -> Decimal:
    """The amount in as many digits as the unit has."""
    places = PLACES if budget.unit in (Budget.Unit.USD, Budget.Unit.RUB) else Decimal(1)
    return amount.quantize(places, ROUND_DOWN)


def is_overdrawn(org_id: int, budget_id: int, unit: str, first_day: date) -> bool:
    """Whether more is spent and reserved than the limit, which may have been lowered; also if the budget is gone."""
    with within(of_organization(org_id)):
        budget = Budget.objects.filter(org=org_id, pk=budget_id, unit=unit, is_active=True).first()
        return budget is None or spending(budget, window_of(budget, first_day)).taken > budget.limit


def give_back(org_id: int, amounts: Mapping[int, Decimal]) -> None:
    """Lessen leases by what they no longer need. In the scope of the organisation, or of `returning`."""
    for lease_id, amount in sorted(amounts.items()):
        if amount:
            BudgetLease.objects.filter(org=org_id, pk=lease_id).update(granted=F("granted") - amount)


def renew(org_id: int, lease_ids: Sequence[int], returned: Mapping[int, Decimal]) -> dict[int, Decimal]:
    """Give back amounts, and let the leases last. Returns what those that exist still have granted, by their ids."""
    with atomic(), within(of_organization(org_id)):
        give_back(org_id, returned)
        mine = BudgetLease.objects.filter(org=org_id, pk__in=lease_ids)
        mine.update(expires_at=timezone.now() + LIFE)
        return dict(mine.values_list("pk", "granted"))


def settled(org_id: int, lease_ids: Iterable[int]) -> dict[int, int]:
    """How many holds of each lease the ledger has settled. Amounts would not do: SQLite keeps 15 digits of them."""
    with within(of_organization(org_id)):
        rows = SettledHold.objects.filter(org=org_id, lease__in=[*lease_ids]).order_by()
        return dict(rows.values_list("lease_id").annotate(Count("number")))


def close(org_id: int, lease_ids: Sequence[int]) -> None:
    """Delete leases of which nothing is reserved any more."""
    with atomic(), within(of_organization(org_id)):
        _delete(org_id, lease_ids)


def release_drained(outbox_id: str, until: datetime) -> None:
    """Delete leases that expired by `until`, to which all of their outbox is in the ledger. For the drain.

    Processes and outbox have one clock: machines need not agree on the time.
    """
    with atomic(), within(EVERYTHING):
        BudgetLease.objects.filter(outbox=outbox_id, expires_at__lte=until).delete()


def sweep() -> None:
    """Delete leases that no drain has released, and holds that were settled after their lease. For the drain."""
    with atomic(), within(EVERYTHING):
        BudgetLease.objects.filter(expires_at__lte=timezone.now() - LINGER).delete()
        SettledHold.objects.exclude(lease__in=BudgetLease.objects.values("pk")).delete()


def holder() -> str:
    """Name this process for people who look into the table."""
    return f"{socket.gethostname()}:{os.getpid()}"[:200]


@contextmanager
def _alone_with(org_id: int, budget_id: int) -> Iterator[None]:
    """A transaction in the organisation's scope, while no other process is in one for this budget."""
    with atomic(), within(of_organization(org_id)):
        mine = BudgetLock.objects.filter(org=org_id, budget=budget_id)
        if not mine.update(turns=F("turns") + 1):
            # The first one makes the row; of two at once, the second waits here, and finds it.
            if not Budget.objects.filter(org=org_id, pk=budget_id).exists():
                raise GoneError
            BudgetLock.objects.bulk_create([BudgetLock(org_id=org_id, budget_id=budget_id)], ignore_conflicts=True)
            mine.update(turns=F("turns") + 1)
        yield


def _delete_expired(org_id: int, budget_id: int, at: datetime) -> None:
    """Delete those that no drain has released, and that reserve nothing any more."""
    until = at - LINGER
    expired = BudgetLease.objects.filter(org=org_id, budget=budget_id, expires_at__lte=until)
    _delete(org_id, [*expired.values_list("pk", flat=True)], expires_at__lte=until)


def _delete(org_id: int, lease_ids: Sequence[int], **condition: datetime) -> None:
    """Delete leases, those that still meet the condition: a process that is late may renew one meanwhile."""
    if not lease_ids:
        return
    mine = BudgetLease.objects.filter(org=org_id, pk__in=lease_ids)
    mine.filter(**condition).delete()
    of_leases = SettledHold.objects.filter(org=org_id, lease__in=lease_ids)
    (of_leases.exclude(lease__in=mine.values("pk")) if condition else of_leases).delete()
