"""Calls of jobs belong to whoever began the job, once, in whatever order and from whichever machines events come."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import factories
from tests.support.factories import NOON, event
from usage_billing.ledger import writer
from usage_billing.models import DailyTagUsage, DailyUsage, JobPart, Organization, UsageRecord
from usage_billing.recording.event import Event, Job

pytestmark = pytest.mark.django_db

BATCH = "batch_6a1b2c3d4e5f607182930a1b"
FILE = "file-6a1b2c3d4e5f607182930a1b"
BATCHES = "https://api.openai.com/v1/batches"
ANTHROPIC_BATCHES = "https://api.anthropic.com/v1/messages/batches"
SUM = {"input_tokens": 2000, "output_tokens": 200, "total_tokens": 2200}
IN_BATCH = {"processing": "batch"}
LINE_COST = Decimal("0.00028")  # OpenAI, Pricing, Batch: 1000 × 0.20 + 100 × 0.80 per million


def created(org: Organization | None, **fields: Any) -> Event:
    given = {"agent_id": "nightly", "workflow_id": "0042", "tags": {"feature": "nightly"}}
    common: dict[str, Any] = {"flavour": "responses", "url": BATCHES, "status": "pending", "model": "gpt-4.1-mini"}
    told = {**common, "request_id": BATCH, "origin": BATCH, "job": Job(), "context": IN_BATCH, **fields}
    return event(org=org, attribution=given, usage={}, at=NOON - timedelta(hours=3), **told)


def retrieved(org: Organization | None = None, **fields: Any) -> Event:
    job = Job(has_ended=True, requests=2, files=[FILE])
    common: dict[str, Any] = {"flavour": "responses", "url": BATCHES, "completes": True, "usage": SUM}
    return event(org=org, **{**common, "request_id": BATCH, "origin": BATCH, "job": job, "context": IN_BATCH, **fields})


def line(number: int, org: Organization | None = None, **fields: Any) -> Event:
    read = event(
        org=org,
        request_id=f"chatcmpl-of-a-batch-{number:020d}",
        origin=FILE,
        context=IN_BATCH,
        attribution={"tags": {"feature": "reading", "env": "test"}},
        **fields,
    )
    return msgspec.structs.replace(read, duration_ms=0)


def last(line: Event) -> Event:
    """The last line of a file that was read to its end."""
    return msgspec.structs.replace(line, job=Job(is_read=True))


def told_once_for(org: Organization, requests: int) -> None:
    """All records belong to the organisation, each request is there once, and the sum is theirs."""
    records = UsageRecord.objects.exclude(request_id=BATCH)
    assert [(record.org_id, record.agent_id, record.workflow_id, record.tags) for record in records] == [
        (org.pk, "nightly", "0042", {"feature": "nightly"})
    ] * requests
    assert set(DailyTagUsage.objects.values_list("tag_key", "tag_value")) == {("feature", "nightly")}
    assert all("attributed_to" not in record.response_metadata for record in UsageRecord.objects.all())
    call_command("check_usage")


def costs() -> dict[str, tuple[Decimal | None, str]]:
    return {record.request_id: (record.cost_usd, record.price_source) for record in UsageRecord.objects.all()}


def job_cost() -> tuple[Decimal | None, str]:
    record = UsageRecord.objects.get(request_id=BATCH)
    return record.cost_usd, record.price_source


def test_a_batch_that_nobody_reads_costs_what_its_object_tells() -> None:
    org = factories.organization()
    writer.add([created(org)])
    assert job_cost() == (None, "unpriced:pending")
    writer.add([retrieved()])
    record = UsageRecord.objects.get()
    assert (record.org_id, record.agent_id, record.total_tokens) == (org.pk, "nightly", 2200)
    assert record.cost_usd == 2 * LINE_COST
    assert (record.status, record.endpoint) == ("succeeded", "/v1/batches")
    call_command("check_usage")


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
@pytest.mark.parametrize("drains", ["one", "each"])
def test_a_batch_and_its_results_are_charged_once_to_its_creator_in_any_order(
    order: Sequence[int], drains: str
) -> None:
    creator, reader, other = (factories.organization() for _ in range(3))
    events = [created(creator), retrieved(reader), line(1, reader), last(line(2, other))]
    in_order = [events[index] for index in order]
    for some in [in_order] if drains == "one" else [[one] for one in in_order]:
        writer.add(some)
        call_command("check_usage")
    told_once_for(creator, 2)
    assert job_cost() == (Decimal(0), "not-charged:in-its-requests")
    assert sum(cost or 0 for cost, _ in costs().values()) == 2 * LINE_COST
    assert set(JobPart.objects.values_list("kind", "part")) == {("file", FILE)}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), times=st.lists(st.integers(1, 3), min_size=7, max_size=7))
def test_events_of_two_machines_come_to_the_same_end(seed: int, times: list[int]) -> None:
    UsageRecord.objects.all().delete()
    JobPart.objects.all().delete()
    DailyUsage.objects.all().delete()
    DailyTagUsage.objects.all().delete()
    creator, reader = factories.organization(), factories.organization()
    refused = line(9, reader, usage={}, status="failed", error_code="400 invalid_value")
    events = [
        created(creator), retrieved(reader), retrieved(None, is_listed=True),
        line(1, reader), line(2, None), last(line(3, reader)), refused,
    ]  # fmt: skip
    come = [one for one, number in zip(events, times, strict=True) for _ in range(number)]
    chance = random.Random(seed)
    chance.shuffle(come)
    while come:
        size = chance.randint(1, len(come))
        writer.add(come[:size])
        del come[:size]
    told_once_for(creator, 4)
    assert job_cost() == (Decimal(0), "not-charged:in-its-requests")
    assert UsageRecord.objects.count() == 5


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_partly_read_results_leave_the_rest_with_the_batch(order: Sequence[int]) -> None:
    org, reader = factories.organization(), factories.organization()
    events = [created(org), retrieved(reader), line(1, reader)]
    for index in order:
        writer.add([events[index]])
    told_once_for(org, 1)
    assert job_cost()[0] == LINE_COST
    assert UsageRecord.objects.get(request_id=BATCH).total_tokens == 1100
    writer.add([last(line(2))])
    told_once_for(org, 2)
    assert job_cost() == (Decimal(0), "not-charged:in-its-requests")


def test_results_of_an_unknown_batch_are_charged_once_to_the_first_reader() -> None:
    one, two = factories.organization(), factories.organization()
    writer.add([line(1, one)])
    writer.add([line(1, two), line(1, None)])
    assert list(UsageRecord.objects.values_list("org_id", flat=True)) == [one.pk]
    call_command("check_usage")


def test_a_beginning_that_comes_twice_with_its_end_in_one_drain_loses_nothing() -> None:
    creator, reader = factories.organization(), factories.organization()
    writer.add([retrieved(reader), line(1, reader)])
    writer.add([created(creator), created(creator)])
    assert job_cost()[0] == LINE_COST
    told_once_for(creator, 1)


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
def test_a_batch_begun_elsewhere_is_not_counted_beside_its_requests(order: Sequence[int]) -> None:
    reader = factories.organization()
    events = [[retrieved(reader)], [line(1, reader), last(line(2, reader))]]
    for index in order:
        writer.add(events[index])
    assert UsageRecord.objects.filter(org=reader).count() == UsageRecord.objects.count() == 2
    call_command("check_usage")
    creator = factories.organization()
    writer.add([created(creator)])
    told_once_for(creator, 2)
    assert job_cost() == (Decimal(0), "not-charged:in-its-requests")


@pytest.mark.parametrize("ended", ["expired", "cancelled"])
def test_a_batch_that_was_stopped_costs_what_was_done(ended: str) -> None:
    org = factories.organization()
    done = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
    job = Job(has_ended=True, requests=1)
    writer.add([created(org), retrieved(usage=done, error_code=ended, job=job)])
    assert job_cost()[0] == LINE_COST
    assert UsageRecord.objects.get().error_code == ended


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
def test_a_list_completes_a_batch_that_was_begun_here_in_either_order(order: Sequence[int]) -> None:
    org, reader = factories.organization(), factories.organization()
    events = [created(org), retrieved(reader, is_listed=True)]
    for index in order:
        writer.add([events[index]])
        writer.add([events[index]])
    record = UsageRecord.objects.get()
    assert (record.org, record.agent_id, record.cost_usd) == (org, "nightly", 2 * LINE_COST)
    call_command("check_usage")


def test_a_list_makes_no_records_of_batches_that_others_began() -> None:
    writer.add([retrieved(factories.organization(), is_listed=True)])
    assert not UsageRecord.objects.exists()


def test_a_batch_that_failed_costs_nothing() -> None:
    failed = retrieved(usage={}, status="failed", error_code="batch_failed", job=Job(has_ended=True, requests=0))
    writer.add([created(factories.organization()), failed])
    assert job_cost() == (Decimal(0), "not-charged:failed")
    assert UsageRecord.objects.get().status == "failed"


def test_a_batch_whose_object_tells_no_usage_is_unpriced_until_its_results_are_read() -> None:
    org = factories.organization()
    fields: dict[str, Any] = {"flavour": "messages", "url": ANTHROPIC_BATCHES, "model": ""}
    writer.add([created(org, **fields)])
    writer.add([retrieved(usage={}, job=Job(has_ended=True, requests=2), **fields)])
    assert job_cost() == (None, "unpriced:results-not-read")
    usage = {"input_tokens": 1000, "output_tokens": 100, "service_tier": "batch"}
    messages: dict[str, Any] = {"flavour": "messages", "url": factories.MESSAGES, "model": "claude-haiku-4-5"}
    for number in (1, 2):
        message = line(number, usage=usage, **messages)
        writer.add([msgspec.structs.replace(message, origin=BATCH)])
    told_once_for(org, 2)
    assert job_cost() == (Decimal(0), "not-charged:in-its-requests")


def test_the_same_ids_at_another_host_are_another_batch() -> None:
    org, other = factories.organization(), factories.organization()
    gateway = "http://127.0.0.1:9000/v1"
    writer.add([created(org)])
    writer.add([retrieved(other, url=f"{gateway}/batches"), line(1, other, url=f"{gateway}/chat/completions")])
    assert job_cost_of(org) == (None, "unpriced:pending")
    assert UsageRecord.objects.filter(org=other).count() == 2
    call_command("check_usage")


def job_cost_of(org: Organization) -> tuple[Decimal | None, str]:
    record = UsageRecord.objects.get(request_id=BATCH, org=org)
    return record.cost_usd, record.price_source


# ── Background responses ─────────────────────────────────────────────────────────────────────────────────────────

RESPONSE = "resp_67cb71b351908190a308f3859487620d06981a8637e6bc44"
RESPONSES = "https://api.openai.com/v1/responses"
TOKENS = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
MINI: dict[str, Any] = {"flavour": "responses", "model": "gpt-5-mini", "request_id": RESPONSE}


def begun(org: Organization) -> Event:
    fields = {**MINI, "url": RESPONSES, "status": "pending", "origin": RESPONSE}
    return event(org=org, usage={}, attribution={"agent_id": "nightly"}, at=NOON - timedelta(minutes=5), **fields)


def fetched(org: Organization | None = None, **fields: Any) -> Event:
    url = f"{RESPONSES}/{RESPONSE}"
    return event(org=org, usage=TOKENS, **{**MINI, "url": url, "completes": True, "origin": RESPONSE, **fields})


@pytest.mark.parametrize("drains", ["one", "each"])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_background_response_is_charged_once_to_its_creator_in_any_order(order: Sequence[int], drains: str) -> None:
    creator, one, two = (factories.organization() for _ in range(3))
    for day in (NOON.date(), NOON.date() - timedelta(days=1)):
        factories.rate(day)
    events = [begun(creator), fetched(one), fetched(two)]
    in_order = [events[index] for index in order]
    for some in [in_order] if drains == "one" else [[each] for each in in_order]:
        writer.add(some)
        call_command("check_usage")
    record = UsageRecord.objects.get()
    assert (record.org_id, record.agent_id, record.created_at) == (creator.pk, "nightly", NOON - timedelta(minutes=5))
    # 1000 × 0.25 + 100 × 2
    assert (record.cost_usd, record.cost_rub, record.status) == (Decimal("0.00045"), Decimal("0.036"), "succeeded")
    assert (record.execution_time_ms, record.endpoint) == (301_200, "/v1/responses")


@pytest.mark.parametrize("origin", ["", RESPONSE])
def test_a_fetch_without_its_create_has_tokens_and_cost_at_once(origin: str) -> None:
    org = factories.organization()
    writer.add([fetched(org, origin=origin)])
    record = UsageRecord.objects.get(org=org)
    assert (record.total_tokens, record.cost_usd) == (1100, Decimal("0.00045"))


def test_a_background_response_that_ended_at_once_takes_over_the_record_of_its_fetch() -> None:
    creator, reader = factories.organization(), factories.organization()
    writer.add([fetched(reader)])
    ended = msgspec.structs.replace(fetched(creator), completes=False, url=RESPONSES)
    writer.add([ended])
    writer.add([ended])
    assert UsageRecord.objects.get().org == creator
    call_command("check_usage")


# ── Sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────

SESSION = "sesn_011CZkZ5b3x2ABcDeFgHiJkL"
SESSIONS = "https://api.anthropic.com/v1/sessions"
OF_SESSION: dict[str, Any] = {"flavour": "messages", "origin": SESSION, "model": ""}


def session(org: Organization | None, usage: Any, *, begins: bool = False) -> Event:
    fields = {**OF_SESSION, "url": SESSIONS, "request_id": SESSION, "job": Job(is_session=True), "status": "pending"}
    fields |= {"model": "claude-haiku-4-5", "completes": not begins}
    return event(org=org, usage=usage, attribution={"agent_id": "nightly"} if begins else {}, **fields)


def request(number: int, org: Organization | None = None) -> Event:
    usage = {"input_tokens": 1000, "output_tokens": 100}
    return event(org=org, usage=usage, request_id=f"sevt_{number:024d}", url=f"{SESSIONS}/events", **OF_SESSION)


REQUEST_COST = Decimal("0.0015")  # Anthropic, Pricing: 1000 × 1 + 100 × 5 per million


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_a_session_and_its_requests_add_up_to_its_sum_in_any_order(order: Sequence[int]) -> None:
    creator, reader = factories.organization(), factories.organization()
    whole = {"input_tokens": 3000, "output_tokens": 300}
    events = [session(creator, {}, begins=True), session(reader, whole), request(1, reader), request(2)]
    for index in order:
        writer.add([events[index]])
        call_command("check_usage")
    records = list(UsageRecord.objects.order_by("request_id"))
    assert {(record.org_id, record.agent_id, record.ai_model) for record in records} == {
        (creator.pk, "nightly", "claude-haiku-4-5")
    }
    assert [record.cost_usd for record in records] == [REQUEST_COST] * 3  # the session's own: what no request told


def test_a_session_whose_stream_was_read_costs_nothing_itself() -> None:
    org = factories.organization()
    writer.add([session(org, {}, begins=True)])
    writer.add([request(1)])
    record = UsageRecord.objects.get(request_id=SESSION)
    assert (record.cost_usd, record.price_source) == (Decimal(0), "not-charged:in-its-requests")


def test_an_older_sum_of_a_session_that_comes_later_changes_nothing() -> None:
    org = factories.organization()
    writer.add([session(org, {}, begins=True)])
    writer.add([session(None, {"input_tokens": 3000, "output_tokens": 300})])
    writer.add([session(None, {"input_tokens": 1000, "output_tokens": 100})])
    assert UsageRecord.objects.get().total_tokens == 3300


# ── Several drains at once ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_drains_of_several_machines_at_once_charge_each_batch_once() -> None:
    creator, *readers = (factories.organization() for _ in range(4))
    batches = [f"batch_of_a_machine_{number:010d}" for number in range(20)]

    def events_of(batch: str, reader: Organization) -> list[Event]:
        lines = [line(number, reader, model="gpt-4.1-mini") for number in (1, 2)]
        lines = [msgspec.structs.replace(each, request_id=f"{each.request_id}-{batch}", origin=batch) for each in lines]
        fields = {"request_id": batch, "origin": batch}
        return [created(creator, **fields), retrieved(reader, **fields), lines[0], last(lines[1])]

    def drain(seed: int) -> None:
        chance = random.Random(seed)
        events = [each for batch in batches for each in events_of(batch, readers[seed % 3])]
        chance.shuffle(events)
        try:
            for start in range(0, len(events), 8):
                writer.add(events[start : start + 8])
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(drain, range(4)))
    records = UsageRecord.objects.all()
    assert {(record.org_id, record.agent_id) for record in records} == {(creator.pk, "nightly")}
    assert sum(record.cost_usd or 0 for record in records) == 40 * LINE_COST
    assert records.count() == 60
    call_command("check_usage")
