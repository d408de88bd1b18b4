"""What an anomaly consists of, and the anomalies of single organisations."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support import factories
from tests.support.rows import NOON, enter, row
from usage_billing import reports
from usage_billing.models import Organization
from usage_billing.reports import Cause, Period
from usage_billing.tenancy.scope import EVERYTHING, of_organization

pytestmark = pytest.mark.django_db
TODAY = NOON.date()


def usual(org: Organization, days: int = 28, **columns: Any) -> None:
    """One call of 0.50 USD on each day before today."""
    enter(*(row(org, created_at=NOON - timedelta(days=n), **columns) for n in range(1, days + 1)))


@pytest.fixture
def org() -> Organization:
    org = factories.organization("Acme")
    usual(org, request_type="chat", ai_model="gpt-5")
    usual(org, request_type="digest", ai_model="gpt-4.1", cost_usd=Decimal(9))
    return org


def cause(day: date = TODAY, **options: Any) -> Cause:
    return reports.cause(EVERYTHING, day, **options)


def test_cause_is_what_grew_and_not_what_costs_most(org: Organization, django_assert_num_queries: Any) -> None:
    enter(row(org, request_type="digest", ai_model="gpt-4.1", cost_usd=Decimal(10)))
    enter(*(row(org, request_type="chat", ai_model="gpt-5", agent_id=f"agent_{n}") for n in range(10)))
    with django_assert_num_queries(2):
        found = cause()
    assert found == Cause("chat", ("openai", "gpt-5"), None)


def test_growth_that_is_spread_has_no_cause(org: Organization) -> None:
    enter(*(row(org, request_type=f"type_{n}", ai_model=f"model_{n}", agent_id=f"agent_{n}") for n in range(3)))
    assert cause() == Cause(None, None, None)


def test_cause_is_looked_for_in_scope_and_filters(org: Organization) -> None:
    other = factories.organization("Other")
    enter(row(other, request_type="fact_check", ai_model="o3", cost_usd=Decimal(99)), row(org, request_type="chat"))
    assert cause().model == ("openai", "o3")
    assert cause(filters={"org_id": org.pk}).request_type == "chat"
    assert reports.cause(of_organization(org.pk), TODAY).request_type == "chat"


def test_day_like_any_other_has_no_cause(org: Organization) -> None:
    assert cause(TODAY + timedelta(days=1)) == Cause(None, None, None)


def test_anomalies_of_each_organisation(org: Organization, django_assert_num_queries: Any) -> None:
    quiet, third = factories.organization("Quiet"), factories.organization("Third")
    usual(quiet, cost_usd=Decimal(1))
    usual(third)
    enter(row(quiet, cost_usd=Decimal(5)), row(third, cost_usd=Decimal(50)))
    period = Period.of_days(28, TODAY)
    with django_assert_num_queries(1):
        found = reports.anomalies_by(EVERYTHING, ("org_id",), [(org.pk,), (quiet.pk,)], period, today=TODAY)
    assert [(key, each.day, each.cost_usd, each.usual_usd, each.times, each.excess_usd) for key, each in found] == [
        ((quiet.pk,), TODAY, Decimal(5), Decimal(1), Decimal(5), Decimal(4))
    ]
    assert found[0][1].row["requests_count"] == 1
    chat = {"request_type": "chat"}
    assert reports.anomalies_by(EVERYTHING, ("org_id",), [(quiet.pk,)], period, today=TODAY, filters=chat) == []
    # A short period learns from the days before it, and shows its own alone.
    for until, count in ((None, 1), (TODAY, 0)):
        short = Period(TODAY - timedelta(days=2), until)
        assert len(reports.anomalies_by(EVERYTHING, ("org_id",), [(quiet.pk,)], short, today=TODAY)) == count
