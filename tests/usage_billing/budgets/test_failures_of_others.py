"""The failures of other trackers' budgets, each by its name."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import openai
import pytest

import ai_clients
from tests.support import factories, spending
from tests.support.spending import CENT, MODEL, Provider
from tests.usage_billing.budgets.world import reserved, settle, spent
from usage_billing import usage_context
from usage_billing.budgets import holdings, leases
from usage_billing.budgets.guard import Guard
from usage_billing.ledger import writer
from usage_billing.models import Organization, UsageRecord
from usage_billing.recording import Attribution, admission
from usage_billing.recording.admission import Planned
from usage_billing.recording.event import decode
from usage_billing.recording.outbox import Outbox

Drained = Callable[[], int]


def planned(org: Organization, **fields: Any) -> Planned:
    given: dict[str, Any] = {"model": MODEL, "text_bytes": 100, "is_open": False, "most_output": CENT} | fields
    given.setdefault("started_at", time.time())
    return Planned(Attribution(org_id=org.pk, agent_id="agent"), flavour="chat", url=factories.CHAT, **given)


def holds_of(guard: Guard, call: Planned) -> list[Decimal]:
    admitted = guard.admit(call, may_wait=True)
    assert isinstance(admitted, list), admitted
    return [hold.amount for hold in admitted]


def earlier_calls(org: Organization, number: int, model: str = MODEL, **usage: int) -> None:
    """A history of the agent: calls of yesterday."""
    tokens = {"prompt": 100, "completion": 100} | usage
    at = datetime.now(UTC) - timedelta(days=1)
    writer.add(
        [
            factories.event(
                org=org.pk, model=model, usage=factories.chat_usage(**tokens), at=at,
                request_id=f"chatcmpl-history-{model}-{count:020d}", attribution={"agent_id": "agent"},
            )
            for count in range(number)
        ]
    )  # fmt: skip


def test_check_then_add_race(guard: Guard, org: Organization, provider: Provider) -> None:
    """Two processes of sixteen threads ask at once for more than there is."""
    budget = spending.budget(org, "20", unit="calls")
    other = Guard()

    def ask(number: int) -> bool:
        return not isinstance((guard, other)[number % 2].admit(planned(org), may_wait=True), admission.Refusal)

    with ThreadPoolExecutor(32) as pool:
        admitted = sum(pool.map(ask, range(64)))
    other.keeper.end()
    assert admitted == 20
    assert reserved(budget) == 20


def test_hold_priced_below_the_long_context_tier(guard: Guard, org: Organization) -> None:
    """A history of short calls says nothing about the price of a long prompt (OpenAI, Pricing: above 272k tokens)."""
    earlier_calls(org, 100, "gpt-6.1-sol")
    spending.budget(org, "1000")
    (hold,) = holds_of(guard, planned(org, model="gpt-6.1-sol", text_bytes=300_000, most_output=1_000))
    cost = Decimal(300_000) * 4 / 1_000_000 + Decimal(1_000) * 15 / 1_000_000
    assert hold >= cost


def test_hold_of_a_fixed_tiny_sum(guard: Guard, org: Organization) -> None:
    spending.budget(org, "1000")
    (bounded,) = holds_of(guard, planned(org, most_output=1_000_000))
    assert bounded >= Decimal(1_000_000) * Decimal("1.6") / 1_000_000
    (unbounded,) = holds_of(guard, planned(org, most_output=None))
    assert unbounded >= Decimal(128_000) * Decimal("1.6") / 1_000_000


def test_aborted_stream_that_leaks_its_hold(
    guard: Guard, org: Organization, provider: Provider, drained: Drained
) -> None:
    budget = spending.budget(org, "10")
    with usage_context(org=org):
        stream = provider.call(stream=True)
        assert reserved(budget) > 0
        next(iter(stream))
        stream.close()
        abandoned = provider.call(stream=True)
        next(iter(abandoned))
        del abandoned
        gc.collect()
    settle(guard, drained)
    assert UsageRecord.objects.count() == 2
    assert reserved(budget) == 0


async def _cancelled(provider: Provider, org: Organization) -> None:
    client = ai_clients.AsyncOpenAI(api_key="sk-test", base_url=f"{provider.server.url}/v1", max_retries=0)
    provider.is_open.clear()
    with usage_context(org=org):
        task = asyncio.create_task(
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
        )
        await asyncio.to_thread(provider.wait_for_a_call)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    provider.is_open.set()
    await client.close()


def test_cancelled_call_that_leaks_its_hold(
    guard: Guard, org: Organization, provider: Provider, drained: Drained
) -> None:
    budget = spending.budget(org, "10")
    asyncio.run(_cancelled(provider, org))
    settle(guard, drained)
    assert UsageRecord.objects.get().status == "aborted"
    assert reserved(budget) == 0


def test_call_that_is_not_sent_frees_its_hold(guard: Guard, org: Organization) -> None:
    budget = spending.budget(org, "10")
    client = ai_clients.OpenAI(api_key="sk-test", base_url="http://127.0.0.1:1/v1", max_retries=0)
    with usage_context(org=org), pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
    settle(guard)
    assert reserved(budget) == 0


def test_false_refusal_while_the_real_spend_is_half_the_limit(
    guard: Guard, org: Organization, provider: Provider, drained: Drained
) -> None:
    """Each call may cost more than the whole budget, by the bound of its model, and costs a cent."""
    budget = spending.budget(org, "0.10")
    with usage_context(org=org):
        for _ in range(10):
            provider.call(max_tokens=openai.NOT_GIVEN)
            settle(guard, drained)
        assert spent(budget) == Decimal("0.10")
        with pytest.raises(openai.RateLimitError):
            provider.call(max_tokens=openai.NOT_GIVEN)


def test_double_release_hidden_by_clamping(
    guard: Guard, org: Organization, provider: Provider, outbox: Outbox, drained: Drained
) -> None:
    """The same event comes three times: what another call holds stays reserved."""
    budget = spending.budget(org, "10", unit="calls")
    guard.admit(planned(org), may_wait=True)
    with usage_context(org=org):
        provider.call()
    (event,) = [decode(body) for _, body in Outbox(outbox.path).read(10)]
    assert [hold.amount for hold in event.holds] == [1]
    drained()
    for _ in range(2):
        writer.add([event])
    settle(guard)
    assert (spent(budget), reserved(budget)) == (1, 1)


def test_sweeper_that_takes_the_holds_of_live_streams(
    guard: Guard, org: Organization, provider: Provider, drained: Drained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LIFE", timedelta(seconds=1))
    monkeypatch.setattr(holdings, "LIFE", timedelta(seconds=1))
    monkeypatch.setattr(holdings, "MARGIN_S", 0.1)
    budget = spending.budget(org, "2", unit="calls")
    with usage_context(org=org):
        stream = provider.call(stream=True)
        for _ in range(10):
            time.sleep(0.2)
            guard.keeper.tend()
        assert reserved(budget) == 1
        other = Guard()  # another process, which sweeps
        assert isinstance(other.admit(planned(org), may_wait=True), list)
        assert isinstance(other.admit(planned(org), may_wait=True), admission.Refusal)
        other.keeper.end()
        for _ in stream:
            pass
    settle(guard, drained)
    assert spent(budget) == 1


def test_reset_that_forgets_holds(guard: Guard, org: Organization) -> None:
    """A call begins before midnight; its hold and its cost belong to that day, whenever it ends."""
    budget = spending.budget(org, "1", unit="calls", window="day")
    today = factories.today(org)
    midnight = datetime.combine(today, datetime.min.time(), org.zone).timestamp()
    (before,) = guard.admit(planned(org, started_at=midnight - 1), may_wait=True)  # type: ignore[misc]
    (after,) = guard.admit(planned(org, started_at=midnight + 1), may_wait=True)  # type: ignore[misc]
    assert reserved(budget, today - timedelta(days=1)) == reserved(budget, today) == 1
    assert isinstance(guard.admit(planned(org, started_at=midnight - 1), may_wait=True), admission.Refusal)
    event = factories.event(org=org.pk, at=datetime.fromtimestamp(midnight - 1, UTC))
    guard.recorded([before])
    writer.add([msgspec.structs.replace(event, holds=[before])])
    assert (spent(budget, today - timedelta(days=1)), reserved(budget, today - timedelta(days=1))) == (1, 0)
    assert (spent(budget, today), reserved(budget, today)) == (0, 1)
    guard.released([after])


def test_imports_batches_and_fallback_models_that_are_not_counted(guard: Guard, org: Organization) -> None:
    budget = spending.budget(org, "3", unit="calls", agent_id="agent")
    whose = {"agent_id": "agent"}
    imported = factories.event(org=org.pk, attribution=whose)
    of_batch = factories.event(org=org.pk, attribution=whose, origin="batch_0123456789abcdef")
    fallback = factories.event(org=org.pk, attribution=whose, model="claude-haiku-4-5", url=factories.MESSAGES)
    for count, event in enumerate((imported, of_batch, fallback), 1):
        assert isinstance(guard.admit(planned(org), may_wait=True), list) or count == 3
        settle(guard)
        writer.add([event])
        assert spent(budget) == count
    time.sleep(holdings.REFUSED_S)
    assert isinstance(guard.admit(planned(org), may_wait=True), admission.Refusal)


def test_utc_days_for_a_moscow_month(org: Organization) -> None:
    """Half past one in the night of 1 November in Moscow is still October in UTC."""
    budget = spending.budget(org, "10", unit="calls")
    late = datetime(2026, 10, 31, 22, 30, tzinfo=UTC)
    writer.add([factories.event(org=org.pk, at=late)])
    assert (spent(budget, date(2026, 10, 31)), spent(budget, date(2026, 11, 1))) == (0, 1)


def test_late_records_that_move_a_closed_period(guard: Guard, org: Organization) -> None:
    budget = spending.budget(org, "10", unit="calls")
    (this_month, last_month) = (factories.today(org), factories.today(org).replace(day=1) - timedelta(days=1))
    writer.add([factories.event(org=org.pk)])
    at = datetime.combine(last_month, datetime.min.time(), org.zone)
    writer.add([factories.event(org=org.pk, at=at)])
    assert (spent(budget, last_month), spent(budget, this_month)) == (1, 1)
