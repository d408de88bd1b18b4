"""A hosted container is charged once a session, to whoever used it first (OpenAI, Pricing, Built-in tools)."""

from __future__ import annotations

import random
import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from tests.support import factories
from tests.support.factories import NOON, event
from usage_billing.costing.estimates import estimate
from usage_billing.ledger import writer
from usage_billing.models import Organization, UsageRecord
from usage_billing.recording import Event

pytestmark = pytest.mark.django_db

RESPONSES = "https://api.openai.com/v1/responses"
TOKENS = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
OF_TOKENS = 450
"""Millionths of a dollar: 1000 × 0.25 + 100 × 2"""
SESSION = 30_000


def response(
    minutes: float = 0, *, container: str = "cntr_1", memory: str = "1g", org: Organization | None = None, **fields: Any
) -> Event:
    given: dict[str, Any] = {
        "at": NOON + timedelta(minutes=minutes),
        "request_id": f"resp_{minutes:040.1f}{container}",
        "response": {"containers": {container: memory}},
        "usage": TOKENS,
        "model": "gpt-5-mini",
        "flavour": "responses",
        "url": RESPONSES,
        "org": org,
    }
    return event(**{**given, **fields})


def created(minutes: float = 0, *, container: str = "cntr_1", memory: str = "1g", **fields: Any) -> Event:
    return response(
        minutes, container=container, memory=memory, **{"request_id": container, "usage": {}, "model": ""} | fields,
        flavour="containers", url="https://api.openai.com/v1/containers",
    )  # fmt: skip


def costs() -> list[int | None]:
    """The costs of all records in millionths of a dollar, by the moment of the call."""
    amounts = UsageRecord.objects.order_by("created_at", "id").values_list("cost_usd", flat=True)
    return [None if usd is None else int(usd * 1_000_000) for usd in amounts]


THREE = [OF_TOKENS + SESSION, OF_TOKENS, OF_TOKENS]


def test_three_responses_in_a_session_are_charged_for_it_once() -> None:
    writer.add([response(0), response(9), response(19)])
    assert costs() == THREE


def test_responses_that_are_drained_apart_are_charged_once() -> None:
    for minutes in (0, 9, 19):
        writer.add([response(minutes)])
    assert costs() == THREE


def test_responses_that_are_drained_out_of_order_are_charged_once() -> None:
    for minutes in (19, 9, 0):
        writer.add([response(minutes)])
    assert sorted(costs(), key=str) == sorted(THREE, key=str)


def test_a_container_that_is_used_after_its_session_begins_another() -> None:
    writer.add([response(minutes) for minutes in (0, 15, 30, 45)])
    assert costs() == [OF_TOKENS + SESSION, OF_TOKENS, OF_TOKENS + SESSION, OF_TOKENS]


def test_each_container_is_charged_by_its_memory() -> None:
    """1 GB 0.03, 4 GB 0.12, 16 GB 0.48, 64 GB 1.92 USD."""
    memories = {"1g": 30_000, "4g": 120_000, "16g": 480_000, "64g": 1_920_000}
    writer.add([response(0, container=f"cntr_{memory}", memory=memory) for memory in memories])
    assert sorted(filter(None, costs())) == [OF_TOKENS + usd for usd in memories.values()]


def test_a_memory_without_a_price_costs_an_unknown_amount() -> None:
    writer.add([response(0, memory="2g")])
    assert UsageRecord.objects.get().price_source == "unpriced:no-price-for:container"


def test_a_created_container_is_charged_without_a_response() -> None:
    writer.add([created(memory="4g")])
    record = UsageRecord.objects.get()
    assert (record.cost_usd, record.endpoint, record.total_tokens) == (Decimal("0.12"), "/v1/containers", 0)
    assert record.price_source == "openai containers"


def test_a_response_in_a_created_container_is_not_charged_for_it() -> None:
    writer.add([created(0, memory="4g")])
    writer.add([response(10, memory="")])
    assert costs() == [120_000, OF_TOKENS]


def test_the_memory_of_a_container_is_known_from_its_earlier_calls() -> None:
    writer.add([created(0, memory="4g")])
    for minutes in (15, 30):  # the second is in another session, and 15 minutes after the first
        writer.add([response(minutes, memory="")])
    assert costs() == [120_000, OF_TOKENS, OF_TOKENS + 120_000]


def test_a_container_of_unknown_memory_costs_an_unknown_amount() -> None:
    writer.add([response(0, memory="")])
    assert costs() == [None]


def test_the_first_organisation_is_charged_and_no_other() -> None:
    first, second = factories.organization(), factories.organization()
    writer.add([response(0, org=first)])
    writer.add([response(5, org=second)])
    by_org = dict(UsageRecord.objects.values_list("org_id", "cost_usd"))
    assert by_org == {first.pk: Decimal("0.03045"), second.pk: Decimal("0.00045")}


def test_a_container_of_another_provider_with_the_same_name_is_another() -> None:
    writer.add(
        [
            response(0),
            response(1, url="http://127.0.0.1:9/v1/responses"),
            response(2, url="https://x.example/v1/responses"),
        ]
    )
    charged = UsageRecord.objects.order_by("created_at").values_list("ai_provider", "usage__containers")
    assert list(charged) == [("openai", {"cntr_1": "1g"}), ("openai", None), ("x.example", {"cntr_1": "1g"})]


def test_events_that_come_again_change_nothing() -> None:
    events = [response(minutes) for minutes in (0, 9, 25)]
    for each in (events[1], events[0], events[2]):
        writer.add([each])
    before = costs()
    assert writer.add(events) == 0
    assert costs() == before
    assert len(before) == 3


def test_repricing_keeps_the_charge_where_it_is() -> None:
    for minutes in (9, 0, 19):
        writer.add([response(minutes)])
    before = costs()
    UsageRecord.objects.update(cost_usd=None, price_source="unpriced:unknown-model")
    call_command("rebuild_daily", "--from", "2026-11-18", "--to", "2026-11-18")
    call_command("reprice_usage", "--from", "2026-11-18", "--to", "2026-11-18", "--reason", "test")
    assert costs() == before
    call_command("check_usage")


def test_background_response_is_charged_when_it_is_complete() -> None:
    pending = response(
        0, status="pending", usage={}, response={"container_memory": "4g"}, request_id="resp_" + "1" * 40
    )
    writer.add([pending])
    writer.add([response(5, memory="", completes=True, request_id="resp_" + "1" * 40)])
    assert costs() == [OF_TOKENS + 120_000]


def test_estimate_counts_one_session() -> None:
    assert estimate([response(0), response(5)]).cost_usd == Decimal("0.0309")


def test_any_order_of_any_batches_charges_each_session_once() -> None:
    """20 calls within 19 minutes on two containers: two charges, whatever is drained when."""
    chance = random.Random(17)
    events = [response(chance.uniform(0, 19), container=f"cntr_{n % 2}", request_id=f"resp_{n:040}") for n in range(20)]
    chance.shuffle(events)
    while events:
        size = chance.randint(1, 4)
        writer.add(events[:size])
        del events[:size]
    assert sum(filter(None, costs())) == 20 * OF_TOKENS + 2 * SESSION


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_writers_at_once_charge_one_session() -> None:
    org = factories.organization()

    def add(number: int) -> None:
        try:
            writer.add([response(number / 10, org=org)])
        finally:
            connection.close()

    threads = [threading.Thread(target=add, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(filter(None, costs())) == 8 * OF_TOKENS + SESSION
