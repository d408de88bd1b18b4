"""Repricing: changed and unchanged columns; records, rollups and log agree at every step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.core.management import call_command
from django.db import connection
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice

from tests.support import factories
from tests.support.factories import NOON, TODAY, chat_usage, event, own_price
from tests.support.rows import enter, row
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.ledger import repricing, writer
from usage_billing.ledger.repricing import Scope, Tally
from usage_billing.models import (
    DailyUsage,
    ExchangeRate,
    Organization,
    PriceOverride,
    RepriceRun,
    UsageRecord,
)

pytestmark = pytest.mark.django_db

ALL = Scope(date(2026, 1, 1), date(2026, 12, 31))


def begin(scope: Scope = ALL) -> RepriceRun:
    return scope.start_run(by="anna", reason="a test", at=NOON)


def reprice(scope: Scope = ALL, run: RepriceRun | None = None) -> RepriceRun:
    run = run or begin(scope)
    for _ in repricing.reprice(scope, run, PriceOverrides.load()):
        call_command("check_usage")
    repricing.finish(run, at=NOON)
    call_command("check_usage")
    return RepriceRun.objects.get(pk=run.pk)


def rehearse(scope: Scope = ALL) -> Tally:
    tally = Tally()
    for batch in repricing.rehearse(scope, PriceOverrides.load()):
        tally.add(batch)
    return tally


def changed(run: RepriceRun) -> tuple[int, int]:
    return run.records_seen, run.records_changed


def total() -> DailyUsage:
    return DailyUsage.objects.get(grain="total")


def tables() -> list[Any]:
    return [
        list(UsageRecord.objects.order_by("id").values()),
        sorted(DailyUsage.objects.values(), key=str),
        list(RepriceRun.objects.order_by("id").values()),
        list(PriceOverride.objects.order_by("id").values()),
        list(ExchangeRate.objects.values()),
    ]


def test_records_and_their_totals_follow_a_price_of_our_own() -> None:
    org = factories.organization()
    factories.rate()
    writer.add([event(org=org), event(org=org, model="gpt-99"), event(org=org, model="gpt-99")])
    price = own_price("gpt-99")
    assert total().unpriced_usd_count == 2

    run = reprice()

    assert changed(run) == (3, 2)
    assert (run.usd_before, run.usd_after) == (0, Decimal("0.0024"))
    assert (run.rub_before, run.rub_after) == (0, Decimal("0.192"))
    assert (run.unpriced_before, run.unpriced_after) == (2, 0)
    assert (run.unpriced_rub_before, run.unpriced_rub_after) == (2, 0)
    assert run.finished_at == NOON
    record = UsageRecord.objects.filter(ai_model="gpt-99").first()
    assert record is not None
    assert (record.cost_usd, record.cost_rub) == (Decimal("0.0012"), Decimal("0.096"))
    assert record.price_source == f"override:{price.pk}"
    assert record.response_metadata["cost_parts"] == {"input": "0.001", "output": "0.0002"}
    assert (total().unpriced_usd_count, total().unpriced_rub_count) == (0, 0)
    assert total().cost_usd == Decimal("0.00056") + Decimal("0.0024")


def test_what_becomes_unknown_is_null_and_counted() -> None:
    writer.add([event(org=factories.organization())])
    own_price(prices={"input_mtok": "1"})
    run = reprice()
    assert (run.usd_before, run.usd_after, run.unpriced_before, run.unpriced_after) == (Decimal("0.00056"), 0, 0, 1)
    record = UsageRecord.objects.get()
    assert (record.cost_usd, record.price_source) == (None, "unpriced:no-price-for:output_tokens")
    assert record.response_metadata["cost_parts"] == {"input": "0.001"}  # what is known stands beside the NULL
    assert (total().cost_usd, total().unpriced_usd_count) == (0, 1)


def test_second_time_changes_nothing() -> None:
    org = factories.organization()
    factories.rate(usd_rub="80.12345678")
    writer.add([event(org=org, usage=chat_usage(prompt, 7)) for prompt in (1, 3, 333_333, 77_777_777, 2_000_000_001)])
    own_price("gpt-4.1-mini", {"input_mtok": "3.333333333333", "output_mtok": "7.777777777777"})
    assert changed(reprice()) == (5, 5)
    before = tables()[:2]
    assert changed(reprice()) == (5, 0)
    assert rehearse().measures["records_changed"] == 0
    assert tables()[:2] == before


def every_kind(org: Organization) -> list[Any]:
    """Calls of every status and kind of answer."""
    null = msgspec.Raw(b"null")
    messages: dict[str, Any] = {"flavour": "messages", "url": factories.MESSAGES, "model": "claude-haiku-4-5"}
    return [
        event(org=org),
        event(org=org, usage=chat_usage(1_234_567, 89_123, cached=456_789, reasoning=1000)),
        event(org=org, usage=chat_usage(2_000_000_001, 1)),
        event(org=org, model="gpt-99"),
        event(org=org, model="omni-moderation-latest"),
        event(org=org, status="failed", error_code="429", usage=null),
        event(org=org, status="failed"),
        event(org=org, status="aborted", usage=chat_usage(700, 1)),
        event(org=org, status="pending", usage=null),
        event(org=org, usage=null),
        event(
            org=org, usage={"prompt_tokens": 5, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 6}}
        ),
        event(org=org, context={"service_tier": "priority"}, units={"web_searches": 2, "input_characters": 1.5}),
        event(org=org, url="https://llm.example.com/v1/chat/completions"),
        event(org=org, url="https://api.openai.com/v1/unheard-of"),
        event(
            org=org,
            usage={
                "input_tokens": 1000,
                "output_tokens": 100,
                "cache_read_input_tokens": 2000,
                "cache_creation_input_tokens": 400,
                "cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 100},
                "server_tool_use": {"web_search_requests": 2},
                "service_tier": "standard",
            },
            **messages,
        ),
    ]


@pytest.mark.parametrize("with_rate", [True, False])
def test_nothing_changes_without_a_reason(with_rate: bool) -> None:
    if with_rate:
        factories.rate(usd_rub="80.12345678")
    writer.add(every_kind(factories.organization()))
    before = tables()[:2]
    assert changed(reprice()) == (15, 0)
    assert changed(reprice(Scope(ALL.first, ALL.last, with_rates=True))) == (15, 0)
    assert tables()[:2] == before


def test_status_keeps_its_meaning() -> None:
    writer.add(every_kind(factories.organization()))
    own_price("*", {"input_mtok": "1", "output_mtok": "2", "cache_read_mtok": "1"})
    reprice()
    unknown = dict(UsageRecord.objects.filter(status__in=["pending", "aborted"]).values_list("status", "price_source"))
    assert unknown == {"pending": "unpriced:pending", "aborted": "unpriced:cut-short"}
    failed = UsageRecord.objects.filter(status="failed").order_by("id").values_list("cost_usd", flat=True)
    assert list(failed) == [Decimal(0), Decimal("0.0012")]


def test_a_pending_call_is_completed_once_after_repricing() -> None:
    org = factories.organization()
    url = "https://api.openai.com/v1/responses"
    call: dict[str, Any] = {"request_id": "resp_1" + "0" * 40, "flavour": "responses", "url": url, "model": "gpt-99"}
    writer.add([event(org=org, status="pending", usage=msgspec.Raw(b"null"), **call)])
    factories.rate()
    own_price("gpt-99")
    assert changed(reprice()) == (1, 1)  # the rate
    writer.add([event(org=org, completes=True, usage={"input_tokens": 1000, "output_tokens": 100}, **call)])
    assert UsageRecord.objects.get().cost_rub == Decimal("0.096")
    assert changed(reprice()) == (1, 0)


def test_cost_that_a_record_came_with_stays_where_there_is_no_usage_to_work_it_out_of() -> None:
    org = factories.organization()
    enter(row(org, usage={}, cost_rub=None, usd_rub_rate=None))
    factories.rate(date(2026, 5, 20), "90")
    assert changed(reprice()) == (1, 1)
    record = UsageRecord.objects.get()
    assert (record.cost_usd, record.cost_rub, record.prompt_tokens) == (Decimal("0.5"), Decimal(45), 100)
    assert record.price_source == "test"


# ── The price list ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def newer_list() -> Iterator[None]:
    """Install a price list with one more model, and gpt-4.1-mini at 1 and 2 USD per million."""
    providers = []
    for provider in get_snapshot().providers:
        if provider.id == "openai":
            prices = ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(2))
            ours = [ModelInfo(id=name, match=ClauseEquals(name), prices=prices) for name in ("gpt-99", "gpt-4.1-mini")]
            others = [model for model in provider.models if model.id != "gpt-4.1-mini"]
            provider = type(provider)(**{**vars(provider), "models": [*ours, *others]})
        providers.append(provider)
    set_custom_snapshot(DataSnapshot(providers=providers, from_auto_update=False))
    yield
    set_custom_snapshot(None)


def test_records_stay_when_the_list_changes_until_they_are_repriced(request: pytest.FixtureRequest) -> None:
    org = factories.organization()
    writer.add([event(org=org), event(org=org, model="gpt-99"), event(org=org, model="o3")])
    before = tables()[:2]
    request.getfixturevalue("newer_list")
    assert tables()[:2] == before
    assert changed(reprice()) == (3, 2)
    assert list(UsageRecord.objects.order_by("id").values_list("cost_usd", flat=True)) == [
        Decimal("0.0012"),
        Decimal("0.0012"),
        Decimal("0.0028"),
    ]


def test_record_whose_cost_stays_keeps_the_name_of_the_price_it_was_costed_with() -> None:
    org = factories.organization()
    writer.add([event(org=org), event(org=org, model="gpt-99")])
    UsageRecord.objects.filter(cost_usd__isnull=False).update(price_source="genai-prices 0.0.1:openai/gpt-4.1-mini")
    UsageRecord.objects.filter(cost_usd=None).update(price_source="unpriced:of-old")
    assert changed(reprice()) == (2, 1)
    assert list(UsageRecord.objects.order_by("id").values_list("price_source", flat=True)) == [
        "genai-prices 0.0.1:openai/gpt-4.1-mini",
        "unpriced:unknown-model",
    ]


# ── RUB ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rub_are_filled_in_once_there_is_a_rate() -> None:
    org = factories.organization()
    writer.add([event(org=org), event(org=org, at=NOON + timedelta(days=30)), event(org=org, model="gpt-99")])
    assert total_rub() == (Decimal(0), 3)
    factories.rate(TODAY - timedelta(days=9), "80")
    run = reprice()
    # The call of a month later still has no rate.
    assert changed(run) == (3, 2)
    assert (run.unpriced_rub_before, run.unpriced_rub_after) == (2, 1)
    assert total_rub() == (Decimal("0.0448"), 2)
    assert list(UsageRecord.objects.order_by("id").values_list("usd_rub_rate", flat=True)) == [80, None, 80]


def total_rub() -> tuple[Decimal, int]:
    days = DailyUsage.objects.filter(grain="total")
    return sum((day.cost_rub for day in days), Decimal(0)), sum(day.unpriced_rub_count for day in days)


def test_frozen_rate_stays_unless_rates_are_asked_for() -> None:
    factories.rate(usd_rub="80")
    writer.add([event(org=factories.organization())])
    ExchangeRate.objects.update(usd_rub=Decimal(100))
    own_price()
    reprice()
    record = UsageRecord.objects.get()
    assert (record.cost_rub, record.usd_rub_rate) == (Decimal("0.096"), Decimal(80))
    run = reprice(Scope(ALL.first, ALL.last, with_rates=True))
    record.refresh_from_db()
    assert (record.cost_usd, record.cost_rub, record.usd_rub_rate) == (
        Decimal("0.0012"),
        Decimal("0.12"),
        Decimal(100),
    )
    assert (run.usd_before, run.usd_after, run.rub_before, run.rub_after) == (
        Decimal("0.0012"),
        Decimal("0.0012"),
        Decimal("0.096"),
        Decimal("0.12"),
    )
    # A deleted rate does not replace the recorded one.
    ExchangeRate.objects.all().delete()
    assert changed(reprice(Scope(ALL.first, ALL.last, with_rates=True))) == (1, 0)


# ── Which records ────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_the_days_model_and_organisation_asked_for() -> None:
    org, other = factories.organization(timezone="Asia/Tokyo"), factories.organization()
    evening = datetime(2026, 11, 17, 16, tzinfo=UTC)  # the 18th in Tokyo, the 17th in Moscow
    for whose in (org, other):
        for model in ("gpt-98", "gpt-99"):
            writer.add([event(org=whose, model=model, at=at) for at in (evening, NOON, NOON + timedelta(days=1))])
    own_price()

    def costed() -> int:
        return UsageRecord.objects.filter(cost_usd__isnull=False).count()

    assert changed(reprice(Scope(TODAY, TODAY, "gpt-99", org))) == (2, 2)
    assert costed() == 2
    assert changed(reprice(Scope(TODAY, TODAY, "gpt-99"))) == (3, 1)
    assert changed(reprice(Scope(TODAY, TODAY, org=other))) == (2, 1)
    assert changed(reprice(Scope(TODAY, TODAY))) == (6, 2)
    assert costed() == 6
    assert changed(reprice(Scope(TODAY, TODAY, "gpt-9"))) == (0, 0)
    assert changed(reprice(Scope(date(2020, 1, 1), date(2020, 12, 31)))) == (0, 0)
    assert changed(reprice(Scope(date.min, date.max))) == (12, 6)


# ── Batches ──────────────────────────────────────────────────────────────────────────────────────────────────────


def three_days(org: Organization, a_day: int = 7) -> None:
    factories.rate()
    moments = [NOON + timedelta(days=number % 3 - 2) for number in range(3 * a_day)]
    writer.add([event(org=org, at=at, usage=chat_usage(1000 + n, 9)) for n, at in enumerate(moments)])


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repricing, "BATCH", 3)


@pytest.mark.usefixtures("small_batches")
def test_records_totals_and_log_agree_at_every_batch() -> None:
    three_days(factories.organization())
    factories.rate(TODAY - timedelta(days=5))
    own_price()
    before = dict(UsageRecord.objects.values_list("id", "cost_usd"))
    run = begin()
    seen = []
    for batch in repricing.reprice(ALL, run, PriceOverrides.load()):
        seen.append(batch.seen)
        call_command("check_usage")
        stored = RepriceRun.objects.get(pk=run.pk)
        now = dict(UsageRecord.objects.values_list("id", "cost_usd"))
        different = [id_ for id_ in now if now[id_] != before[id_]]
        assert changed(stored) == (sum(seen), len(different))
        assert stored.usd_before == sum(filter(None, (before[id_] for id_ in different)))
        assert stored.usd_after == sum(filter(None, (now[id_] for id_ in different)))
        assert (stored.last_date, stored.last_id, stored.finished_at) == (run.last_date, run.last_id, None)
    assert seen == [3, 3, 1] * 3
    assert run.records_seen == 21


@pytest.mark.usefixtures("small_batches")
def test_rehearsal_says_the_same_and_writes_and_locks_nothing(django_assert_max_num_queries: Any) -> None:
    three_days(factories.organization())
    own_price("gpt-4.1*")
    before = tables()
    with django_assert_max_num_queries(50) as queries:
        tally = rehearse()
    words = {query["sql"].split()[0] for query in queries.captured_queries}
    assert words == {"SELECT"}
    assert [query for query in queries.captured_queries if "FOR UPDATE" in query["sql"]] == []
    assert tables() == before
    run = reprice()
    assert tally.measures == {name: getattr(run, name) for name in tally.measures}
    ((model, count, usd_before, usd_after),) = tally.largest_changes(5)
    assert (model, count, usd_before, usd_after) == ("gpt-4.1-mini", 21, run.usd_before, run.usd_after)


def test_models_whose_cost_changes_most_come_first() -> None:
    org = factories.organization()
    writer.add([event(org=org, model=model) for model in ("o3", "gpt-99", "gpt-4.1-mini", "gpt-4.1-mini")])
    own_price()
    # o3: 0.0028 → 0.0012; gpt-4.1-mini: 2 × (0.00056 → 0.0012); gpt-99: unknown → 0.0012
    assert [(model, count) for model, count, _, _ in rehearse().largest_changes(2)] == [("o3", 1), ("gpt-4.1-mini", 2)]


@pytest.mark.usefixtures("small_batches")
def test_failure_within_a_batch_leaves_neither_records_nor_log_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    three_days(factories.organization())
    own_price()
    run = begin()
    batches = repricing.reprice(ALL, run, PriceOverrides.load())
    next(batches)
    before = tables()

    def broken(*arguments: Any) -> Any:
        raise RuntimeError("between the records and the totals")

    with monkeypatch.context() as patched:
        patched.setattr(writer, "_add_to_rollups", broken)
        with pytest.raises(RuntimeError):
            next(batches)
    assert tables() == before
    run = RepriceRun.objects.get()
    assert ALL.unfinished_run() == run
    assert changed(reprice(run=run)) == (21, 21)


@pytest.mark.usefixtures("small_batches")
def test_two_cannot_work_on_one_run() -> None:
    three_days(factories.organization())
    own_price()
    run = begin()
    mine = repricing.reprice(ALL, run, PriceOverrides.load())
    next(mine)
    next(repricing.reprice(ALL, RepriceRun.objects.get(), PriceOverrides.load()))
    with pytest.raises(repricing.RunInProgressError, match=f"run {run.pk}"):
        next(mine)
    call_command("check_usage")


def test_memory_holds_a_batch_and_not_the_days(django_assert_max_num_queries: Any) -> None:
    """Each statement reads at most a batch of records."""
    three_days(factories.organization(), a_day=5)
    own_price()
    with django_assert_max_num_queries(150) as queries:
        reprice()
    reads = [query["sql"] for query in queries.captured_queries if 'FROM "token_usage"' in query["sql"]]
    # check_usage, which `reprice` runs at its end, reads the distinct days: one row per day.
    bounds = ("LIMIT", "IN (", "COUNT(", " UNION ")
    unbounded = [sql for sql in reads if not any(bound in sql.upper() for bound in bounds)]
    assert unbounded == []


# ── Processes and threads ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("moment", ["before the totals", "before the log", "after the batch", "before the end"])
@pytest.mark.usefixtures("small_batches")
def test_killed_and_resumed_it_is_as_if_never_killed(database_url: str, moment: str) -> None:
    org = factories.organization()
    three_days(org)
    factories.rate(TODAY - timedelta(days=5))
    own_price()
    expected = rehearse().measures

    killed = subprocess.run(
        [sys.executable, "-m", "tests.support.killed_repricing", moment],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": database_url, "DEBUG": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    call_command("check_usage")
    run = RepriceRun.objects.get()
    done = {"before the totals": 7, "before the log": 7, "after the batch": 10, "before the end": 21}[moment]
    assert changed(run) == (done, UsageRecord.objects.filter(price_source__startswith="override:").count())
    assert (run.records_seen, run.finished_at, run.reason) == (done, None, "new contract")

    call_command("reprice_usage", "--from", str(ALL.first), "--to", str(ALL.last), "--resume", "--by", "somebody else")

    call_command("check_usage")
    run = RepriceRun.objects.get()
    assert {name: getattr(run, name) for name in expected} == expected
    assert (run.by, run.finished_at is not None) == ("anna", True)
    assert rehearse().measures["records_changed"] == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("small_batches")
def test_calls_that_come_in_meanwhile_are_counted_too() -> None:
    orgs = [factories.organization() for _ in range(3)]
    for org in orgs[:1]:
        three_days(org)
    factories.rate(TODAY - timedelta(days=5))
    own_price()
    url = "https://api.openai.com/v1/responses"
    waiting: list[dict[str, Any]] = [
        {"request_id": f"resp_{number}" + "0" * 40, "flavour": "responses", "url": url, "model": "gpt-99"}
        for number in range(6)
    ]
    writer.add([event(org=orgs[0], status="pending", usage=msgspec.Raw(b"null"), **call) for call in waiting])
    batches = [[event(org=org, at=NOON - timedelta(days=n % 3)) for n, org in enumerate(orgs * 4)] for _ in range(4)]
    errors: list[BaseException] = []

    def write(batch: list[Any], call: Any) -> None:
        try:
            writer.add([event(org=orgs[0], completes=True, usage={"input_tokens": 9, "output_tokens": 1}, **call)])
            for start in range(0, len(batch), 3):
                writer.add(batch[start : start + 3])
        except BaseException as error:  # noqa: BLE001 - shown below, in the test's own thread
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=each) for each in zip(batches, waiting, strict=False)]
    for thread in threads:
        thread.start()
    run = begin()
    for _ in repricing.reprice(ALL, run, PriceOverrides.load()):
        pass
    for thread in threads:
        thread.join()
    assert errors == []
    call_command("check_usage")
    assert UsageRecord.objects.count() == 21 + 6 + 4 * 12
    assert UsageRecord.objects.filter(status="pending").count() == 2
    assert not UsageRecord.objects.exclude(status="pending").exclude(price_source__startswith="override:").exists()
    reprice()
