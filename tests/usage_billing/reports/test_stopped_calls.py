"""Calls that a budget stopped are counted, and lower no average."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.support import factories
from tests.support.rows import NOON, enter, row
from usage_billing import reports
from usage_billing.models import Organization
from usage_billing.reports import Period
from usage_billing.reports.cache_use import cache_use
from usage_billing.reports.model_comparison import compare_models
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db
DAY = NOON.date()
STOPPED: dict[str, Any] = {
    "status": "refused",
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "cost_usd": Decimal(0),
    "cost_rub": Decimal(0),
    "execution_time_ms": 0,
    "price_source": "not-charged:refused",
}


@pytest.fixture
def org() -> Organization:
    """Two calls of agent `a` took 2,000 ms and 1 USD each, one of `b` 1,200 ms and 0.60; nine of `a` were stopped."""
    org = factories.organization("Acme")
    enter(*(row(org, agent_id="a", cost_usd=Decimal(1), execution_time_ms=2000) for _ in range(2)))
    enter(row(org, agent_id="b", cost_usd=Decimal("0.6"), execution_time_ms=1200))
    enter(*(row(org, agent_id="a", **STOPPED) for _ in range(9)))
    return org


def test_they_are_calls_that_did_not_fail(org: Organization) -> None:
    (total,) = reports.totals(EVERYTHING)
    counted = ("requests_count", "refused_count", "failed_count", "unpriced_usd_count")
    assert [total[name] for name in counted] == [12, 9, 0, 0]
    by_status = {row["status"]: row["requests_count"] for row in reports.totals(EVERYTHING, by=["status"])}
    assert by_status == {"succeeded": 3, "refused": 9}
    assert not reports.failures(EVERYTHING, Period()).groups


def test_they_are_in_no_average(org: Organization) -> None:
    found = reports.breakdown(EVERYTHING, ["agent_id"], Period(), date(2026, 5, 21))
    averages = ("average_cost_usd", "average_time_ms")
    rows = {item["agent_id"]: tuple(item[name] for name in averages) for item in found.items}
    assert rows == {"a": (Decimal(1), Decimal(2000)), "b": (Decimal("0.6"), Decimal(1200))}
    assert found.total["average_time_ms"] == Decimal(5200) / 3


@pytest.mark.parametrize("figure", ["average_cost_usd", "average_cost_rub", "average_time_ms", "p95_time_ms"])
def test_rows_are_in_the_order_of_the_averages_that_are_shown(org: Organization, figure: str) -> None:
    # With the stopped calls, `a` would come after `b`.
    enter(row(org, agent_id="b", cost_usd=Decimal("0.6"), cost_rub=Decimal(30), execution_time_ms=1200))
    rows = reports.totals(EVERYTHING, by=["agent_id"], ordering=f"-{figure}", measures=reports.measures_of(figure))
    shown = [reports.figure(each, figure) for each in rows]
    assert [each["agent_id"] for each in rows] == ["a", "b"]
    assert shown == sorted(shown, reverse=True)


def test_averages_of_stopped_calls_alone_are_unknown() -> None:
    enter(row(factories.organization(), **STOPPED))
    found = reports.breakdown(EVERYTHING, [], Period(), date(2026, 5, 21)).total
    assert (found["cost_usd"], found["average_cost_usd"], found["average_time_ms"]) == (Decimal(0), None, None)


def test_they_shorten_no_prompts_and_are_not_compared() -> None:
    org = factories.organization()
    enter(*(row(org, ai_model="gpt-4.1-mini", prompt_tokens=2000) for _ in range(2)))
    enter(*(row(org, ai_model="gpt-4.1-mini", **STOPPED) for _ in range(9)))
    rows = reports.token_totals(EVERYTHING, Period())
    use = cache_use(rows, DAY)
    assert (use.calls, use.tokens_per_call, use.is_too_short) == (2, 2000, False)
    assert compare_models(rows, [("openai", "gpt-4.1")], DAY).calls == 2
