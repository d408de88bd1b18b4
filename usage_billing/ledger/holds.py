"""Settles what calls have reserved of budgets, in the transaction that inserts their records.

So a call is spent or reserved at every commit, and never both or neither. An event may come any number of times, and
its record may be there already: each hold is settled once, by its number.
"""

from __future__ import annotations

from collections.abc import Iterable

from usage_billing.ledger import bulk
from usage_billing.models import SettledHold
from usage_billing.recording.event import Event

COLUMNS = ("org_id", "lease_id", "number", "amount")


def settle(events: Iterable[Event]) -> None:
    """Insert the holds of these events that are not settled yet."""
    holds = sorted({(hold.org_id, hold.lease_id, hold.number, hold.amount) for event in events for hold in event.holds})
    if holds:
        bulk.insert(SettledHold, COLUMNS, holds, "ON CONFLICT (org_id, lease_id, number) DO NOTHING")
