"""Use of the cache: by the price list, worked out by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from tests.usage_billing.reports.test_model_comparison import tokens
from usage_billing.reports.cache_use import cache_use, cache_use_by

DAY = date(2026, 11, 18)
# gpt-4.1: $2 a million in, $0.50 cached. gpt-4.1-mini: $0.40, $0.10.
ROWS = [
    tokens("gpt-4.1", "2", request_type="check", cached_tokens=250_000, requests_count=1000),
    tokens("gpt-4.1-mini", "0.4", request_type="chat", requests_count=500),
    tokens("gpt-4.1-mini", "0.1", request_type="check", prompt_tokens=400_000, requests_count=500),
    tokens("gpt-99", None, request_type="check"),
]


def test_use_is_the_sum_over_models_with_a_price() -> None:
    use = cache_use(ROWS, DAY)
    assert (use.calls, use.prompt_tokens, use.cached_tokens) == (2000, 2_400_000, 250_000)
    assert use.saved_usd == Decimal("0.25") * Decimal("1.5")
    assert use.missed_usd == Decimal("0.75") * Decimal("1.5") + Decimal("1.4") * Decimal("0.3")
    assert use.models == {("openai", "gpt-4.1"), ("openai", "gpt-4.1-mini")}


def test_rows_that_missed_most_come_first() -> None:
    found = cache_use_by(ROWS, ("request_type",), DAY)
    assert [(key, use.missed_usd) for key, use in found] == [
        (("check",), Decimal("1.125") + Decimal("0.12")),
        (("chat",), Decimal("0.3")),
    ]
    assert [use.share for _, use in found] == [Decimal(250_000) / 1_400_000, 0]


def test_short_prompts_are_told_apart() -> None:
    long, short = (cache_use([row], DAY) for row in (ROWS[1], ROWS[2]))
    assert (long.tokens_per_call, long.is_too_short) == (2000, False)
    assert (short.tokens_per_call, short.is_too_short) == (800, True)


def test_use_of_nothing_has_no_share() -> None:
    assert (cache_use([], DAY).share, cache_use_by([ROWS[3]], ("request_type",), DAY)) == (None, [])
