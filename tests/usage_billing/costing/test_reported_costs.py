"""A host that tells what it charged is believed, if it is known to bill exactly that."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.support.factories import NOON, chat_usage, event, organization, own_price
from usage_billing.costing import pricing, providers, reported_costs
from usage_billing.costing.metering import compact, meter
from usage_billing.ledger import writer
from usage_billing.models import UsageRecord

AT = datetime(2026, 11, 28, tzinfo=UTC)
USAGE = chat_usage(1000, 100)
BYOK = {"cost": 0.00042, "is_byok": True}


def priced(provider: str, model: str, usage: dict[str, Any]) -> pricing.Price:
    stored = compact(usage)
    return pricing.price(provider, model, meter("chat", stored, provider, model), {}, at=AT, usage=stored)


@pytest.mark.parametrize(
    ("provider", "model", "told", "usd"),
    [
        # OpenRouter, Usage Accounting: `cost`, not 0.0035 by list
        ("openrouter", "openai/gpt-4o", {"cost": 0.00042}, "0.00042"),
        ("openrouter", "openai/gpt-4o", {"cost": "0.00042", "is_byok": False}, "0.00042"),
        ("openrouter", "openai/gpt-4o", {"cost": 0}, "0"),
        # … and the upstream provider's charge to the customer's own key
        ("openrouter", "openai/gpt-4o", {**BYOK, "cost_details": {"upstream_inference_cost": 0.0035}}, "0.00392"),
        # The same amount stands there without a key of one's own; it is charged once.
        ("openrouter", "openai/gpt-4o", {"cost": 0.5, "cost_details": {"upstream_inference_cost": 0.5}}, "0.5"),
        # xAI, Cost Tracking: 10^10 ticks a dollar
        ("x-ai", "grok-4.20", {"cost_in_usd_ticks": 37_756_000}, "0.0037756"),
        # Perplexity, ResponsesUsage
        ("perplexity", "sonar", {"cost": {"input_tokens_cost": 0.001, "total_cost": 0.0063}}, "0.0063"),
    ],
)
def test_the_hosts_own_amount_is_the_cost(provider: str, model: str, told: dict[str, Any], usd: str) -> None:
    price = priced(provider, model, {**USAGE, **told})
    assert (price.usd, price.source) == (Decimal(usd), f"reported:{provider}")


@pytest.mark.parametrize("cost", [-1, True, None, "a lot", float("inf"), float("nan"), [], {}])
def test_an_amount_that_is_none_is_not_believed(cost: Any) -> None:
    price = priced("openrouter", "openai/gpt-4o", {**USAGE, "cost": cost})
    assert price.source.endswith("openrouter/openai/gpt-4o")


def test_any_other_host_may_write_what_it_likes() -> None:
    assert priced("openai", "gpt-4o", {**USAGE, "cost": 0.00042}).usd == Decimal("0.0035")
    assert priced("llm.example.com", "gpt-4o", {**USAGE, "cost": 0.00042}).usd is None


def test_a_charge_to_the_customers_own_key_that_is_not_told_leaves_a_lower_bound() -> None:
    price = priced("openrouter", "openai/gpt-4o", {**USAGE, **BYOK})
    assert (price.usd, price.source, price.known_usd) == (None, "unpriced:charged-to-own-key", Decimal("0.00042"))


def test_the_amount_holds_where_the_tokens_contradict_each_other() -> None:
    price = priced("openrouter", "openai/gpt-4o", {**USAGE, "total_tokens": 5, "cost": 0.00042})
    assert price.usd == Decimal("0.00042")


def test_an_empty_block_does_not_say_that_the_call_was_free() -> None:
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost": 0.0}
    assert priced("openrouter", "openai/gpt-4o", usage).source == "unpriced:no-usage"
    assert priced("openai", "gpt-4o", usage).source == "unpriced:no-usage"


def test_an_amount_that_no_call_can_cost_is_unknown() -> None:
    assert priced("openrouter", "openai/gpt-4o", {**USAGE, "cost": "1e40"}).source == "unpriced:amount-out-of-bounds"


@pytest.mark.django_db
def test_a_price_override_precedes_the_hosts_amount() -> None:
    org = organization()
    url = "https://openrouter.ai/api/v1/chat/completions"
    usage = {**USAGE, "cost": 0.00042}
    writer.add([event(org=org, url=url, model="openai/gpt-4o", usage=usage, request_id="a" * 30)])
    own_price("openai/gpt-4o", provider="openrouter", valid_from=date(2026, 1, 1))
    writer.add([event(org=org, url=url, model="openai/gpt-4o", usage=usage, request_id="b" * 30, at=NOON)])
    first, second = UsageRecord.objects.order_by("request_id")
    assert (first.cost_usd, first.price_source) == (Decimal("0.00042"), "reported:openrouter")
    assert second.cost_usd == Decimal("0.0012")


def test_no_listed_host_is_unknown_to_the_price_list() -> None:
    assert all(providers.is_listed(provider) for provider in reported_costs.HOSTS)
