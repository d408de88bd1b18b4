"""Calls through the SDK against budgets: sent while something is left, refused before a byte leaves after that."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import openai
import pytest

from tests.support import spending
from tests.support.factories import today
from tests.support.spending import Provider
from usage_billing import usage_context
from usage_billing.budgets.guard import Guard
from usage_billing.budgets.spending import spending as spending_of
from usage_billing.budgets.windows import window_of
from usage_billing.models import Budget, Organization, UsageRecord
from usage_billing.recording.identity import OrganizationKey


def state(budget: Budget) -> tuple[Decimal, Decimal]:
    """What is spent and reserved."""
    found = spending_of(budget, window_of(budget, today(budget.org)))
    return found.spent, found.reserved


def test_calls_are_sent_until_the_budget_is_used_up(
    guard: Guard, org: Organization, provider: Provider, drained: Callable[[], int]
) -> None:
    budget = spending.budget(org, "0.05")
    with usage_context(org=org, agent_id="legal_guard"):
        for _ in range(5):
            provider.call()
            drained()
        with pytest.raises(openai.RateLimitError) as refused:
            provider.call()
    assert refused.value.code == "budget_exceeded"
    assert "Budget “" in refused.value.message
    assert provider.calls == 5
    drained()
    assert state(budget)[0] == Decimal("0.05")
    record = UsageRecord.objects.get(status="refused")
    assert (record.total_tokens, record.cost_usd, record.error_code) == (0, 0, "budget_exceeded")
    assert record.response_metadata["budget"]["id"] == budget.pk
    assert record.agent_id == "legal_guard"


@pytest.mark.parametrize(
    ("scope", "given"),
    [
        ({"agent_id": "a" * 100}, {"agent_id": "a" * 101}),
        ({"agent_id": "legal\ufffd"}, {"agent_id": "legal\u200b"}),
        ({"request_type": "ask"}, {"request_type": "ask\0"}),
    ],
)
def test_call_is_stopped_under_the_name_that_the_ledger_gives_it(
    guard: Guard, org: Organization, provider: Provider, drained: Callable[[], int], scope: Any, given: Any
) -> None:
    budget = spending.budget(org, "1", unit="calls", **scope)
    with usage_context(org=org, **given):
        provider.call()
        drained()
        assert state(budget)[0] == 1
        with pytest.raises(openai.RateLimitError):
            provider.call()


def test_organisation_with_a_key_beyond_the_column_is_stopped(
    guard: Guard, provider: Provider, drained: Callable[[], int]
) -> None:
    key = OrganizationKey("k" * 200)
    with usage_context(org=key):
        provider.call()
        drained()
        spending.budget(Organization.objects.get(), "1", unit="calls")
        with pytest.raises(openai.RateLimitError):
            provider.call()
