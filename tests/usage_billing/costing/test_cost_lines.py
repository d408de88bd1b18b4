"""A cost line by line: the amounts of every record add up to its cost, and units × price is each amount.

`conftest` checks every priced case of this folder; the cases here are those that need a closer look.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.explained_costs import expect_explained
from tests.support.factories import MESSAGES, chat_usage, event, organization, own_price
from usage_billing.costing import costs
from usage_billing.costing.cost_lines import (
    CACHE_WRITE,
    CACHED,
    INPUT,
    OUTPUT,
    REPORTED,
    ROUNDING,
    TOGETHER,
    TOOLS,
    UNEXPLAINED,
    CostLine,
    Units,
    lines,
)
from usage_billing.costing.costs import Row
from usage_billing.costing.overrides import PriceOverrides

pytestmark = pytest.mark.django_db

RESPONSES = "https://api.openai.com/v1/responses"
OPENROUTER = "https://openrouter.ai/api/v1/chat/completions"
TOKENS = {"input_tokens": 1000, "output_tokens": 100}
HAIKU = "claude-haiku-4-5-20251001"


def costed(**fields: Any) -> Row:
    """The row of a call, with its cost."""
    return next(costs.rows([event(org=organization(), **fields)], PriceOverrides.load()))


def explained(**fields: Any) -> dict[str, CostLine]:
    return {line.kind: line for line in expect_explained(costed(**fields))}


def message(**usage: Any) -> dict[str, CostLine]:
    return explained(flavour="messages", url=MESSAGES, model=HAIKU, usage=usage)


def read(line: CostLine) -> tuple[int | Decimal, Decimal | None, int, Decimal | None]:
    """Units, price, per how many, amount."""
    (units,) = line.units
    return units.count, line.price, line.per, line.amount


def test_each_kind_of_token_has_its_units_and_its_price() -> None:
    """gpt-4.1-mini: 0.40 input, 0.10 cached, 1.60 output a million."""
    found = explained(usage=chat_usage(1000, 100, cached=400, reasoning=30))
    assert {kind: read(line) for kind, line in found.items()} == {
        INPUT: (600, Decimal("0.4"), 10**6, Decimal("0.00024")),
        CACHED: (400, Decimal("0.1"), 10**6, Decimal("0.00004")),
        OUTPUT: (100, Decimal("1.6"), 10**6, Decimal("0.00016")),
    }
    assert found[OUTPUT].within == (Units("output_reasoning_tokens", 30),)
    assert not found[OUTPUT].is_average


def test_the_only_kind_has_the_whole_cost() -> None:
    url = "https://api.openai.com/v1/embeddings"
    usage = {"prompt_tokens": 1000, "total_tokens": 1000}
    found = explained(flavour="embeddings", url=url, model="text-embedding-3-small", usage=usage)
    assert {kind: read(line) for kind, line in found.items()} == {
        INPUT: (1000, Decimal("0.02"), 10**6, Decimal("0.00002"))
    }


@pytest.mark.parametrize(
    ("lifetimes", "price", "is_average"),
    [
        ({"ephemeral_5m_input_tokens": 600}, "1.25", False),
        ({"ephemeral_1h_input_tokens": 600}, "2", False),
        ({"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 300}, "1.625", True),
    ],
)
def test_cache_writes_of_both_lifetimes_share_an_average_price(
    lifetimes: dict[str, int], price: str, is_average: bool
) -> None:
    found = message(input_tokens=100, output_tokens=10, cache_creation_input_tokens=600, cache_creation=lifetimes)
    line = found[CACHE_WRITE]
    assert (line.price, line.is_average, len(line.within)) == (Decimal(price), is_average, len(lifetimes))
    assert read(found[INPUT])[0] == 100


def test_surcharge_is_within_the_prices() -> None:
    """Inference in the US only: 1.1 times 1 USD input and 5 USD output."""
    found = explained(
        flavour="messages",
        url=MESSAGES,
        model="claude-opus-4-6",
        usage={"input_tokens": 1000, "output_tokens": 100, "inference_geo": "us"},
    )
    assert (found[INPUT].price, found[OUTPUT].price) == (Decimal("5.5"), Decimal("27.5"))


def test_web_searches_are_a_line_of_their_own() -> None:
    found = message(input_tokens=100, output_tokens=10, server_tool_use={"web_search_requests": 3})
    assert found[TOOLS].units == (Units("web_searches", 3),)
    assert read(found[TOOLS]) == (3, Decimal(10), 1000, Decimal("0.03"))


def test_different_tools_share_one_amount_without_a_price() -> None:
    response = {"containers": {"c-1": "1g"}}
    found = explained(
        flavour="responses",
        url=RESPONSES,
        model="gpt-4.1",
        usage={"input_tokens": 100, "output_tokens": 10, "total_tokens": 110},
        units={"web_searches": 2},
        response=response,
    )
    assert {units.key for units in found[TOOLS].units} == {"web_searches", "container:1g"}
    assert (found[TOOLS].price, found[TOOLS].amount) == (None, Decimal("0.05"))


def test_free_kind_costs_nothing() -> None:
    own_price("gpt-4.1-mini", {"input_mtok": "1", "cache_read_mtok": "0", "output_mtok": "2"})
    found = explained(usage=chat_usage(1000, 100, cached=400))
    assert read(found[CACHED]) == (400, Decimal(0), 10**6, Decimal(0))


def test_writes_without_a_price_of_their_own_count_as_input() -> None:
    own_price("*", {"input_mtok": "1", "output_mtok": "2"}, provider="anthropic")
    found = message(input_tokens=100, output_tokens=10, cache_creation_input_tokens=600)
    assert set(found) == {INPUT, OUTPUT}
    assert read(found[INPUT]) == (700, Decimal(1), 10**6, Decimal("0.0007"))


def test_amount_that_could_be_of_either_kind_is_shown_once() -> None:
    own_price("gpt-4.1-mini", {"input_mtok": "0", "output_mtok": "2"})
    found = explained(usage=chat_usage(1000, 100))
    assert set(found) == {TOGETHER}
    assert [units.count for units in found[TOGETHER].units] == [1000, 100]
    assert (found[TOGETHER].price, found[TOGETHER].amount) == (None, Decimal("0.0002"))


def test_charge_that_the_host_reports_is_one_line() -> None:
    usage = {**chat_usage(1000, 100), "cost": 0.0123}
    found = explained(url=OPENROUTER, model="openai/gpt-4.1-mini", usage=usage)
    assert found[REPORTED].amount == Decimal("0.0123")
    assert [found[kind].amount for kind in (INPUT, OUTPUT)] == [None, None]


def test_unpriced_call_has_units_without_amounts() -> None:
    found = explained(model="gpt-99", usage=chat_usage(1000, 100))
    assert {kind: (line.amount, line.price) for kind, line in found.items()} == {
        INPUT: (None, None),
        OUTPUT: (None, None),
    }


def test_known_part_of_an_unpriced_call_is_explained() -> None:
    """The tokens have a price; searches of a social network have none on this model."""
    row = costed(flavour="messages", url=MESSAGES, model=HAIKU, usage=TOKENS, units={"social_searches": 2})
    found = {line.kind: line for line in expect_explained(row)}
    assert (row["cost_usd"], row["known_cost_usd"]) == (None, Decimal("0.0015"))
    assert [read(found[kind])[1:] for kind in (INPUT, OUTPUT)] == [
        (Decimal(1), 10**6, Decimal("0.001")),
        (Decimal(5), 10**6, Decimal("0.0005")),
    ]
    assert read(found[TOOLS]) == (2, None, 1000, None)


def stored(**columns: Any) -> Row:
    """A row as the ledger may hold it."""
    return {
        "endpoint": "/v1/chat/completions",
        "ai_provider": "openai",
        "ai_model": "gpt-4.1-mini",
        "usage": chat_usage(1000, 100),
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "cost_usd": Decimal("0.000560000001"),
        "known_cost_usd": None,
        "price_source": "genai-prices:openai/gpt-4.1-mini",
        "response_metadata": {"cost_parts": {"input": "0.0004", "output": "0.00016"}},
        "created_at": datetime(2026, 11, 18, tzinfo=UTC),
        **columns,
    }


def test_what_rounding_leaves_is_a_line() -> None:
    assert lines(stored())[-1] == CostLine(ROUNDING, Decimal("0.000000000001"))


@pytest.mark.parametrize("usage", [chat_usage(1000, 100), {}, {"unreadable": True}])
def test_what_cannot_be_explained_is_a_line(usage: dict[str, Any]) -> None:
    found = lines(stored(usage=usage, cost_usd=Decimal("0.5")))
    assert (found[-1].kind, found[-1].amount) == (UNEXPLAINED, Decimal("0.49944"))
    assert sum(line.amount for line in found if line.amount is not None) == Decimal("0.5")


def test_record_without_usage_is_explained_by_its_columns() -> None:
    found = lines(stored(usage={}, cost_usd=Decimal("0.00056"), cached_tokens=200))
    assert [(line.kind, line.units[0].count) for line in found] == [(INPUT, 800), (CACHED, 200), (OUTPUT, 100)]


@pytest.mark.parametrize(("status", "cost_usd"), [("failed", Decimal(0)), ("aborted", None)])
def test_call_without_usage_has_no_lines(status: str, cost_usd: Decimal | None) -> None:
    row = costed(status=status, usage={})
    assert (row["cost_usd"], lines(row)) == (cost_usd, [])


COUNT = st.integers(0, 3_000_000)


@st.composite
def chats(draw: Callable[..., Any]) -> dict[str, Any]:
    prompt, completion = draw(COUNT), draw(st.integers(1, 200_000))
    return chat_usage(
        prompt, completion, cached=draw(st.integers(0, prompt)), reasoning=draw(st.integers(0, completion))
    )


@st.composite
def messages(draw: Callable[..., Any]) -> dict[str, Any]:
    short, long = draw(COUNT), draw(COUNT)
    return {
        "input_tokens": draw(COUNT),
        "output_tokens": draw(st.integers(1, 200_000)),
        "cache_read_input_tokens": draw(COUNT),
        "cache_creation_input_tokens": short + long,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "server_tool_use": {"web_search_requests": draw(st.integers(0, 20))},
        "service_tier": draw(st.sampled_from(["standard", "batch", "priority"])),
    }


PROPERTY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@PROPERTY
@given(usage=chats(), model=st.sampled_from(["gpt-4.1-mini", "gpt-5", "o3", "gpt-4o", "gpt-99"]))
def test_any_chat_adds_up(usage: dict[str, Any], model: str) -> None:
    (row,) = costs.rows([event(model=model, usage=usage)], PriceOverrides([]))
    expect_explained(row)


@PROPERTY
@given(usage=messages(), model=st.sampled_from([HAIKU, "claude-opus-4-6", "claude-sonnet-4-5"]))
def test_any_message_adds_up(usage: dict[str, Any], model: str) -> None:
    (row,) = costs.rows([event(flavour="messages", url=MESSAGES, model=model, usage=usage)], PriceOverrides([]))
    expect_explained(row)


@pytest.mark.parametrize("parts", [{"input": "a text"}, {"input": [1]}, {"input": "NaN"}, ["input"], "input", 7])
def test_what_is_no_amount_among_the_kept_parts_is_left_out(parts: Any) -> None:
    """A restored or imported row may have anything there."""
    row = costed(usage=chat_usage(100, 20))
    row["response_metadata"] = {**row["response_metadata"], "cost_parts": parts}
    assert sum((line.amount or Decimal(0) for line in lines(row)), Decimal(0)) == row["cost_usd"]
