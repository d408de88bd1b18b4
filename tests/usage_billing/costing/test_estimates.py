"""Estimates before the ledger has the calls: equal to the last digit to what it inserts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum

from tests.support import factories
from tests.support.factories import event
from usage_billing.costing.estimates import Estimate, estimate
from usage_billing.ledger import writer
from usage_billing.models import UsageRecord

pytestmark = pytest.mark.django_db


def test_estimate_equals_what_the_ledger_inserts() -> None:
    org = factories.organization()
    factories.rate(usd_rub="80.5")
    factories.own_price("gpt-4.1", org=org)
    events = [event(org=org), event(org=org, model="gpt-4.1"), event(org=org, status="failed", usage={})]
    estimated = estimate(events)
    assert UsageRecord.objects.count() == 0
    assert writer.add(events) == 3
    inserted: Any = UsageRecord.objects.aggregate(
        *(Sum(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    )
    # 0.00056 at the list's price, 0.0012 at the organisation's own, nothing for the failed one; × 80.5
    assert estimated == Estimate(
        requests_count=3,
        prompt_tokens=inserted["prompt_tokens__sum"],
        completion_tokens=inserted["completion_tokens__sum"],
        total_tokens=inserted["total_tokens__sum"],
        cost_usd=Decimal("0.00176"),
        cost_rub=Decimal("0.14168"),
        unpriced_count=0,
        unpriced_rub_count=0,
    )
    assert sum(Decimal(str(row.cost_rub)) for row in UsageRecord.objects.all()) == estimated.cost_rub


def test_amount_with_an_unknown_part_is_unknown() -> None:
    org = factories.organization()
    factories.rate()
    estimated = estimate([event(org=org), event(org=org, model="gpt-99")])
    assert (estimated.cost_usd, estimated.cost_rub, estimated.unpriced_count, estimated.requests_count) == (
        None,
        None,
        1,
        2,
    )
    assert estimated.total_tokens == 2200


def test_rub_without_a_rate_are_unknown_and_usd_are_not() -> None:
    estimated = estimate([event(org=factories.organization())])
    assert (estimated.cost_usd, estimated.cost_rub) == (Decimal("0.00056"), None)
    assert (estimated.unpriced_count, estimated.unpriced_rub_count) == (0, 1)


def test_no_calls_cost_nothing() -> None:
    assert estimate([]) == Estimate(0, 0, 0, 0, Decimal(0), Decimal(0), 0, 0)
