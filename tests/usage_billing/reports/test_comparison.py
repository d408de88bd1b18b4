"""A period compared with an earlier one: the same part of the day, and nothing where there is nothing to compare."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from tests.support import aged, factories
from tests.support.rows import NOON, enter, row
from usage_billing import reports
from usage_billing.models import Organization
from usage_billing.reports import Comparison, Excluded, Period
from usage_billing.reports.figures import change, is_new
from usage_billing.tenancy.scope import EVERYTHING, NOTHING, Scope, of_organization

pytestmark = pytest.mark.django_db
TODAY = NOON.date()
WEEK = Period.of_days(7, TODAY)
EARLIER = TODAY - timedelta(days=7)
"""The day of the previous period that corresponds to today."""


@pytest.fixture
def org() -> Organization:
    return factories.organization(timezone="UTC")


def compared(org: Organization, now: Any = NOON, **options: Any) -> Comparison:
    return reports.comparison(of_organization(org.pk, "UTC"), WEEK, TODAY, now, **options)


def at(days_ago: int, hour: int) -> Any:
    return NOON.replace(hour=hour) - timedelta(days=days_ago)


@pytest.mark.parametrize("hour", [3, 9, 15, 21])
def test_part_of_a_day_is_compared_with_the_same_part(org: Organization, hour: int) -> None:
    enter(*(row(org, created_at=at(days, each)) for days in (0, 7) for each in range(24) if days or each < hour))
    enter(row(org, created_at=at(13, 12)))
    found = compared(org, at(0, hour))
    assert found.before is not None
    assert (found.now["requests_count"], found.before["requests_count"]) == (hour, hour + 1)
    assert (found.now["cost_usd"], found.before["cost_usd"]) == (Decimal("0.5") * hour, Decimal("0.5") * (hour + 1))
    assert (found.reaches_back, found.leaves_out_today) == (True, False)
    assert found.change("requests_count") == Decimal(-1) / (hour + 1)


def test_a_period_that_has_ended_is_compared_with_whole_days(org: Organization) -> None:
    enter(*(row(org, created_at=at(days, 23)) for days in (1, 8, 15)))
    found = reports.comparison(
        of_organization(org.pk, "UTC"), Period(TODAY - timedelta(days=7), TODAY), TODAY, at(0, 1)
    )
    assert found.before is not None
    assert (found.now["requests_count"], found.before["requests_count"]) == (1, 1)
    assert found.change("cost_usd") == 0


def test_filters_hold_for_the_part_day_too(org: Organization) -> None:
    for days in (0, 7, 13):
        enter(row(org, created_at=at(days, 1), agent_id="a"), row(org, created_at=at(days, 1), agent_id="b"))
    found = compared(org, filters={"agent_id": Excluded(frozenset({"b"}))})
    assert found.before is not None
    assert (found.now["requests_count"], found.before["requests_count"]) == (1, 2)


def test_nothing_is_compared_where_the_data_do_not_reach_back(org: Organization) -> None:
    enter(row(org, created_at=at(0, 1)), row(org, created_at=at(12, 1)))
    found = compared(org)
    assert not found.reaches_back
    assert found.change("requests_count") is None
    assert not found.is_new("requests_count")
    # One call a day earlier, of another agent, and they do.
    enter(row(org, created_at=at(14, 1), agent_id="another"))
    found = compared(org, filters={"agent_id": "legal_guard"})
    assert found.reaches_back
    assert found.change("requests_count") == 0


def test_nothing_after_nothing_is_no_change_and_something_is_new(org: Organization) -> None:
    enter(row(org, created_at=at(20, 1)), row(org, created_at=at(0, 1)))
    found = compared(org)
    assert (found.change("failed_count"), found.is_new("failed_count")) == (Decimal(0), False)
    assert (found.change("cost_usd"), found.is_new("cost_usd")) == (None, True)
    assert (change(None, 1), is_new(None, 1), is_new(1, None)) == (None, False, False)


def test_any_other_period_can_be_compared(org: Organization) -> None:
    enter(*(row(org, created_at=at(days, 1)) for days in (0, 30, 31, 36, 37)))
    found = compared(org, previous=Period(TODAY - timedelta(days=36), TODAY - timedelta(days=29)))
    assert found.before is not None
    assert (found.now["requests_count"], found.before["requests_count"]) == (1, 3)


def test_without_an_earlier_period_there_is_only_the_total(org: Organization) -> None:
    enter(row(org))
    found = reports.comparison(EVERYTHING, Period(), TODAY, NOON)
    assert (found.before, found.now["requests_count"], found.change("cost_usd")) == (None, 1, None)


def test_nobody_sees_anything(org: Organization) -> None:
    enter(row(org))
    found = reports.comparison(NOTHING, WEEK, TODAY, NOON)
    assert (found.now["requests_count"], found.reaches_back) == (0, False)


def test_a_member_compares_their_own_calls(org: Organization) -> None:
    enter(*(row(org, created_at=at(days, 1), user_id=user) for days in (0, 7, 13) for user in (1, 2, None)))
    scope = Scope(member_org_ids=frozenset({org.pk}), user_id=2, zone="UTC")
    found = reports.comparison(scope, WEEK, TODAY, NOON)
    assert found.before is not None
    assert (found.now["requests_count"], found.before["requests_count"]) == (1, 2)


def test_an_archived_day_is_left_out_of_both(settings: Settings, tmp_path: Path) -> None:
    aged.use(settings, tmp_path)
    org = factories.organization(timezone="UTC")
    today = aged.JUNE + timedelta(days=3)
    now = NOON.replace(month=6, day=4)
    enter(*(row(org, created_at=now - timedelta(days=days)) for days in (0, 1, 7, 8, 13, 14)))
    period = Period(today - timedelta(days=6))
    aged.archive()
    found = reports.comparison(of_organization(org.pk, "UTC"), period, today, now)
    assert found.before is not None
    assert found.leaves_out_today
    assert (found.now["requests_count"], found.compared["requests_count"]) == (2, 1)
    assert found.before["requests_count"] == 2


def test_it_takes_few_queries(org: Organization, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    enter(*(row(org, created_at=at(days, 1)) for days in (0, 7)))
    with django_assert_num_queries(4):
        compared(org)
    with django_assert_num_queries(3):
        reports.comparison(of_organization(org.pk, "UTC"), Period(TODAY - timedelta(days=6), TODAY), TODAY, NOON)
