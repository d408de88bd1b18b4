"""Refusals cost what the rule of their day says (Claude Platform release notes; page “Refusals and fallback”)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.support.factories import MESSAGES, event
from usage_billing.costing import costs
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.costing.refusals import UnknownRefusalError, free_turns

pytestmark = pytest.mark.django_db

BILLED_ALL = datetime(2026, 6, 1, 23, 59, tzinfo=UTC)
BILLED_NONE = datetime(2026, 6, 2, tzinfo=UTC), datetime(2026, 9, 23, 23, 59, tzinfo=UTC)
BILLED_SOME = datetime(2026, 9, 24, tzinfo=UTC), datetime(2026, 11, 18, tzinfo=UTC)
FREE = frozenset({"all"})


@pytest.mark.parametrize("category", ["cyber", "bio", "unnamed", "unknown"])
def test_free_turns_until_june_are_none(category: str) -> None:
    assert free_turns({"declined": {"all": category}}, BILLED_ALL) == frozenset()


@pytest.mark.parametrize("at", BILLED_NONE)
@pytest.mark.parametrize("category", ["cyber", "bio", "frontier_llm", "reasoning_extraction", "unnamed"])
def test_free_turns_until_september_are_all(category: str, at: datetime) -> None:
    """Release notes, 2 June 2026: no charge for a refusal without any output."""
    assert free_turns({"declined": {"all": category}}, at) == FREE


@pytest.mark.parametrize("at", BILLED_SOME)
@pytest.mark.parametrize(
    ("category", "is_free"),
    [
        ("cyber", True),
        ("general_harms", True),
        ("unnamed", True),
        ("a_later_one", True),
        ("bio", False),
        ("frontier_llm", False),
        ("reasoning_extraction", False),
    ],
)
def test_free_turns_since_september_are_those_of_other_categories(category: str, is_free: bool, at: datetime) -> None:
    """Refusals and fallback, How refusals are billed: none “in any other category, or with a null category”."""
    assert free_turns({"declined": {"all": category}}, at) == (FREE if is_free else frozenset())


def test_free_turns_of_an_untold_category_are_unknown_where_it_matters() -> None:
    assert free_turns({"declined": {"0": "unknown"}}, BILLED_NONE[0]) == {"0"}
    with pytest.raises(UnknownRefusalError):
        free_turns({"declined": {"0": "unknown"}}, BILLED_SOME[0])
    with pytest.raises(UnknownRefusalError):
        free_turns({"declined": {"all": "unknown"}}, BILLED_NONE[0])


@pytest.mark.parametrize("metadata", [{}, {"refusal": "bio"}, {"declined": []}, {"declined": None}])
def test_free_turns_of_an_answer_without_declined_turns_are_none(metadata: dict[str, Any]) -> None:
    assert free_turns(metadata, BILLED_SOME[0]) == frozenset()


@pytest.mark.parametrize(
    ("at", "category", "usd"),
    [
        (BILLED_ALL, "cyber", "0.05"),
        (BILLED_NONE[0], "bio", "0"),
        (BILLED_SOME[0], "bio", "0.05"),
        (BILLED_SOME[0], "cyber", "0"),
    ],
)
def test_a_refusal_costs_by_the_day_of_the_call(at: datetime, category: str, usd: str) -> None:
    """claude-opus-4-8: 10,000 × 5"""
    call = event(
        at=at,
        usage={"input_tokens": 10_000},
        model="claude-opus-4-8",
        flavour="messages",
        url=MESSAGES,
        response={"refusal": category, "declined": {"all": category}},
    )
    (row,) = costs.rows([call], PriceOverrides.load())
    assert row["cost_usd"] == Decimal(usd)
    assert row["prompt_tokens"] == 10_000
