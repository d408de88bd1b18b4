"""Any order of calls, kills, drains, imports, repricings and changes of the limit keeps the promises of a budget."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from django.core.management import call_command
from django.db.models import Sum
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support import factories, spending
from tests.support.spending import MODEL
from tests.usage_billing.budgets.world import reserved, spent
from usage_billing.budgets import guard as guards
from usage_billing.budgets import holdings, leases
from usage_billing.budgets.guard import Guard
from usage_billing.budgets.holdings import Stake
from usage_billing.budgets.keeper import Keeper, Outcome
from usage_billing.ledger import writer
from usage_billing.models import Budget, BudgetLease, PriceOverride, SettledHold, UsageRecord
from usage_billing.recording import Attribution, Event, recorder
from usage_billing.recording.admission import Planned, Refusal
from usage_billing.recording.event import Hold

PROCESSES = st.integers(0, 2)
TOKENS = st.integers(1, 40_000)
"""Output tokens of an answer; 40,000 cost 6.4 cents."""
CENTS = st.integers(1, 15)
DAYS = st.sampled_from([0, 0, 0, 1])
PER_TOKEN = Decimal("0.0000016")
ZERO = Decimal(0)


class Open(NamedTuple):
    """A call that was sent. tokens: what it will have taken."""

    process: int
    holds: list[Hold]
    day: date
    tokens: int


class Budgets(RuleBasedStateMachine):
    """Three processes, one budget by the day, calls of today and of yesterday."""

    @initialize(limit=CENTS)
    def begin(self, limit: int) -> None:
        for model in (UsageRecord, SettledHold, BudgetLease, Budget, PriceOverride):
            model._default_manager.all().delete()
        today = datetime.now(UTC).date()
        call_command("rebuild_daily", "--from", str(today - timedelta(days=2)), "--to", str(today), verbosity=0)
        self.org = factories.organization()
        self.budget = spending.budget(self.org, f"0.{limit:02}", window="day")
        self.guards = [Guard() for _ in range(3)]
        self.calls: list[Open] = []
        self.outbox: list[Event] = []
        self.known: list[Event] = []
        self.price = PER_TOKEN
        self.highest_limit = self.budget.limit
        self.numbers = itertools.count(1)
        today = factories.today(self.org)
        self.allowed = {today: ZERO, today - timedelta(days=1): ZERO}

    @property
    def days(self) -> list[date]:
        return list(self.allowed)

    def _moment(self, day: date) -> float:
        """A moment of the billing day that is not in the future."""
        return datetime.combine(day, datetime.min.time(), self.org.zone).timestamp() + 1

    @rule(calls=st.lists(st.tuples(PROCESSES, DAYS, TOKENS, TOKENS), min_size=1, max_size=6))
    def call_at_once(self, calls: list[tuple[int, int, int, int]]) -> None:
        for each in calls:
            self.call(*each)

    def call(self, process: int, day: int, tokens: int, most: int) -> None:
        on = self.days[day]
        planned = Planned(
            Attribution(org_id=self.org.pk), self._moment(on), "chat", factories.CHAT, MODEL,
            text_bytes=0, is_open=False, most_output=most,
        )  # fmt: skip
        admitted = self.guards[process].admit(planned, may_wait=True)
        if isinstance(admitted, Refusal):
            wanted = Decimal(most) * max(self.price, PER_TOKEN)
            taken = spent(self.budget, on) + reserved(self.budget, on)
            assert taken > self.budget.limit - wanted * Decimal("1.1") - Decimal("1e-11"), (taken, wanted)
            return
        assert isinstance(admitted, list)
        assert len(admitted) == 1
        self.calls.append(Open(process, admitted, on, tokens))

    @precondition(lambda self: self.calls)
    @rule(number=st.integers(0), is_sent=st.booleans())
    def end(self, number: int, is_sent: bool) -> None:
        """A call ends: its record is in the outbox; or it was not sent, and frees what it held."""
        call = self.calls.pop(number % len(self.calls))
        guard = self.guards[call.process]
        if not is_sent:
            guard.released(call.holds)
            return
        event = self._event(call.day, call.tokens)
        self.outbox.append(msgspec.structs.replace(event, holds=call.holds))
        guard.recorded(call.holds)
        self.allowed[call.day] += max(ZERO, call.tokens * self.price - sum(hold.amount for hold in call.holds))

    @rule(again=st.booleans())
    def drain(self, again: bool) -> None:
        """Events reach the ledger, some of them twice."""
        events, self.outbox = self.outbox, []
        writer.add([*events, *(self.known[-3:] if again else [])])
        leases.release_drained(recorder.outbox().id, datetime.now(UTC))
        self.known += events

    @rule(day=DAYS, tokens=TOKENS)
    def spend_elsewhere(self, day: int, tokens: int) -> None:
        """Import: nobody has asked."""
        on = self.days[day]
        writer.add([self._event(on, tokens)])
        self.allowed[on] += tokens * self.price

    @rule(process=PROCESSES)
    def kill(self, process: int) -> None:
        """The process dies: its calls are gone, its leases expire. What it had recorded is reserved until it comes."""
        mine = [lease.id for lease in self.guards[process].holdings.leases()]
        past = datetime.now(UTC) - timedelta(seconds=1)
        BudgetLease.objects.filter(pk__in=mine).update(expires_at=past)
        self.calls = [call for call in self.calls if call.process != process]
        self.guards[process] = Guard()

    @rule(process=PROCESSES)
    def tend(self, process: int) -> None:
        self.guards[process].keeper.tend(is_last=True)

    @rule(limit=CENTS)
    def change_limit(self, limit: int) -> None:
        self.budget.limit = Decimal(limit) / 100
        self.budget.save()
        self.highest_limit = max(self.highest_limit, self.budget.limit)

    @rule(cents=st.integers(1, 4))
    def reprice(self, cents: int) -> None:
        """The model gets another price, and the past with it."""
        before = {day: spent(self.budget, day) for day in self.days}
        self.price = PER_TOKEN * cents
        usd = str(self.price * 1_000_000)
        PriceOverride.objects.all().delete()
        factories.own_price(MODEL, {"input_mtok": "0", "output_mtok": usd}, org=self.org, valid_from=date(2026, 1, 1))
        first, last = min(self.days), max(self.days)
        call_command("reprice_usage", "--from", str(first), "--to", str(last), "--reason", "test", verbosity=0)
        for day in self.days:
            self.allowed[day] += max(ZERO, spent(self.budget, day) - before[day])
            # What waits or is under way will cost the new price.
            self.allowed[day] += sum((self._cost(event) for event in self.outbox if self._is_on(event, day)), ZERO)
            self.allowed[day] += sum((call.tokens * self.price for call in self.calls if call.day == day), ZERO)
        for guard in self.guards:
            guard.stakes.forget()

    @invariant()
    def what_is_spent_is_in_the_ledger(self) -> None:
        for day in self.days:
            rows = UsageRecord.objects.filter(org=self.org, usage_date=day)
            in_ledger = rows.aggregate(all=Sum("cost_usd"))["all"] or ZERO
            assert abs(spent(self.budget, day) - in_ledger) < Decimal("1e-9")

    @invariant()
    def the_limit_holds(self) -> None:
        for day in self.days:
            taken = spent(self.budget, day) + reserved(self.budget, day)
            assert taken <= self.highest_limit + self.allowed[day] + Decimal("1e-9"), (day, taken)
            assert reserved(self.budget, day) >= 0

    @invariant()
    def each_process_knows_what_it_holds(self) -> None:
        """A lease in memory is the one in the database, and calls hold no more of it than it has."""
        granted = dict(BudgetLease.objects.values_list("pk", "granted"))
        held: dict[int, Decimal] = {}
        for hold in itertools.chain.from_iterable(call.holds for call in self.calls):
            held[hold.lease_id] = held.get(hold.lease_id, ZERO) + hold.amount
        for lease in itertools.chain.from_iterable(guard.holdings.leases() for guard in self.guards):
            assert abs(granted[lease.id] - lease.granted) < Decimal("1e-9")
            assert 0 <= lease.free <= lease.granted - held.get(lease.id, ZERO)

    def teardown(self) -> None:
        """At rest nothing is reserved."""
        if not hasattr(self, "org"):
            return
        while self.calls:
            self.end(number=0, is_sent=len(self.calls) % 2 == 0)
        self.drain(again=True)
        for guard in self.guards:
            guard.keeper.tend(is_last=True)
        for day in self.days:
            assert reserved(self.budget, day) == 0
        self.the_limit_holds()
        for guard in self.guards:
            guard.keeper.end()

    def _event(self, day: date, tokens: int) -> Event:
        at = datetime.fromtimestamp(self._moment(day), UTC)
        number = f"chatcmpl-{self.org.pk}-{next(self.numbers):025d}"
        return factories.event(org=self.org.pk, at=at, usage=factories.chat_usage(0, tokens), request_id=number)

    def _cost(self, event: Event) -> Decimal:
        usage: dict[str, Any] = msgspec.json.decode(event.usage)
        return Decimal(usage["completion_tokens"]) * self.price

    def _is_on(self, event: Event, day: date) -> bool:
        return datetime.fromtimestamp(event.started_at, UTC).astimezone(self.org.zone).date() == day


class AtOnce(Keeper):
    """Does in the caller's thread what the keeper's own thread does: the same order gives the same result."""

    def ask(
        self, look_up: Callable[[], Sequence[Stake]], known: Callable[[], Sequence[Stake] | None]
    ) -> Outcome | None:
        return self._reserve(look_up)

    def top_up(self, stake: Stake) -> None:
        self._top_up(stake)


@pytest.mark.timeout(300)  # many examples, each with repricings: 30 s on a machine that does nothing else
@pytest.mark.usefixtures("guard")
def test_any_order_of_events_keeps_the_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "REFUSED_S", 0.0)
    monkeypatch.setattr(guards, "Keeper", AtOnce)
    run_state_machine_as_test(
        Budgets,
        settings=settings(max_examples=30, stateful_step_count=25, suppress_health_check=list(HealthCheck)),
    )
