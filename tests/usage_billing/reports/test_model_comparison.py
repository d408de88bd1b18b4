"""The same tokens on other models: by the price list, worked out by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from usage_billing.reports.model_comparison import choices, compare_models
from usage_billing.reports.token_prices import token_prices

DAY = date(2026, 11, 18)


def tokens(model: str, cost: str | None, **measures: Any) -> dict[str, Any]:
    return {
        "ai_provider": "openai",
        "ai_model": model,
        "requests_count": 1,
        "unpriced_usd_count": 0,
        "prompt_tokens": 1_000_000,
        "completion_tokens": 0,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "cost_usd": None if cost is None else Decimal(cost),
    } | measures


def test_each_candidate_costs_the_same_tokens_cheapest_first() -> None:
    # A million in: gpt-4.1 $2, cached $0.50; gpt-4.1-nano $0.10, cached $0.025.
    rows = [
        tokens("gpt-4.1", "2", requests_count=3, unpriced_usd_count=1),
        tokens("gpt-4.1-mini", "0.40", cached_tokens=1_000_000),
        tokens("text-embedding-3-small", "1", requests_count=5),
        tokens("gpt-99", None, requests_count=7),
    ]
    candidates = [("openai", name) for name in ("gpt-4.1", "gpt-4.1-nano", "gpt-4.1", "gpt-99")]
    found = compare_models(rows, candidates, DAY)
    assert [(each.model[1], each.usd) for each in found.rows] == [
        ("gpt-4.1-nano", Decimal("0.125")),
        ("gpt-4.1", Decimal("2.5")),
    ]
    assert found.rows[1].difference == Decimal("2.5") / Decimal("2.4") - 1
    assert (found.paid_usd, found.calls, found.unpriced, found.left_out) == (Decimal("2.40"), 4, 1, 12)
    assert found.models == {("openai", "gpt-4.1"), ("openai", "gpt-4.1-mini")}


def test_nothing_is_compared_without_tokens_that_have_a_price() -> None:
    found = compare_models([tokens("gpt-99", None)], [("openai", "gpt-4.1")], DAY)
    assert (found.rows, found.left_out) == ([], 1)


def test_choices_are_models_of_text_the_newer_first() -> None:
    found = choices(DAY)
    assert [provider for provider, _ in found] == sorted(provider for provider, _ in found)
    openai = [model for provider, model in found if provider == "openai"]
    assert {"gpt-4.1", "gpt-4o-mini", "o3"} <= set(openai)
    assert openai.index("gpt-4.1") > openai.index("gpt-5")
    assert openai.index("gpt-oss-safeguard-20b") > openai.index("gpt-4.1")
    assert not [model for model in openai if "image" in model or "audio" in model or "embedding" in model]
    assert all(token_prices(provider, model, DAY) for provider, model in found)
