"""The lists that are written out: the same calls as those of the list that Django writes, with the same values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import pytest
from django.db.models import F
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from tests.support.api_world import World
from tests.support.rows import NOON
from tests.usage_billing.reports.sql.test_sums import MANY, PEOPLE, filters, periods
from usage_billing import reports
from usage_billing.models import DailyUsage, UsageRecord
from usage_billing.reports import ListedCall, Period
from usage_billing.reports.totals import Totals
from usage_billing.tenancy.scope import EVERYTHING, NOTHING, scope_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World(NOON)


@MANY
@given(st.sampled_from(PEOPLE), filters, periods, st.integers(1, 40))
def test_the_newest_are_the_first_calls_in_scope_that_match(
    world: World, person: str, asked: dict[str, Any], period: Period, limit: int
) -> None:
    scope = scope_of(world.people[person])
    calls = reports.calls(scope, filters=asked, period=period)[:limit]
    assert reports.newest(scope, limit, filters=asked, period=period) == told(calls)


@MANY
@given(st.sampled_from(PEOPLE), filters, periods, st.integers(1, 40), st.booleans())
def test_the_dearest_are_the_first_by_cost_of_those_that_cost_something(
    world: World, person: str, asked: dict[str, Any], period: Period, limit: int, too_high: bool
) -> None:
    """Also where the totals' bounds are too high, as after a call was made cheaper."""
    if too_high:
        DailyUsage.objects.filter(usage_date__day__lte=15).update(max_cost_usd=F("max_cost_usd") + 1)
    scope = scope_of(world.people[person])
    calls = reports.calls(scope, filters=asked, period=period, ordering="-cost_usd").filter(cost_usd__gt=0)[:limit]
    assert reports.most_expensive(scope, limit, filters=asked, period=period) == told(calls)


@MANY
@given(st.sampled_from(PEOPLE), filters, periods, st.sampled_from(["cost_usd", "-cost_usd"]), st.integers(1, 40))
def test_pages_by_cost_are_the_list_that_django_orders(
    world: World, person: str, asked: dict[str, Any], period: Period, ordering: str, limit: int
) -> None:
    scope = scope_of(world.people[person])
    whole = list(reports.calls(scope, filters=asked, period=period, ordering=ordering))
    first = reports.page(scope, filters=asked, period=period, ordering=ordering, limit=limit)
    assert first.calls == whole[:limit]
    assert (first.next is None) == (len(whole) <= limit)
    if first.next:
        second = reports.page(scope, filters=asked, period=period, ordering=ordering, limit=limit, after=first.next)
        assert second.calls == whole[limit : 2 * limit]


@pytest.mark.parametrize(
    ("calls", "since", "until"),
    [(1, 6, 7), (2, 4, 7), (3, 4, 7), (4, 1, 7), (99, 1, 7)],
)
def test_the_newest_days_are_those_that_have_so_many_calls(calls: int, since: int, until: int) -> None:
    """Calls on the first, fourth and sixth of eight days: one, two and one."""
    counts = {1: 1, 4: 2, 6: 1}
    rows = [{"date": date(2026, 11, day), "requests_count": counts.get(day, 0)} for day in range(1, 9)]
    for period in (Period(), Period(date(2026, 11, 1), date(2026, 11, 9))):
        found = reports.newest_days(rows, period, lambda row: int(row["requests_count"]), calls)
        assert found == Period(date(2026, 11, since), date(2026, 11, until))


def test_newest_days_of_a_period() -> None:
    def count(row: Totals) -> int:
        return int(row["requests_count"])

    week = {"date": date(2026, 11, 2), "requests_count": 3}
    since = date(2026, 11, 4)
    assert reports.newest_days([week], Period(since), count, 50) == Period(since)  # a week begins before the period
    assert reports.newest_days([{**week, "requests_count": 0}], Period(since), count, 50) is None
    assert reports.newest_days([], Period(since), count, 50) is None


def told(calls: Iterable[UsageRecord]) -> list[ListedCall]:
    return [ListedCall(*(getattr(call, name) for name in ListedCall._fields)) for call in calls]


def test_a_list_is_one_query_and_nobody_has_none(
    world: World, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for ask in (reports.newest, reports.most_expensive):
        with django_assert_num_queries(1):
            assert len(ask(EVERYTHING, 3)) == 3
        assert ask(NOTHING, 3) == []


def test_calls_of_nobody_are_those_without_a_user(world: World) -> None:
    found = reports.newest(EVERYTHING, 1000, filters={"user_id": 0})
    assert {call.user_id for call in found} == {None}
    assert len(found) == len([call for call in world.calls_of("superadmin") if call.user_id is None])
