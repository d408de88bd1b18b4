"""Settles what calls have reserved of budgets, in the transaction that inserts their records.

So a call is spent or reserved at every commit, and never both or neither. An event may come any number of times, and
its record may be there already: each hold is settled once, by its number. The hold of a lease that is gone settles
nothing, and no content of a hold stops a record.
"""

from __future__ import annotations

from collections.abc import Iterable

from usage_billing.ledger import bulk
from usage_billing.models import BudgetLease, SettledHold
from usage_billing.models.fields import LARGEST_ID
from usage_billing.recording.event import Event, Hold
from usage_billing.recording.gate import LARGEST_NUMBER

COLUMNS = ("org_id", "lease_id", "number", "amount")
LARGEST_HOLD = 2**31 - 1


def settle(events: Iterable[Event]) -> None:
    """Insert the holds of these events that are not settled yet."""
    holds = {hold for event in events for hold in event.holds if _is_sound(hold)}
    if not holds:
        return
    leases = {(hold.org_id, hold.lease_id) for hold in holds}
    known = {(org_id, lease_id) for org_id, lease_id in bulk.existing(BudgetLease, ("org_id", "id"), sorted(leases))}
    rows = sorted(
        (hold.org_id, hold.lease_id, hold.number, hold.amount)
        for hold in holds
        if (hold.org_id, hold.lease_id) in known
    )
    bulk.insert(SettledHold, COLUMNS, rows, "ON CONFLICT (org_id, lease_id, number) DO NOTHING")


def _is_sound(hold: Hold) -> bool:
    """Whether its columns can hold it: an event comes from outside this process."""
    ids = (hold.org_id, hold.lease_id)
    return (
        all(0 < each <= LARGEST_ID for each in ids)
        and 0 < hold.number <= LARGEST_HOLD
        and hold.amount.is_finite()
        and 0 <= hold.amount <= LARGEST_NUMBER
    )
