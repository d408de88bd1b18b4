"""Price overrides: which one applies to a call, and the resulting cost."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.core.management import call_command
from genai_prices.types import ModelPrice
from pytest_django import DjangoAssertNumQueries

from tests.support import factories
from tests.support.factories import CHAT, MESSAGES, NOON, chat_usage, event, own_price
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.ledger import writer
from usage_billing.models import PriceOverride, UsageRecord
from usage_billing.recording.event import Part

pytestmark = pytest.mark.django_db

OTHER_HOST = "https://llm.example.com/v1/chat/completions"


def found(model: str = "gpt-99", provider: str = "openai", org_id: int = 0, at: datetime = NOON) -> str | None:
    price = PriceOverrides.load().find(provider, model, org_id, at)
    return price and price[1]


def name(price: PriceOverride) -> str:
    return f"override:{price.pk}"


def test_price_is_in_the_lists_words() -> None:
    own_price(prices={"input_mtok": "2.50", "cache_read_mtok": "0.000000000001"})
    price = PriceOverrides.load().find("openai", "gpt-99", 0, NOON)
    assert price is not None
    assert price[0] == ModelPrice(input_mtok=Decimal("2.5"), cache_read_mtok=Decimal("1e-12"))


@pytest.mark.parametrize(
    ("pattern", "model", "matches"),
    [
        ("gpt-99", "gpt-99", True),
        ("GPT-99", "gpt-99", True),
        ("gpt-99", "GPT-99", True),
        ("gpt-99", "gpt-99-mini", False),
        ("gpt-99*", "gpt-99-mini", True),
        ("*mini", "gpt-99-mini", True),
        ("*99*", "gpt-99-mini", True),
        ("*", "", True),
        ("gpt-9?", "gpt-99", False),
        ("gpt-9?", "gpt-9?", True),
        ("gpt-[9]9", "gpt-99", False),
        ("gpt-[9]9", "gpt-[9]9", True),
        ("gpt.99", "gpt-99", False),
        ("*a" * 40 + "b", "a" * 200, False),  # … and at once
    ],
)
def test_only_the_asterisk_is_a_wildcard(pattern: str, model: str, matches: bool) -> None:
    own_price(pattern)
    assert (found(model) is not None) is matches


def test_an_organisations_override_precedes_one_for_all() -> None:
    org, other = factories.organization(), factories.organization()
    general, own = own_price("gpt-99"), own_price("*", org=org)
    assert found(org_id=org.pk) == name(own)
    assert found(org_id=other.pk) == name(general)


def test_an_exact_name_precedes_a_pattern_and_a_longer_pattern_a_shorter_one() -> None:
    prices = [own_price(pattern) for pattern in ("*", "gpt-99*", "gpt*", "gpt-99-min*", "gpt-99-mini")]
    everything, long, short, longest, exact = map(name, prices)
    models = ("gpt-99-mini", "gpt-99-minimal", "gpt-99", "gpt-5", "o3")
    assert [found(model) for model in models] == [exact, longest, long, short, everything]


def test_a_more_specific_override_precedes_a_later_one() -> None:
    exact = own_price("gpt-99", valid_from=date(2026, 1, 1))
    own_price("*", valid_from=date(2026, 6, 1))
    assert found() == name(exact)


def test_price_is_the_latest_that_was_valid_on_the_utc_day_of_the_call() -> None:
    org = factories.organization()
    first, second = own_price(valid_from=date(2026, 3, 1)), own_price(valid_from=date(2026, 4, 1))
    late = own_price(org=org, valid_from=date(2027, 1, 1))

    def at(*moment: int, zone: Any = UTC, org_id: int = 0) -> str | None:
        return found(org_id=org_id, at=datetime(*moment, tzinfo=zone))  # type: ignore[misc, arg-type]

    moscow = timezone(timedelta(hours=3))
    assert at(2026, 2, 28, 23, 59) is None
    assert at(2026, 3, 1, 0, 0) == name(first)
    assert at(2026, 3, 31, 23, 59) == name(first)
    assert at(2026, 4, 1, 2, 59, zone=moscow) == name(first)
    assert at(2026, 4, 1, 3, 0, zone=moscow) == name(second)
    # The organisation's override is not valid yet: the one for all applies.
    assert at(2026, 12, 31, org_id=org.pk) == name(second)
    assert at(2027, 1, 1, org_id=org.pk) == name(late)


def test_another_provider_has_another_price() -> None:
    own_price(provider="openai")
    assert found(provider="anthropic") is None
    assert found(provider="openai") is not None


def test_all_prices_are_read_in_one_query_whatever_is_asked(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for number in range(20):
        own_price(f"gpt-{number}*", org=factories.organization())
    with django_assert_num_queries(1):
        prices = PriceOverrides.load()
        for number in range(20):
            prices.find("openai", f"gpt-{number}-mini", number, NOON)


def test_batch_of_calls_asks_once_for_prices(django_assert_max_num_queries: Any) -> None:
    org = factories.organization()
    own_price()
    calls = [event(org=org, model=f"gpt-{number}") for number in range(30)]
    with django_assert_max_num_queries(50) as queries:
        writer.add(calls)
    assert len([query for query in queries.captured_queries if "price_override" in query["sql"]]) == 1


def test_a_key_that_the_list_no_longer_has_leaves_a_call_unpriced_and_recorded() -> None:
    own_price(prices={"input_mtok": "1", "made_up_mtok": "2"})
    writer.add([event(org=factories.organization())])
    assert UsageRecord.objects.get().price_source == "unpriced:no-price-for:output_tokens"


# ── Cost ────────────────────────────────────────────────────────────────────────────────────────────────────────


def costed(**fields: Any) -> UsageRecord:
    writer.add([event(**{"org": factories.organization(), **fields})])
    call_command("check_usage")
    record = UsageRecord.objects.order_by("-id").first()
    assert record is not None
    return record


def test_unknown_model_is_priced() -> None:
    assert costed(model="gpt-99").cost_usd is None
    factories.rate()
    price = own_price("gpt-99", {"input_mtok": "2.5", "output_mtok": "10", "cache_read_mtok": "0.25"})
    record = costed(model="gpt-99", usage=chat_usage(1000, 100, cached=400))
    # 600 × 2.5 + 400 × 0.25 + 100 × 10 = 2600 millionths
    assert (record.cost_usd, record.cost_rub) == (Decimal("0.0026"), Decimal("0.208"))
    assert record.price_source == name(price)
    assert record.response_metadata["cost_parts"] == {"input": "0.0015", "cached": "0.0001", "output": "0.001"}


def test_an_override_precedes_the_list_only_for_its_organisation() -> None:
    org = factories.organization()
    own_price("gpt-4.1-mini", org=org)
    assert costed(org=org).cost_usd == Decimal("0.0012")
    assert costed().cost_usd == Decimal("0.00056")


def test_an_unknown_host_is_priced() -> None:
    price = own_price("*", provider="llm.example.com")
    record = costed(url=OTHER_HOST, model="llama-9")
    assert (record.ai_provider, record.cost_usd) == ("llm.example.com", Decimal("0.0012"))
    assert record.price_source == name(price)
    # The model's name is not enough: another host may charge another price.
    assert costed(model="llama-9").cost_usd is None


def test_zero_is_free_and_not_unknown() -> None:
    own_price(provider="llm.example.com", prices={"input_mtok": "0", "output_mtok": "0"})
    record = costed(url=OTHER_HOST, model="llama-9", usage=chat_usage(1000, 100, cached=400))
    # A free call needs no exchange rate.
    assert (record.cost_usd, record.cost_rub) == (Decimal(0), Decimal(0))


def test_zero_for_one_unit_of_a_paid_model_is_meant() -> None:
    own_price(prices={"input_mtok": "0", "output_mtok": "10"})
    assert costed(usage=chat_usage(1000, 0)).cost_usd == Decimal(0)
    assert costed(usage=chat_usage(1000, 100)).cost_usd == Decimal("0.001")


@pytest.mark.parametrize(
    ("prices", "usage", "source"),
    [
        ({"input_mtok": "1"}, chat_usage(1000, 100), "unpriced:no-price-for:output_tokens"),
        ({"requests_kcount": "1"}, chat_usage(1000, 0), "unpriced:no-price-for:input_tokens"),
        (
            {"input_mtok": "1", "output_mtok": "2"},
            chat_usage(1000, 9, cached=1),
            "unpriced:no-price-for:cache_read_tokens",
        ),
    ],
)
def test_a_unit_without_a_price_is_unknown_and_not_free(
    prices: dict[str, str], usage: dict[str, Any], source: str
) -> None:
    own_price(prices=prices)
    record = costed(usage=usage)
    assert (record.cost_usd, record.price_source) == (None, source)


def test_price_of_a_request_is_that_of_each_call() -> None:
    own_price(prices={"requests_kcount": "5", "input_mtok": "0", "output_mtok": "0"})
    assert costed().cost_usd == Decimal("0.005")


def test_an_override_prices_only_the_standard_tier() -> None:
    own_price()
    record = costed(context={"service_tier": "priority"})
    assert (record.cost_usd, record.price_source) == (None, "unpriced:unknown-context:service_tier=priority")
    assert costed(context={"service_tier": "default"}).cost_usd == Decimal("0.0012")
    own_price("gpt-4.1-mini", {"input_mtok": "0", "output_mtok": "0"})
    assert costed(context={"service_tier": "priority"}).cost_usd == Decimal(0)


def test_the_regional_factor_applies_to_an_override() -> None:
    own_price(provider="anthropic")
    usage = {"input_tokens": 1000, "output_tokens": 100, "inference_geo": "us"}
    record = costed(flavour="messages", url=MESSAGES, model="claude-haiku-4-5", usage=usage)
    # (1000 × 1 + 100 × 2) × 1.1
    assert record.cost_usd == Decimal("0.00132")


def test_each_line_of_a_call_has_its_own_price() -> None:
    price = own_price("gpt-99")
    usage = msgspec.Raw(msgspec.json.encode(chat_usage()))
    record = costed(model="gpt-99", parts=[Part(model="gpt-4.1-mini", api="chat", usage=usage)])
    assert record.cost_usd == Decimal("0.0012") + Decimal("0.00056")
    assert record.price_source.startswith(f"{name(price)} + genai-prices ")


def test_a_pending_call_is_completed_at_the_price_override() -> None:
    org = factories.organization()
    own_price("gpt-99")
    url = "https://api.openai.com/v1/responses"
    call: dict[str, Any] = {"request_id": "resp_1" + "0" * 40, "flavour": "responses", "url": url, "model": "gpt-99"}
    writer.add([event(org=org, status="pending", usage=msgspec.Raw(b"null"), **call)])
    writer.add([event(org=org, completes=True, usage={"input_tokens": 1000, "output_tokens": 100}, **call)])
    assert UsageRecord.objects.get().cost_usd == Decimal("0.0012")
    call_command("check_usage")


def test_a_record_is_frozen_when_its_price_changes() -> None:
    price = own_price("gpt-99")
    before = costed(model="gpt-99")
    price.prices = {"input_mtok": "100", "output_mtok": "200"}
    price.save()
    price.delete()
    assert UsageRecord.objects.values().get() == {
        field: value for field, value in vars(before).items() if not field.startswith("_")
    }
    assert before.endpoint == CHAT.removeprefix("https://api.openai.com")
