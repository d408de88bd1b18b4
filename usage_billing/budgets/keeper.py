"""The thread that asks the database about budgets on behalf of this process's calls, on a connection of its own.

It is never the caller's connection: a lease must not roll back with a view, and a view in the web's role may not take
one. The thread starts with the first call that a stop budget may count.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple, TypeVar

from django.db import Error, close_old_connections, connections

from usage_billing.budgets import leases
from usage_billing.budgets.holdings import IDLE_S, Holdings, Lease, Stake, UsedUp, by_org
from usage_billing.budgets.leases import GoneError, UsedUpError
from usage_billing.recording import recorder
from usage_billing.recording.event import Hold

logger = logging.getLogger(__name__)

TEND_S = 5.0
"""How often leases are looked after."""
RENEW_S = 30.0
"""A lease whose life ends within so many seconds is renewed."""
WAIT_S = 10.0
"""How long a call waits for the database at most. Then it is treated as away."""
AWAY_S = 2.0
"""For how long after a failure the database is not asked again."""
EXIT_S = 2.0
"""How long a process that ends may still give back."""


class Away(NamedTuple):
    """The database could not be asked about these stakes; `holds` are those of the other budgets."""

    stakes: list[Stake]
    holds: list[Hold]


Outcome = list[Hold] | UsedUp | Away

CONFLICT = "40"
"""SQLSTATE's class for a transaction that another one has got in the way of: it is to be tried again."""
TRIES = 5


Result = TypeVar("Result")


def _tried_again(transaction: Callable[[], Result]) -> Result:
    """Run a transaction, again after a conflict, which is no outage."""
    for _ in range(TRIES - 1):
        try:
            return transaction()
        except Error as error:
            if not (getattr(error.__cause__, "sqlstate", None) or "").startswith(CONFLICT):
                raise
    return transaction()


def _outbox_id() -> str:
    try:
        return recorder.outbox().id
    except OSError as error:
        # Its leases then go an hour after their end.
        logger.warning("The outbox cannot be read, so nobody can say that it is drained: %s", error)
        return ""


class _Ask:
    """A call that waits. look_up: its stakes, which may take a look into the database; known: without one, if known."""

    def __init__(self, look_up: Callable[[], Sequence[Stake]], known: Callable[[], Sequence[Stake] | None]) -> None:
        self.look_up = look_up
        self.known = known
        self.done = threading.Event()
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self.is_abandoned = False


class Keeper:
    """Fetches, renews and gives back the leases of `holdings`."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._work: deque[_Ask | Stake] = deque()
        self._something_to_do = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_ending = False
        self._away_until = 0.0
        self._was_away = False
        self._is_stuck = False

    @property
    def is_away(self) -> bool:
        """Whether the database failed a moment ago."""
        return time.monotonic() < self._away_until

    def ask(
        self, look_up: Callable[[], Sequence[Stake]], known: Callable[[], Sequence[Stake] | None]
    ) -> Outcome | None:
        """Let the thread reserve, and wait for it. None if it did not answer in time. Raises what `look_up` raises.

        While the database hangs, the first calls find that out for those after them.
        """
        if self._is_stuck:
            return None
        ask = _Ask(look_up, known)
        self._put(ask)
        try:
            is_done = ask.done.wait(WAIT_S)
        except BaseException:
            # A signal's handler has raised (Ctrl+C, a time limit): nobody will send the call.
            if not self._abandoned(ask):
                self._release(ask.outcome)
            raise
        if not is_done and self._abandoned(ask, is_late=True):
            return None
        if ask.error is not None:
            raise ask.error
        return ask.outcome

    def _abandoned(self, ask: _Ask, *, is_late: bool = False) -> bool:
        """Wait no longer. Returns whether the thread has not answered yet: then it frees what it reserves."""
        with self._holdings.lock:
            ask.is_abandoned = not ask.done.is_set()
            self._is_stuck = self._is_stuck or (ask.is_abandoned and is_late)  # until the thread has done something
        return ask.is_abandoned

    def _release(self, outcome: Outcome | None) -> None:
        if outcome is not None and not isinstance(outcome, UsedUp):
            self._holdings.released(outcome.holds if isinstance(outcome, Away) else outcome)

    def top_up(self, stake: Stake) -> None:
        """Let the thread fetch a lease for calls to come."""
        self._put(stake)

    def _put(self, work: _Ask | Stake) -> None:
        with self._something_to_do:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="usage-budgets", daemon=True)
                thread.start()  # it may not, where there are too many; then the next call tries again
                self._thread = thread
            self._work.append(work)
            self._something_to_do.notify()

    def _run(self) -> None:
        tend_at = time.monotonic() + TEND_S
        while True:
            with self._something_to_do:
                if not self._work and not self._is_ending:
                    self._something_to_do.wait(max(0.0, tend_at - time.monotonic()))
                work = self._work.popleft() if self._work else None
            if work is not None:
                self._serve(work)
            self._is_stuck = False
            if time.monotonic() >= tend_at:
                tend_at = time.monotonic() + TEND_S
                self._tend_safely()
                if not self._holdings:
                    connections.close_all()  # an idle one would keep a database from stopping
            if self._is_ending and not self._work:
                self.tend(is_last=True)
                connections.close_all()
                return

    def end(self) -> None:
        """Give back what is free, as the process ends."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return
        with self._something_to_do:
            self._is_ending = True
            self._something_to_do.notify()
        thread.join(EXIT_S)

    # ── Calls that wait ──────────────────────────────────────────────────────────────────────────────────────────

    def _serve(self, work: _Ask | Stake) -> None:
        if isinstance(work, Stake):
            self._top_up(work)
            return
        if work.is_abandoned:
            return  # a backlog of calls that nobody waits for would make those late that somebody waits for
        try:
            outcome: Outcome | None = self._reserve(work.look_up)
        except Exception as error:  # noqa: BLE001 - raised where the call waits
            work.error, outcome = error, None
        with self._holdings.lock:
            work.outcome = outcome
            work.done.set()
            if work.is_abandoned:
                self._release(outcome)

    def _reserve(self, look_up: Callable[[], Sequence[Stake]]) -> Outcome:
        if not self.is_away:
            close_old_connections()  # one that died in the meantime is no outage
        stakes = look_up()
        holds: list[Hold] = []
        away: list[Stake] = []
        for stake in stakes:
            try:
                found = self._reserve_one(stake)
            except BaseException:
                self._holdings.released(holds)
                raise
            if isinstance(found, UsedUp):
                self._holdings.released(holds)
                return found
            if isinstance(found, Hold):
                holds.append(found)
            elif found is not None:
                away.append(found)
        return Away(away, holds) if away else holds

    def _reserve_one(self, stake: Stake) -> Hold | UsedUp | Stake | None:
        """Return the hold; the stake itself if the database is away; None if its budget stops nothing any more."""
        if not stake.is_known:
            return stake
        if (hold := self._holdings.reserve_one(stake, is_away=self.is_away)) is not None:
            return hold
        if self.is_away:
            return stake
        try:
            return self._fetch(stake, least=stake.amount, wanted=self._wanted(stake))
        except GoneError:
            return None
        except UsedUpError as error:
            used_up = UsedUp(stake, error.budget.limit, error.spending.spent, error.spending.reserved)
            self._holdings.note_used_up(used_up)
            return used_up
        except Error as error:
            self.note_away(error)
            return self._holdings.reserve_one(stake, is_away=True) or stake

    def _fetch(self, stake: Stake, *, least: Decimal, wanted: Decimal) -> Hold | None:
        """Take a lease, and reserve the stake of it. The rests of earlier leases are given back with the same step."""
        rests = self._holdings.fragments(stake) if least else {}
        began = time.monotonic()
        take = functools.partial(
            leases.take,
            stake.budget.org_id,
            stake.budget.id,
            stake.window,
            outbox_id=_outbox_id(),
            unit=stake.budget.unit,
            least=least,
            wanted=wanted,
            more=self._holdings.more(stake),
            returned=rests,
        )
        try:
            granted = _tried_again(take)
        except BaseException:
            self._holdings.put_back(rests)
            raise
        self._note_back()
        with self._holdings.lock:
            self._holdings.add(stake, granted, began)
            return self._holdings.reserve_one(stake) if least else None

    def _wanted(self, stake: Stake) -> Decimal:
        """What this call and those that wait for the same budget may take together."""
        with self._something_to_do:
            waiting = [work for work in self._work if isinstance(work, _Ask)]
        others = (each.amount for ask in waiting for each in ask.known() or () if each.key == stake.key)
        return sum(others, stake.amount)

    def _top_up(self, stake: Stake) -> None:
        try:
            if not self.is_away:
                close_old_connections()
                self._fetch(stake, least=Decimal(0), wanted=Decimal(0))
        except (GoneError, UsedUpError):
            logger.debug("Nothing more of budget %s for calls to come.", stake.budget.id)
        except Error as error:
            self.note_away(error)
        except Exception:
            logger.exception("A lease of budget %s for calls to come could not be taken.", stake.budget.id)
        finally:
            self._holdings.topped_up(stake.key)

    # ── Leases ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _tend_safely(self) -> None:
        """Tend, and live on: without this thread each call would wait `WAIT_S` for nothing."""
        try:
            self.tend()
        except Exception:
            logger.exception("The leases of budgets could not be looked after.")

    def tend(self, *, is_last: bool = False) -> None:
        """Renew leases, give back what is idle, and close those of which nothing is reserved any more.

        is_last: the process ends. It gives back all that is free; what its recorded calls hold stays until the ledger
        has them.
        """
        if is_last or not self.is_away:
            close_old_connections()
        self._holdings.forget_refusals()
        for org_id, mine in by_org(self._holdings.leases()):
            try:
                self._tend(org_id, mine, is_last=is_last)
            except Error as error:
                self.note_away(error)
                return

    def _tend(self, org_id: int, mine: Sequence[Lease], *, is_last: bool) -> None:
        now = time.monotonic()
        returned = self._holdings.take_idle(mine, idle_since=now if is_last else now - IDLE_S)
        due = [lease for lease in mine if is_last or lease.id in returned or lease.until - now < RENEW_S]
        try:
            for lease in due:
                if lease.free and leases.is_overdrawn(org_id, *lease.key):
                    for lease_id, amount in self._holdings.take_idle([lease], idle_since=now).items():
                        returned[lease_id] = returned.get(lease_id, Decimal(0)) + amount
            if due:
                ids = [lease.id for lease in due]
                alive = _tried_again(functools.partial(leases.renew, org_id, ids, returned))
            else:
                alive = {}
        except BaseException:
            self._holdings.put_back(returned)
            raise
        self._note_back()
        self._holdings.renewed([lease for lease in due if lease.id in alive], alive, began=now)
        self._holdings.forget([lease for lease in due if lease.id not in alive])
        self._close_settled(org_id, [lease for lease in mine if not lease.free and not lease.in_flight])

    def _close_settled(self, org_id: int, done: Sequence[Lease]) -> None:
        """Close leases whose calls the ledger has, all of them."""
        if not done:
            return
        settled = leases.settled(org_id, [lease.id for lease in done])
        over = [lease for lease in done if settled.get(lease.id, 0) >= lease.recorded]
        leases.close(org_id, [lease.id for lease in over])
        self._holdings.forget(over)

    def note_away(self, error: Exception) -> None:
        """The database failed: do not ask it again for a moment."""
        self._away_until = time.monotonic() + AWAY_S
        connections.close_all()
        if not self._was_away:
            logger.error(
                "The database cannot be asked about budgets (%s). Calls go on with what this process has leased; after"
                " that, each budget's own setting decides.",
                error,
            )
        self._was_away = True

    def _note_back(self) -> None:
        if self._was_away:
            logger.warning("The database answers again; budgets hold.")
        self._was_away = False
