"""The ledger keeps guarantees 4 to 7 and 10 (docs/guarantees.md), row by row."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.support import factories, rows
from tests.support.factories import NOON, chat_usage, event
from usage_billing.ledger import bulk, counters, summing, writer
from usage_billing.models import DailyTagUsage, DailyUsage, ExchangeRate, Membership, Organization, UsageRecord
from usage_billing.recording import Attribution

pytestmark = pytest.mark.django_db


def total() -> DailyUsage:
    return DailyUsage.objects.get(grain="total")


def test_a_call_becomes_a_record_with_everything_known_about_it() -> None:
    org = factories.organization()
    owner = factories.owner(org)
    factories.rate(NOON.date(), "80.25")
    given: dict[str, Any] = {
        "agent_id": "legal_guard",
        "request_type": "custom_analysis",
        "workflow_id": "w-1",
        "content_id": "c-1",
        "platform": "telegram",
        "content_type": "post",
        "task_type": "check",
        "metadata": {"participant_id": "p-1"},
    }
    call = event(
        org=org,
        user=owner,
        usage=chat_usage(1000, 100, cached=400, reasoning=30),
        request_id="chatcmpl-" + "x" * 29,
        attribution=given,
        context={"service_tier": "default"},
    )

    assert writer.add([call]) == 1

    record = UsageRecord.objects.get()
    del given["metadata"]
    assert {name: getattr(record, name) for name in given} == given
    # 600 × 0.40 + 400 × 0.10 + 100 × 1.60 = 440 millionths
    expected = {
        "org_id": org.pk,
        "user_id": owner.pk,
        "request_id": "chatcmpl-" + "x" * 29,
        "endpoint": "/v1/chat/completions",
        "ai_provider": "openai",
        "ai_model": "gpt-4.1-mini",
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "total_tokens": 1100,
        "cached_tokens": 400,
        "cache_write_tokens": 0,
        "reasoning_tokens": 30,
        "usage": {
            "prompt_tokens": 1000,
            "completion_tokens": 100,
            "total_tokens": 1100,
            "prompt_tokens_details": {"cached_tokens": 400},
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        "cost_usd": Decimal("0.00044"),
        "cost_rub": Decimal("0.03531"),
        "usd_rub_rate": Decimal("80.25"),
        "execution_time_ms": 1200,
        "status": "succeeded",
        "error_code": "",
        "request_metadata": {"participant_id": "p-1"},
        "response_metadata": {
            "context": {"service_tier": "default"},
            "cost_parts": {"input": "0.00024", "cached": "0.00004", "output": "0.00016"},
        },
        "created_at": NOON,
        "usage_date": date(2026, 11, 18),
    }
    assert {name: getattr(record, name) for name in expected} == expected
    assert record.price_source.startswith("genai-prices ")


def test_the_same_call_twice_is_one_record_counted_once() -> None:
    org = factories.organization()
    call, other = event(org=org), event(org=org)
    assert writer.add([call, call, other]) == 2
    assert writer.add([other, call]) == 0
    assert writer.add([event(org=org), call]) == 1
    assert UsageRecord.objects.count() == 3
    assert total().requests_count == 3


def test_the_same_request_id_in_two_organisations_is_two_records() -> None:
    one, two = factories.organization(), factories.organization()
    assert writer.add([event(org=one, request_id="same-id"), event(org=two, request_id="same-id")]) == 2


def test_totals_equal_the_records_at_every_grain() -> None:
    one, two = factories.organization(), factories.organization()
    person = factories.member(one)
    factories.rate()
    writer.add([event(org=one, user=person, attribution={"agent_id": "a"}), event(org=one), event(org=two)])
    writer.add(
        [
            event(org=one, user=person, attribution={"agent_id": "a", "request_type": "t"}),
            event(org=two, status="failed", error_code="429", usage=msgspec.Raw(b"null")),
            event(org=two, model="gpt-99"),
            event(org=two, at=NOON - timedelta(days=20)),
        ]
    )
    call_command("check_usage")
    by_grain = {
        grain: DailyUsage.objects.filter(grain=grain).count()
        for grain in ("total", "org", "org_user", "agent", "type", "model", "cube")
    }
    # Two days; on one of them two organisations, one with two kinds of users.
    assert by_grain == {"total": 2, "org": 3, "org_user": 4, "agent": 3, "type": 3, "model": 3, "cube": 7}
    first = DailyUsage.objects.get(grain="total", usage_date=NOON.date())
    assert (first.requests_count, first.failed_count) == (6, 1)
    assert (first.unpriced_usd_count, first.unpriced_rub_count) == (1, 1)
    assert first.cost_usd == Decimal("0.00056") * 4
    last = DailyUsage.objects.get(grain="total", usage_date=NOON.date() - timedelta(days=20))
    # No rate for that day: USD are known, RUB are not.
    assert (last.unpriced_usd_count, last.unpriced_rub_count, last.cost_rub) == (0, 1, 0)


@pytest.mark.parametrize(
    ("fields", "usd", "source"),
    [
        ({"status": "failed", "usage": msgspec.Raw(b"null")}, Decimal(0), "not-charged:failed"),
        ({"status": "refused", "usage": msgspec.Raw(b"null")}, Decimal(0), "not-charged:refused"),
        ({"status": "refused", "model": "gpt-99", "usage": msgspec.Raw(b"null")}, Decimal(0), "not-charged:refused"),
        # `response.failed` may be billed: it reports usage then.
        ({"status": "failed"}, Decimal("0.00056"), None),
        ({"status": "aborted"}, None, "unpriced:cut-short"),
        ({"status": "pending", "usage": msgspec.Raw(b"null")}, None, "unpriced:pending"),
        ({"usage": msgspec.Raw(b"null")}, None, "unpriced:no-usage"),
        ({"usage": msgspec.Raw(b"{broken")}, None, "unpriced:no-usage"),
        ({"usage": {"prompt_tokens": 5, "completion_tokens": 0}}, Decimal("0.000002"), None),
        ({"model": "gpt-99"}, None, "unpriced:unknown-model"),
        ({"url": "https://llm.example.com/v1/chat/completions"}, None, "unpriced:unknown-model"),
    ],
)
def test_an_unknown_cost_is_null_with_its_reason(
    fields: dict[str, Any], usd: Decimal | None, source: str | None
) -> None:
    factories.rate()
    writer.add([event(org=factories.organization(), **fields)])
    record = UsageRecord.objects.get()
    assert record.cost_usd == usd
    assert record.cost_rub == (usd and usd * 80)
    assert record.price_source == (source or record.price_source)
    call_command("check_usage")


def test_a_call_to_this_machine_names_the_address_that_was_taken_for_the_provider() -> None:
    org = factories.organization()
    writer.add([event(org=org, url="http://127.0.0.1:4321/openai/v1/chat/completions"), event(org=org)])
    recorded = UsageRecord.objects.order_by("endpoint").values_list("ai_provider", "response_metadata__host")
    assert list(recorded) == [("openai", "127.0.0.1:4321"), ("openai", None)]


def test_tokens_that_are_known_are_kept_where_the_cost_is_not() -> None:
    writer.add([event(org=factories.organization(), status="aborted", usage=chat_usage(700, 1))])
    record = UsageRecord.objects.get()
    assert (record.prompt_tokens, record.completion_tokens, record.cost_usd) == (700, 1, None)
    assert total().prompt_tokens == 700


def test_rub_are_unknown_without_a_rate_but_free_is_free() -> None:
    org = factories.organization()
    writer.add([event(org=org), event(org=org, model="omni-moderation-latest")])
    assert list(UsageRecord.objects.order_by("cost_usd").values_list("cost_usd", "cost_rub", "usd_rub_rate")) == [
        (Decimal(0), Decimal(0), None),
        (Decimal("0.00056"), None, None),
    ]


def test_the_rate_is_frozen_with_the_record() -> None:
    factories.rate(usd_rub="80")
    writer.add([event(org=factories.organization())])
    ExchangeRate.objects.update(usd_rub=Decimal(100))
    call_command("check_usage")
    assert UsageRecord.objects.get().cost_rub == Decimal("0.0448")


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("Europe/Moscow", datetime(2026, 11, 17, 20, 59, tzinfo=UTC), date(2026, 11, 17)),
        ("Europe/Moscow", datetime(2026, 11, 17, 21, 0, tzinfo=UTC), date(2026, 11, 18)),
        ("Asia/Kolkata", datetime(2026, 11, 17, 18, 30, tzinfo=UTC), date(2026, 11, 18)),
        ("Asia/Kathmandu", datetime(2026, 11, 17, 18, 14, tzinfo=UTC), date(2026, 11, 17)),
        # The day of the clock change has 25 hours.
        ("Europe/Berlin", datetime(2026, 10, 25, 22, 59, tzinfo=UTC), date(2026, 10, 25)),
        ("Europe/Berlin", datetime(2026, 10, 24, 22, 0, tzinfo=UTC), date(2026, 10, 25)),
        ("America/New_York", datetime(2026, 11, 18, 3, 0, tzinfo=UTC), date(2026, 11, 17)),
    ],
)
def test_the_day_is_the_organisations_billing_day(zone: str, at: datetime, day: date) -> None:
    writer.add([event(org=factories.organization(timezone=zone), at=at)])
    assert UsageRecord.objects.get().usage_date == day


def test_a_record_outlives_its_user() -> None:
    org = factories.organization()
    person = factories.member(org)
    writer.add([event(org=org, user=person)])
    gone = person.pk
    person.delete()
    writer.add([event(org=org, user=gone)])
    assert list(UsageRecord.objects.values_list("user_id", flat=True)) == [gone, gone]


def test_an_organisation_with_records_cannot_be_deleted() -> None:
    org = factories.organization()
    writer.add([event(org=org)])
    with pytest.raises(ProtectedError):
        org.delete()
    # The database itself refuses it, at the latest when the transaction ends.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM usage_organization WHERE id = %s", [org.pk])
        with pytest.raises(IntegrityError):
            connection.check_constraints()
        transaction.set_rollback(True)


@pytest.mark.parametrize("org", [None, 987654, "no-such-slug", 2**70, -1])
def test_a_call_without_an_organisation_is_kept_under_the_reserved_one(org: Any) -> None:
    writer.add([event(org=org, attribution={"metadata": {"a": 1}})])
    record = UsageRecord.objects.get()
    assert record.org.slug == "unattributed"
    assert record.request_metadata == (
        {"a": 1} if org is None else {"a": 1, "org_id": str(org) if org == 2**70 else org}
    )
    call_command("check_usage")


def test_a_user_id_that_no_column_can_hold_goes_to_the_metadata() -> None:
    writer.add([event(org=factories.organization(), user=2**70), event(org=factories.organization(), user=0)])
    assert list(UsageRecord.objects.order_by("id").values_list("user_id", flat=True)) == [None, None]
    assert {record.request_metadata["user_id"] for record in UsageRecord.objects.all()} == {str(2**70), 0}


def test_a_call_is_charged_to_the_only_organisation_of_its_user() -> None:
    org, other = factories.organization(), factories.organization()
    of_one, of_two = factories.member(org), factories.member(org)
    Membership.objects.create(org=other, user=of_two, role="owner")
    writer.add([event(user=of_one), event(user=of_two), event(org=other, user=of_one)])
    charged = dict(UsageRecord.objects.exclude(org=other).values_list("user_id", "org__slug"))
    # A user with two organisations: choosing the wrong one would show a tenant another's calls.
    assert charged == {of_one.pk: org.slug, of_two.pk: "unattributed"}


def test_what_postgresql_cannot_store_is_stored_without_it() -> None:
    attribution = {"agent_id": "a\x00b" * 100, "metadata": {"k\x00": ["v\x00", {"deep\x00": "\x00"}]}}
    writer.add([event(org=factories.organization(), attribution=attribution, error_code="e\x00")])
    record = UsageRecord.objects.get()
    assert record.agent_id == ("ab" * 100)[:100]
    assert record.request_metadata == {"k": ["v", {"deep": ""}]}


def test_no_record_is_entered_when_the_totals_cannot_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(rows: Any) -> Any:
        raise RuntimeError("between the insert and the totals")

    monkeypatch.setattr(summing, "roll_up", broken)
    with pytest.raises(RuntimeError):
        writer.add([event(org=factories.organization())])
    assert (UsageRecord.objects.count(), DailyUsage.objects.count()) == (0, 0)


def test_a_batch_larger_than_a_statement_is_entered_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    org = factories.organization()
    monkeypatch.setattr(bulk, "ROWS_A_STATEMENT", 500)
    monkeypatch.setattr(bulk, "SQLITE_PARAMETERS", 500 * 33)
    number = 1001
    calls = [event(org=org, attribution={"agent_id": f"agent {index}"}) for index in range(number)]
    assert writer.add(calls) == number
    assert total().requests_count == number
    assert DailyUsage.objects.filter(grain="agent").count() == number


def test_entering_nothing_changes_nothing() -> None:
    assert writer.add([]) == 0
    assert not DailyUsage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_many_writers_of_the_same_totals_neither_deadlock_nor_lose_a_call() -> None:
    orgs = [factories.organization() for _ in range(3)]
    batches = [[event(org=org) for org in orgs * 5] for _ in range(8)]
    shared = [event(org=org) for org in orgs]
    errors: list[BaseException] = []

    def write(batch: list[Any]) -> None:
        try:
            for start in range(0, len(batch), 4):
                writer.add(batch[start : start + 4] + shared[:: 1 if start % 8 else -1])
        except BaseException as error:  # noqa: BLE001 - shown below, in the test's own thread
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    writer.rebuild_day(NOON.date())
    for thread in threads:
        thread.join()
    assert errors == []
    assert UsageRecord.objects.count() == 8 * 15 + 3
    assert total().requests_count == 8 * 15 + 3
    call_command("check_usage")


def test_rebuild_day_restores_what_was_damaged() -> None:
    org, other = factories.organization(), factories.organization()
    writer.add([event(org=org), event(org=other)])
    DailyUsage.objects.filter(grain="org", org_id=org.pk).update(requests_count=99)
    DailyUsage.objects.filter(grain="cube").delete()
    writer.rebuild_day(NOON.date())
    call_command("check_usage")


def insert_costs(org: Organization, *costs: str | None, **values: Any) -> None:
    """Insert a call of each cost in USD (None: unknown), without RUB."""
    writer.insert(
        [
            rows.row(
                org,
                cost_usd=cost and Decimal(cost),
                price_source="test" if cost else "unpriced:test",
                cost_rub=None,
                usd_rub_rate=None,
                **values,
            )
            for cost in costs
        ]
    )


def test_each_rollup_row_has_the_highest_cost_of_its_calls() -> None:
    org = factories.organization()
    insert_costs(org, "0.5", "2", None)
    insert_costs(org, "1", agent_id="another")
    assert set(DailyUsage.objects.values_list("max_cost_usd", flat=True).exclude(agent_id="another")) == {Decimal(2)}
    assert set(DailyUsage.objects.filter(agent_id="another").values_list("max_cost_usd", flat=True)) == {Decimal(1)}
    # A call that becomes more expensive raises it; one that becomes cheaper leaves it as an upper bound.
    most_expensive = UsageRecord.objects.get(cost_usd=2)
    writer.apply_changes([most_expensive.pk], lambda row: row | {"cost_usd": Decimal(7)})
    assert total().max_cost_usd == 7
    writer.apply_changes([most_expensive.pk], lambda row: row | {"cost_usd": Decimal(3)})
    assert total().max_cost_usd == 7
    call_command("check_usage")


def test_a_bound_that_is_too_low_is_found_and_raised() -> None:
    org = factories.organization()
    insert_costs(org, "2")
    DailyUsage.objects.filter(grain="org").update(max_cost_usd=Decimal("1.5"))
    with pytest.raises(CommandError, match="1 differences"):
        call_command("check_usage")
    writer.rebuild_day(UsageRecord.objects.get().usage_date)
    assert set(DailyUsage.objects.values_list("max_cost_usd", flat=True)) == {Decimal(2)}
    call_command("check_usage")


def test_rebuild_day_of_one_organisation_leaves_the_others_rows() -> None:
    org, other = factories.organization(), factories.organization()
    writer.add([event(org=org), event(org=other)])
    DailyUsage.objects.filter(grain="org").update(requests_count=99)
    writer.rebuild_day(NOON.date(), org.pk)
    counts = dict(DailyUsage.objects.filter(grain="org").values_list("org_id", "requests_count"))
    assert counts == {org.pk: 1, other.pk: 99}


def test_unattributed_is_made_once() -> None:
    writer.add([event()])
    writer.add([event()])
    assert Organization.objects.filter(slug="unattributed").count() == 1


# ── Calls that wait for their answer ─────────────────────────────────────────────────────────────────────────────


def response(request_id: str, **fields: Any) -> Any:
    fields = {"url": "https://api.openai.com/v1/responses", **fields}
    return event(request_id=request_id, flavour="responses", model="gpt-5-mini", **fields)


def begun(org: Organization, request_id: str, **fields: Any) -> Any:
    return response(request_id, org=org, status="pending", usage=msgspec.Raw(b"null"), **fields)


def answered(request_id: str, **fields: Any) -> Any:
    """1000 × 0.25 + 100 × 2 = 450 millionths of a USD."""
    usage = {"input_tokens": 1000, "output_tokens": 100}
    return response(request_id, **{"usage": usage, "completes": True, "at": NOON + timedelta(seconds=90), **fields})


@pytest.mark.parametrize("batches", [1, 2])
def test_a_background_response_is_one_call_completed_by_the_answer(batches: int) -> None:
    org = factories.organization()
    factories.rate()
    calls = [begun(org, "resp_1" + "0" * 40), answered("resp_1" + "0" * 40)]
    if batches == 1:
        assert writer.add(calls) == 1
    else:
        assert writer.add(calls[:1]) == 1
        assert UsageRecord.objects.get().price_source == "unpriced:pending"
        call_command("check_usage")
        assert writer.add(calls[1:]) == 0
    record = UsageRecord.objects.get()
    assert (record.org_id, record.status, record.created_at) == (org.pk, "succeeded", NOON)
    assert (record.prompt_tokens, record.cost_usd, record.cost_rub) == (1000, Decimal("0.00045"), Decimal("0.036"))
    assert record.execution_time_ms == 90_000 + 1200
    assert (total().requests_count, total().unpriced_usd_count, total().cost_usd) == (1, 0, Decimal("0.00045"))
    call_command("check_usage")


def test_a_background_response_that_is_delivered_again_is_one_call() -> None:
    """The drain was killed between the ledger's commit and the outbox's."""
    org = factories.organization()
    calls = [begun(org, "resp_1" + "0" * 40), answered("resp_1" + "0" * 40)]
    for delivered in (calls, calls, calls[:1], calls[1:]):
        writer.add(delivered)
    assert UsageRecord.objects.get().status == "succeeded"
    assert total().requests_count == 1
    writer.add([begun(org, "resp_1" + "0" * 40, at=NOON + timedelta(minutes=1))])  # of a server with one constant id
    assert UsageRecord.objects.count() == 2
    call_command("check_usage")


def test_the_beginning_of_a_background_response_may_come_after_its_answer() -> None:
    """Another process with its own outbox fetched the answer."""
    org = factories.organization()
    calls = [answered("resp_1" + "0" * 40, org=org), begun(org, "resp_1" + "0" * 40)]
    for call in calls * 2:
        writer.add([call])
    assert UsageRecord.objects.get().prompt_tokens == 1000
    call_command("check_usage")


def test_a_background_response_is_completed_once_whoever_fetches_it() -> None:
    org, other = factories.organization(), factories.organization()
    writer.add([begun(org, "resp_1" + "0" * 40)])
    for fetcher in (other, None, org):
        assert writer.add([answered("resp_1" + "0" * 40, org=fetcher)] * 2) <= 1
    assert UsageRecord.objects.filter(org=org, status="succeeded").count() == 1
    assert UsageRecord.objects.filter(org=other).count() == 0
    call_command("check_usage")


@pytest.mark.parametrize(
    "other",
    [
        "https://elsewhere.example.com/v1/responses",
        "http://127.0.0.1:9/v1/responses",
        "https://eu.api.openai.com/v1/responses",
    ],
)
def test_another_host_cannot_complete_a_call(other: str) -> None:
    org, stranger = factories.organization(), factories.organization()
    writer.add([begun(org, "resp_1" + "0" * 40)])
    writer.add([answered("resp_1" + "0" * 40, org=stranger, url=other)])
    record = UsageRecord.objects.get(org=org)
    assert (record.status, record.prompt_tokens) == ("pending", 0)
    writer.add([answered("resp_1" + "0" * 40, org=org)])
    record.refresh_from_db()
    assert (record.status, record.prompt_tokens) == ("succeeded", 1000)
    assert UsageRecord.objects.filter(org=stranger).count() == 1
    call_command("check_usage")


@pytest.mark.parametrize("batches", [1, 5])
def test_calls_of_a_server_with_one_constant_id_are_all_recorded(
    batches: int, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:
    org = factories.organization()
    before = counters.counts[counters.IDS_KEPT_APART]
    usages = [chat_usage(prompt=number) for number in range(1, 6)]
    calls = [event(org=org, request_id="constant-id-of-a-server", usage=usage) for usage in usages]
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(2):  # delivered twice, each is one record all the same
            for number in range(batches):
                writer.add(calls[number::batches])
    assert UsageRecord.objects.filter(org=org).count() == 5
    assert sorted(UsageRecord.objects.values_list("prompt_tokens", flat=True)) == [1, 2, 3, 4, 5]
    assert UsageRecord.objects.filter(request_id="constant-id-of-a-server").count() == 1
    assert counters.counts[counters.IDS_KEPT_APART] - before == 4
    assert "id of another call" in caplog.text
    call_command("check_usage")


def test_long_ids_that_begin_alike_are_several_calls() -> None:
    org = factories.organization()
    assert writer.add([event(org=org, request_id="x" * 300 + str(number)) for number in range(5)]) == 5


def test_a_count_that_no_call_has_is_recorded_without_a_price() -> None:
    org, other = factories.organization(), factories.organization()
    factories.rate()
    hostile = [2**63 - 1, 2**62, 10**12 + 1, -(2**63), 10**30]
    for number in hostile:
        writer.add([event(org=org, usage=chat_usage(prompt=number)), event(org=other)])
    records = UsageRecord.objects.filter(org=org)
    assert set(records.values_list("price_source", "total_tokens", "cost_usd")) == {
        ("unpriced:unreadable-usage", 0, None)
    }
    assert UsageRecord.objects.filter(org=other, cost_usd=Decimal("0.00056")).count() == len(hostile)
    call_command("check_usage")


def test_counts_that_add_up_beyond_the_bound_are_recorded_without_a_price() -> None:
    org = factories.organization()
    turns = {"iterations": [{"input_tokens": 10**12, "output_tokens": 10**12}] * 50}
    writer.add([event(org=org, flavour="messages", url=factories.MESSAGES, model="claude-opus-4-1", usage=turns)])
    record = UsageRecord.objects.get()
    assert (record.price_source, record.total_tokens) == ("unpriced:unreadable-usage", 0)


@pytest.mark.parametrize("price", ["999999", "700000"])
def test_an_amount_that_no_call_costs_is_recorded_without_a_price(price: str) -> None:
    org = factories.organization()
    factories.rate()
    factories.own_price(prices={"input_mtok": price, "output_mtok": price}, org=org)
    calls = [event(org=org, usage=chat_usage(prompt=10**12, completion=0)) for _ in range(3)]
    assert writer.add(calls) == 3
    assert {record.price_source for record in UsageRecord.objects.all()} == {"unpriced:amount-out-of-bounds"}
    call_command("check_usage")


def test_totals_hold_many_calls_of_the_largest_amount() -> None:
    org = factories.organization()
    largest = Decimal(10**12) - 1
    row = rows.row(org, cost_usd=largest, cost_rub=largest, usd_rub_rate=Decimal(1))
    assert writer.insert([row | {"request_id": f"dear-{number}"} for number in range(20)]) == 20
    assert total().cost_usd == 20 * largest
    call_command("check_usage")


@pytest.mark.parametrize("depth", [400, 500, 700, 950, 5000])
def test_a_block_nested_too_deep_is_recorded_without_a_price(depth: int) -> None:
    nested = msgspec.Raw(b'{"prompt_tokens":1,"a":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}")
    writer.add([event(org=factories.organization(), usage=nested)])
    assert UsageRecord.objects.get().price_source == "unpriced:unreadable-usage"


def test_an_answer_whose_call_nobody_recorded_is_a_call() -> None:
    org = factories.organization()
    assert writer.add([answered("resp_1" + "0" * 40, org=org)]) == 1
    assert writer.add([answered("resp_1" + "0" * 40, org=org)]) == 0
    assert UsageRecord.objects.get().cost_usd == Decimal("0.00045")


def test_changing_records_changes_their_rollups() -> None:
    org = factories.organization()
    factories.rate()
    given = {"agent_id": "old", "tags": {"env": "prod"}}
    writer.add([event(org=org, attribution=given), event(org=org, attribution=given)])
    one = UsageRecord.objects.first()
    assert one is not None
    source = {"price_source": "by hand", "agent_id": "new"}
    (change,) = writer.apply_changes(
        [one.pk], lambda row: row | {"cost_usd": Decimal(1), "cost_rub": Decimal(80)} | source
    )
    assert (change.before["cost_usd"], change.after["cost_usd"]) == (Decimal("0.00056"), Decimal(1))
    assert total().cost_usd == Decimal("1.00056")
    assert by_tag("env") == {"prod": (2, Decimal("1.00056"))}
    call_command("check_usage")
    # No row of zeros remains of an agent's last call.
    other = UsageRecord.objects.get(agent_id="old")
    writer.apply_changes([other.pk], lambda row: row | {"agent_id": "new"})
    assert list(DailyUsage.objects.filter(grain="agent").values_list("agent_id", flat=True)) == ["new"]
    assert {*DailyTagUsage.objects.filter(grain="tag_mix").values_list("agent_id", flat=True)} == {"new"}
    call_command("check_usage")
    assert writer.apply_changes([one.pk], lambda row: row) == []


# ── Tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def by_tag(key: str) -> dict[str, tuple[int, Decimal]]:
    """Return number and cost of the calls by the tag's value."""
    rows = DailyTagUsage.objects.filter(grain="tag", tag_key=key)
    return {row.tag_value: (row.requests_count, row.cost_usd) for row in rows}


def test_a_call_counts_under_each_of_its_tags_once_however_often_it_comes() -> None:
    org = factories.organization()
    calls = [
        event(org=org, attribution={"tags": {"feature": "search", "env": "prod"}}),
        event(org=org, attribution={"tags": {"feature": "chat", "env": "prod"}}),
        event(org=org),
    ]
    assert (writer.add(calls), writer.add(calls[::-1])) == (3, 0)
    cost = Decimal("0.00056")
    assert by_tag("feature") == {"search": (1, cost), "chat": (1, cost)}
    assert by_tag("env") == {"prod": (2, 2 * cost)}
    assert UsageRecord.objects.get(tags__feature="chat").tags == {"feature": "chat", "env": "prod"}
    call_command("check_usage")


def test_calls_without_tags_cost_no_statement_about_tags() -> None:
    writer.add([event(org=factories.organization())])
    assert not DailyTagUsage.objects.exists()
    with CaptureQueriesContext(connection) as queries:
        writer.add([event(org=factories.organization())])
    assert [query["sql"] for query in queries if "tag_" in query["sql"]] == []


def test_a_completed_call_keeps_the_tags_of_its_beginning() -> None:
    org = factories.organization()
    beginning = msgspec.structs.replace(
        begun(org, "resp_1" + "0" * 40), attribution=Attribution(org_id=org.pk, tags={"env": "prod"})
    )
    writer.add([beginning])
    assert by_tag("env") == {"prod": (1, Decimal(0))}
    writer.add([answered("resp_1" + "0" * 40, attribution={"tags": {"env": "test"}})])
    assert UsageRecord.objects.get().tags == {"env": "prod"}
    assert {value: calls for value, (calls, _) in by_tag("env").items()} == {"prod": 1}
    call_command("check_usage")


# ── Clocks ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ahead", [timedelta(days=3), timedelta(days=60), timedelta(days=365 * 50)])
def test_call_of_a_clock_that_is_ahead_counts_from_when_it_came(ahead: timedelta) -> None:
    org = factories.organization()
    before = timezone.now()
    call = event(org=org, at=before + ahead)
    assert (writer.add([call]), writer.add([call])) == (1, 0)
    record = UsageRecord.objects.get()
    assert before <= record.created_at <= timezone.now()
    assert record.usage_date == record.created_at.astimezone(org.zone).date()
    assert abs(record.response_metadata["clock_ahead_s"] - ahead.total_seconds()) < 60
    assert record.cost_usd is not None


def test_clock_that_is_a_little_ahead_is_taken_at_its_word() -> None:
    at = timezone.now() + timedelta(minutes=4)
    writer.add([event(org=factories.organization(), at=at)])
    record = UsageRecord.objects.get()
    assert record.created_at == at
    assert "clock_ahead_s" not in record.response_metadata


def test_pending_call_of_a_clock_that_is_ahead_is_one_call_however_often_it_comes() -> None:
    at = timezone.now() + timedelta(days=3)
    call = event(org=factories.organization(), at=at, usage=msgspec.Raw(b"null"), status="pending", flavour="responses")
    assert [writer.add([call]) for _ in range(3)] == [1, 0, 0]
