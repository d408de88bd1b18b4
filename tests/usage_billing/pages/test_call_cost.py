"""The cost of a call as its page writes it: lines, prices, and the words beside them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.utils import translation

from tests.support.factories import MESSAGES, chat_usage, event, organization, superadmin
from tests.support.page_text import read
from usage_billing.ledger import writer
from usage_billing.models import UsageRecord
from usage_billing.pages import call_cost, call_price
from usage_billing.pages.call_cost import Line

pytestmark = pytest.mark.django_db

RESPONSES = "https://api.openai.com/v1/responses"
HAIKU = "claude-haiku-4-5-20251001"


def recorded(**fields: Any) -> UsageRecord:
    org = organization()
    writer.add([event(org=org, **fields)])
    return UsageRecord.objects.get(org=org)


def message(model: str = HAIKU, **usage: Any) -> UsageRecord:
    return recorded(flavour="messages", url=MESSAGES, model=model, usage=usage)


def words(call: UsageRecord, language: str = "en") -> list[Line]:
    with translation.override(language):
        return call_cost.lines(call)


def test_lines_are_units_times_price() -> None:
    call = recorded(usage=chat_usage(1_200_000, 100, cached=400, reasoning=30))
    assert words(call) == [
        Line("Input", "1,199,600", "0.40", "per million", "0.47984", ""),
        Line("Input, from the cache", "400", "0.10", "per million", "0.00004", ""),
        Line("Output", "100", "1.60", "per million", "0.00016", "of which reasoning 30"),
    ]


def test_numbers_are_written_in_the_readers_language() -> None:
    (line, *_others) = words(recorded(usage=chat_usage(1_200_000, 100)), "ru")
    assert (line.units, line.price, line.amount) == ("1\u00a0200\u00a0000", "0,40", "0,48")


def test_cache_writes_are_named_by_their_lifetime() -> None:
    creation = {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 400}
    long = {"ephemeral_1h_input_tokens": 600}
    tokens: dict[str, Any] = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 600}
    assert words(message(**tokens, cache_creation=long))[1].what == "Cache write, 1 h"
    both = words(message(**tokens, cache_creation=creation))[1]
    assert (both.what, both.price) == ("Cache write", "1.75")
    assert both.note == "of which 5 min 200, 1 h 400; the price is the average of several"


def test_searches_and_containers_are_named() -> None:
    call = recorded(
        flavour="responses",
        url=RESPONSES,
        model="gpt-4.1",
        usage={"input_tokens": 100, "output_tokens": 10, "total_tokens": 110},
        units={"web_searches": 2},
        response={"containers": {"c-1": "1g"}},
    )
    tools = words(call)[-1]
    assert (tools.what, tools.units) == ("Web searches + Container sessions, 1g", "2 + 1")
    assert (tools.price, tools.amount) == ("", "0.05")


def test_images_are_named() -> None:
    call = recorded(
        flavour="images",
        url="https://api.openai.com/v1/images/generations",
        model="gpt-image-1",
        usage={"input_tokens": 50, "input_tokens_details": {"text_tokens": 50}, "output_tokens": 1000,
               "total_tokens": 1050},
    )  # fmt: skip
    assert [(line.what, line.price) for line in words(call)] == [("Input, text", "5.00"), ("Output, images", "40.00")]


def test_units_of_an_unpriced_call_have_no_amount() -> None:
    assert words(recorded(model="gpt-99")) == [
        Line("Input", "1,000", "", "", "", ""),
        Line("Output", "100", "", "", "", ""),
    ]


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"service_tier": "batch"}, ["Batch: the prices include its discount"]),
        ({"service_tier": "flex"}, ["Flex processing: the prices include its discount"]),
        ({"service_tier": "default"}, []),
        ({"region": "eu"}, ["Region: eu"]),
        ({"some%thing": "%(new)s"}, ["some%thing: %(new)s"]),
        ({}, []),
    ],
)
def test_what_departs_from_the_standard_price_is_named(context: dict[str, str], expected: list[str]) -> None:
    call = UsageRecord(usage={}, response_metadata={"context": context})
    with translation.override("en"):
        assert call_price.context_notes(call) == expected


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("override:12", "Price override 12"),
        ("reported:openrouter", "Reported by openrouter"),
        ("not-charged:refusal", "Not charged: the provider bills nothing for this refusal"),
        ("unpriced:pending", "Unpriced (pending)"),
        ("genai-prices 0.2.3:openai/gpt-5", "genai-prices 0.2.3:openai/gpt-5"),
    ],
)
def test_price_source_in_words(source: str, text: str) -> None:
    with translation.override("en"):
        assert call_price.price_source(UsageRecord(price_source=source)) == text


def test_page_has_the_lines_and_their_sum(client: Any, settings: Any) -> None:
    settings.LANGUAGE_CODE = "en"
    call = recorded(usage=chat_usage(1000, 100, cached=400), at=datetime(2026, 11, 18, tzinfo=UTC))
    client.force_login(superadmin())
    table = read(client.get(f"/superadmin/ai-costs/calls/{call.pk}")).tables[
        "What the call used, and what it cost, USD"
    ]
    amounts = [Decimal(line[3].removeprefix("$")) for line in table[1:]]
    assert [line[0] for line in table] == ["What", "Input", "Input, from the cache", "Output", "Cost"]
    assert sum(amounts[:-1]) == amounts[-1] == call.cost_usd
