"""The leases that this process holds, in memory: calls reserve parts of them here, without any I/O."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from usage_billing.budgets import leases as database
from usage_billing.budgets.leases import Granted
from usage_billing.budgets.published import PublishedBudget
from usage_billing.budgets.windows import Window
from usage_billing.recording.admission import Admitted
from usage_billing.recording.event import Hold

MARGIN_S = 10.0
"""A lease is not used in the last seconds of its life: clocks and threads may be late."""
IDLE_S = 10.0
"""What no call has used for so long is given back."""
MOST_CALLS = 500
"""A lease is for so many calls to come at most. After as many the ledger is looked at again: it knows their cost."""
REFUSED_S = 1.0
"""For how long a refusal stands without another look: a loop of refused calls must not become a loop of queries."""
NOISE = Decimal("1e-6")
"""SQLite keeps 15 digits of an amount."""
ZERO = Decimal(0)

Key = tuple[int, str, date]
"""A budget, its unit and the first day of its window: a lease in tokens is none in dollars."""


class Stake(NamedTuple):
    """What a call may take of one budget, in its unit. is_known: the database has told what it may cost."""

    budget: PublishedBudget
    window: Window
    amount: Decimal
    is_known: bool = True

    @property
    def key(self) -> Key:
        return self.budget.id, self.budget.unit, self.window.first


@dataclass
class UsedUp:
    """What the database said of a budget that is used up: amounts in its unit."""

    stake: Stake
    limit: Decimal
    spent: Decimal
    reserved: Decimal

    @property
    def rest(self) -> Decimal:
        return self.limit - self.spent - self.reserved


@dataclass(eq=False)
class Lease:
    """A lease of this process.

    free: what no call has reserved. holds: how many it has given. in_flight: calls that hold parts of it. recorded:
    those that the ledger settles, or has settled. until: when it may be used no more, by the monotonic clock.
    """

    id: int
    org_id: int
    key: Key
    granted: Decimal
    free: Decimal
    until: float
    used_at: float
    is_last: bool = False
    holds: int = 0
    in_flight: int = 0
    recorded: int = 0


@dataclass
class _Pool:
    """The leases of one budget and window.

    more: how much beyond the calls that wait is asked for next. calls: how many have reserved since the last look into
    the ledger.
    """

    leases: list[Lease] = field(default_factory=list)
    more: Decimal = ZERO
    calls: int = 0
    is_topping_up: bool = False
    used_up: UsedUp | None = None
    used_up_until: float = 0.0


class Holdings:
    """Safe between threads. Nothing here waits for anything but the lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # re-entrant: the garbage collector may end a call in the middle
        self._pools: dict[Key, _Pool] = {}
        self._leases: dict[int, Lease] = {}

    def __bool__(self) -> bool:
        return bool(self._leases)

    def reserve(self, stakes: Sequence[Stake]) -> list[Hold] | UsedUp | None:
        """Reserve all stakes, or none. None: a look into the database is needed."""
        with self.lock:
            now = time.monotonic()
            found: list[Hold] = []
            for stake in stakes:
                hold = self._reserve(stake, now)
                if hold is None:
                    self.released(found)
                    return self._refusal(stake, now)
                found.append(hold)
            return found

    def reserve_one(self, stake: Stake, *, is_away: bool = False) -> Hold | None:
        """Reserve one stake. is_away: no look into the ledger is possible, so leases last as far as they go."""
        with self.lock:
            return self._reserve(stake, time.monotonic(), most_calls=None if is_away else MOST_CALLS)

    def _reserve(self, stake: Stake, now: float, most_calls: int | None = MOST_CALLS) -> Hold | None:
        pool = self._pools.get(stake.key)
        if pool is None or (most_calls is not None and pool.calls >= most_calls):
            return None
        for lease in pool.leases:
            # The last rest is for one call alone: a smaller one before this one has taken a part of it.
            is_rest = lease.is_last and lease.free == lease.granted
            if lease.until <= now or not (lease.free >= stake.amount or (is_rest and lease.free)):
                continue
            amount = min(stake.amount, lease.free)
            lease.free -= amount
            lease.holds += 1
            lease.in_flight += 1
            lease.used_at = now
            pool.calls += 1
            return Hold(lease.org_id, lease.id, lease.holds, amount)
        return None

    def _refusal(self, stake: Stake, now: float) -> UsedUp | None:
        pool = self._pools.get(stake.key)
        if pool is None or pool.used_up is None or now >= pool.used_up_until or stake.amount <= pool.used_up.rest:
            return None
        return UsedUp(stake, pool.used_up.limit, pool.used_up.spent, pool.used_up.reserved)

    def recorded(self, holds: Admitted) -> None:
        """The outbox has the calls; the ledger settles what they hold."""
        with self.lock:
            for hold in holds:
                if (lease := self._leases.get(hold.lease_id)) is not None:
                    lease.in_flight -= 1
                    lease.recorded += 1

    def released(self, holds: Admitted) -> None:
        """Free what calls hold that leave no record."""
        with self.lock:
            for hold in holds:
                if (lease := self._leases.get(hold.lease_id)) is not None:
                    lease.in_flight -= 1
                    lease.free += hold.amount
                    if (pool := self._pools.get(lease.key)) is not None and pool.calls:
                        pool.calls -= 1  # it costs nothing that the ledger would know

    # ── For the keeper ───────────────────────────────────────────────────────────────────────────────────────────

    def needs_more(self, stake: Stake) -> bool:
        """Whether the leases of this budget run low, and nobody fetches another one yet. Then the caller must."""
        with self.lock:
            pool = self._pools.get(stake.key)
            if pool is None or pool.is_topping_up or pool.more < 4 * stake.amount:
                return False
            now = time.monotonic()
            free = sum((lease.free for lease in pool.leases if lease.until > now), ZERO)
            pool.is_topping_up = free * 4 < pool.more or pool.calls * 4 > MOST_CALLS * 3
            return pool.is_topping_up

    def topped_up(self, key: Key) -> None:
        with self.lock:
            if (pool := self._pools.get(key)) is not None:
                pool.is_topping_up = False

    def fragments(self, stake: Stake) -> dict[int, Decimal]:
        """Take the rests of the leases, none of which is enough for the stake: they are given back for a new lease."""
        with self.lock:
            leases = self._pools[stake.key].leases if stake.key in self._pools else []
            return {lease.id: self._take_free(lease) for lease in leases if lease.free}

    def more(self, stake: Stake) -> Decimal:
        """How much to ask for beyond the calls that wait: nothing at first, then twice as much each time."""
        with self.lock:
            pool = self._pools.setdefault(stake.key, _Pool())
            more, pool.more = pool.more, min(MOST_CALLS * stake.amount, max(stake.amount, 2 * pool.more))
            return more

    def add(self, stake: Stake, granted: Granted, began: float) -> None:
        """Add a lease that was taken at `began` (monotonic) or later."""
        lease = Lease(
            id=granted.id,
            org_id=stake.budget.org_id,
            key=stake.key,
            granted=granted.amount,
            free=granted.amount,
            until=began + database.LIFE.total_seconds() - MARGIN_S,
            used_at=began,
            is_last=granted.is_last,
        )
        with self.lock:
            pool = self._pools.setdefault(stake.key, _Pool())
            pool.leases.append(lease)
            pool.used_up, pool.calls = None, 0
            self._leases[lease.id] = lease

    def note_used_up(self, used_up: UsedUp) -> None:
        """Refuse further calls that may cost as much, for `REFUSED_S`."""
        with self.lock:
            pool = self._pools.setdefault(used_up.stake.key, _Pool())
            pool.used_up, pool.used_up_until = used_up, time.monotonic() + REFUSED_S

    def leases(self) -> list[Lease]:
        with self.lock:
            return list(self._leases.values())

    def take_idle(self, leases: Iterable[Lease], *, idle_since: float) -> dict[int, Decimal]:
        """Take what no call has used since then, or can use any more, to give it back."""
        with self.lock:
            return {lease.id: self._take_free(lease) for lease in leases if lease.free and lease.used_at <= idle_since}

    def renewed(self, leases: Iterable[Lease], granted: Mapping[int, Decimal], *, began: float) -> None:
        """Use these leases on, as of `began` (monotonic), and no more of each than the database has granted.

        That is less where a part was given back, and the connection broke before it was told.
        """
        with self.lock:
            for lease in leases:
                lease.until = began + database.LIFE.total_seconds() - MARGIN_S
                missing = lease.granted - granted[lease.id]
                if missing > NOISE:
                    missing = min(missing, lease.free)
                    lease.free -= missing
                    lease.granted -= missing

    def forget_refusals(self) -> None:
        """Forget what was said of budgets and windows that no call asks for any more."""
        with self.lock:
            now = time.monotonic()
            for key, pool in list(self._pools.items()):
                if not pool.leases and not pool.is_topping_up and pool.used_up_until < now:
                    del self._pools[key]

    def put_back(self, amounts: dict[int, Decimal]) -> None:
        """Undo `take_idle` and `fragments`: the database did not get them."""
        with self.lock:
            for lease_id, amount in amounts.items():
                if (lease := self._leases.get(lease_id)) is not None:
                    lease.free += amount
                    lease.granted += amount

    def forget(self, leases: Iterable[Lease]) -> None:
        with self.lock:
            for lease in leases:
                self._leases.pop(lease.id, None)
                pool = self._pools.get(lease.key)
                if pool is not None and lease in pool.leases:
                    pool.leases.remove(lease)
                    if not pool.leases and not pool.is_topping_up:
                        del self._pools[lease.key]

    def _take_free(self, lease: Lease) -> Decimal:
        amount, lease.free = lease.free, ZERO
        lease.granted -= amount
        if (pool := self._pools.get(lease.key)) is not None:
            pool.more = ZERO if amount * 2 > pool.more else pool.more
        return amount


def by_org(leases: Iterable[Lease]) -> Iterator[tuple[int, list[Lease]]]:
    found: dict[int, list[Lease]] = {}
    for lease in leases:
        found.setdefault(lease.org_id, []).append(lease)
    yield from found.items()
