"""The month's end from its beginning, worked out by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from tests.support import factories
from tests.support.rows import enter, row
from usage_billing import reports
from usage_billing.models import Organization
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db
TODAY = date(2026, 5, 20)  # a Wednesday; eleven days of May follow


@pytest.fixture
def org() -> Organization:
    return factories.organization("Acme")


def spend(org: Organization, day: date, usd: str, **columns: object) -> None:
    at = datetime(day.year, day.month, day.day, 12, tzinfo=org.zone)
    enter(row(org, created_at=at, cost_usd=Decimal(usd), cost_rub=Decimal(usd) * 80, **columns))


def test_nothing_is_expected_of_nothing(org: Organization) -> None:
    assert reports.forecast(EVERYTHING, TODAY).expected is None
    spend(org, TODAY, "3")
    only_today = reports.forecast(EVERYTHING, TODAY)
    assert (only_today.so_far["usd"], only_today.expected, only_today.learned_days) == (Decimal(3), None, 0)


def test_few_days_are_averaged(org: Organization) -> None:
    spend(org, TODAY - timedelta(days=4), "6")
    spend(org, TODAY - timedelta(days=1), "2")
    spend(org, TODAY, "0.5")
    found = reports.forecast(EVERYTHING, TODAY)
    # Four whole days since the first call cost 8, 2 a day: 1.5 are still to come today, and 11 days of 2.
    assert found.learned_days == 4
    assert found.expected == {
        "usd": Decimal("8.5") + Decimal("1.5") + 22,
        "rub": (Decimal("8.5") + Decimal("23.5")) * 80,
    }


def test_weekdays_are_told_apart_after_four_weeks(org: Organization) -> None:
    for n in range(1, 29):
        day = TODAY - timedelta(days=n)
        if day.weekday() < 5:
            spend(org, day, "10")
    found = reports.forecast(EVERYTHING, TODAY)
    # 1 to 19 May have 13 working days, 20 to 31 May have 8.
    assert found.so_far["usd"] == Decimal(130)
    assert found.expected is not None
    assert found.expected["usd"] == Decimal(130 + 80)
    assert found.month_before["usd"] == Decimal(70)


def test_today_that_cost_more_than_usual_is_not_counted_back(org: Organization) -> None:
    for n in range(1, 29):
        spend(org, TODAY - timedelta(days=n), "1")
    spend(org, TODAY, "50")
    found = reports.forecast(EVERYTHING, TODAY)
    assert found.expected is not None
    assert found.expected["usd"] == Decimal(19 + 50 + 11)


def test_filters_hold_and_unknown_costs_are_counted(org: Organization) -> None:
    spend(org, TODAY - timedelta(days=1), "1", agent_id="a")
    spend(org, TODAY - timedelta(days=1), "7", agent_id="b")
    at = datetime(2026, 5, 19, 12, tzinfo=org.zone)
    enter(row(org, created_at=at, agent_id="a", cost_usd=None, cost_rub=None))
    found = reports.forecast(EVERYTHING, TODAY, filters={"agent_id": "a"})
    assert (found.so_far["usd"], found.unpriced_count) == (Decimal(1), 1)
