"""What batches would have saved: without knowing which calls were batches."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.usage_billing.reports.test_model_comparison import tokens
from usage_billing.reports.batch_savings import batch_saving, batch_savings_by

DAY = date(2026, 11, 18)


def row(cost: str | None, model: str = "gpt-4.1", **columns: Any) -> dict[str, Any]:
    """A million input tokens: $2 on gpt-4.1, $1 in a batch."""
    return tokens(model, cost, request_type="check", **columns)


@pytest.mark.parametrize(
    ("paid", "saved"),
    [
        ("2", "1"),  # all at the standard price
        ("1.25", "0.25"),  # three quarters in batches already
        ("1", "0"),  # all in batches
        ("0.5", "0"),  # at a price of the customer's own
        ("9", "1"),  # tools, or a faster tier: the discount is on the tokens alone
    ],
)
def test_saved_is_what_was_paid_beyond_the_batch_price(paid: str, saved: str) -> None:
    found = batch_saving([row(paid)], DAY)
    assert found is not None
    assert (found.cost_usd, found.batch_usd, found.flex_usd) == (Decimal(paid), Decimal(saved), None)


def test_flex_is_of_the_models_that_have_it() -> None:
    # gpt-5: $1.25 a million in, half of it at flex.
    found = batch_saving([row("2"), row("1.25", "gpt-5")], DAY)
    assert found is not None
    assert (found.batch_usd, found.flex_usd) == (Decimal("1.625"), Decimal("0.625"))
    assert found.models == {("openai", "gpt-4.1"), ("openai", "gpt-5")}


@pytest.mark.parametrize(
    "left_out",
    [row("2", "gpt-5.3"), row("2", "gpt-99"), row("2", ai_provider="azure"), row("1", "gpt-image-2")],
)
def test_calls_without_a_batch_price_are_left_out(left_out: dict[str, Any]) -> None:
    assert batch_saving([left_out], DAY) is None
    together = batch_saving([left_out, row("2", requests_count=3)], DAY)
    assert together is not None
    assert (together.calls, together.cost_usd) == (3, Decimal(2))


def test_unpriced_calls_are_counted_and_save_nothing() -> None:
    rows = [row("2"), row(None, requests_count=2, unpriced_usd_count=2), row(None, "gpt-99", unpriced_usd_count=1)]
    found = batch_saving(rows, DAY)
    assert found is not None
    assert (found.calls, found.unpriced, found.cost_usd, found.batch_usd) == (3, 2, Decimal(2), Decimal(1))
    alone = batch_saving(rows[1:], DAY)
    assert alone is not None
    assert (alone.calls, alone.unpriced, alone.batch_usd) == (2, 2, Decimal(0))
    assert batch_savings_by(rows[1:], ("request_type",), DAY) == []


def test_rows_that_would_save_most_come_first_and_others_not_at_all() -> None:
    rows = [row("2"), {**row("4", prompt_tokens=2_000_000), "request_type": "digest"}]
    rows += [{**row("1"), "request_type": "batched"}]
    found = batch_savings_by(rows, ("request_type",), DAY)
    assert [(key[0], saving.batch_usd) for key, saving in found] == [("digest", Decimal(2)), ("check", Decimal(1))]
