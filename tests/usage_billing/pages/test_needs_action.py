"""What the overview names as needing action."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client

from tests.support.rows import NOON, enter, row
from usage_billing.models import Organization
from usage_billing.pages.needs_action import Item

ADMIN = "/superadmin/ai-costs"
FAILED = {"cost_usd": Decimal(0), "cost_rub": Decimal(0), "status": "failed"}
LONG = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "ai_model": "gpt-4.1"}

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_noon")]


def items(client: Client, query: str = "") -> list[Item]:
    found: list[Item] = client.get(ADMIN + query).context["needs_action"]
    return found


def test_failures_come_first_then_an_anomaly_and_the_cache(superadmin: Client, acme: Organization) -> None:
    # A million uncached tokens of gpt-4.1: $2, from the cache $0.50.
    enter(*(row(acme, created_at=NOON - timedelta(days=n), cost_usd=Decimal(1)) for n in range(1, 15)))
    enter(row(acme, cost_usd=Decimal(5), **LONG))
    enter(*(row(acme, error_code=f"50{n}", **FAILED) for n in range(6)))
    found = items(superadmin)
    assert [each.kind for each in found] == ["failed", "failed", "anomaly", "saving"]
    assert found[0].title.startswith("openai: 50")
    anomaly, saving = found[2:]
    assert (anomaly.badge, anomaly.title) == ("$5.00", "20 May 2026: 5.0 × the usual cost")
    assert anomaly.text == "A usual day costs $1.00."
    assert saving.badge == "≤ $1.50"
    assert saving.text == "0.0% came from it: put what stays the same first in prompts."
    assert saving.link == "/superadmin/ai-costs/insights#cache"
    in_rub = items(superadmin, "?currency=rub")[2]
    assert (in_rub.badge, in_rub.text) == ("₽40.00", "A usual day costs ₽8.00.")


@pytest.mark.parametrize(("query", "is_cut"), [("?days=7", False), ("?days=90", False), ("?days=400", True)])
def test_anomalies_are_those_of_the_insights(superadmin: Client, acme: Organization, query: str, is_cut: bool) -> None:
    """Of a short period, whose own days do not tell what is usual, and of a long one, drawn by week."""
    enter(*(row(acme, created_at=NOON - timedelta(days=n), cost_usd=Decimal(1)) for n in range(3, 25)))
    enter(row(acme, created_at=NOON - timedelta(days=1), cost_usd=Decimal(6)))
    # Long ago ten times as much was usual.
    enter(*(row(acme, created_at=NOON - timedelta(days=n), cost_usd=Decimal(10)) for n in range(100, 150)))
    insights = superadmin.get(f"{ADMIN}/insights{query}")
    assert [each.title for each in items(superadmin, query)] == ["19 May 2026: 6.0 × the usual cost"]
    assert [(each.anomaly.day.day, each.anomaly.times) for each in insights.context["anomalies"]] == [(19, 6)]
    said = "For anomalies, only the last 90 days of the period are looked at."
    for response in (insights, superadmin.get(ADMIN + query)):
        assert (said in response.content.decode()) == is_cut


def test_cache_that_would_save_little_is_not_named(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=Decimal(30), **LONG))  # exactly a twentieth
    assert items(superadmin) == []
    enter(row(acme, cost_usd=Decimal(29), **LONG))
    assert [each.kind for each in items(superadmin)] == ["saving"]
