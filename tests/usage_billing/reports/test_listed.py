"""The lists that are written out: the same calls as those of the list that Django writes, with the same values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from tests.usage_billing.api.world import World
from tests.usage_billing.reports.test_sums import MANY, PEOPLE, filters, periods
from tests.usage_billing.rows import NOON
from usage_billing import reports
from usage_billing.access import EVERYTHING, NOTHING, scope_of
from usage_billing.reports import Listed, Period
from usage_billing.reports.listed import NEWEST

pytestmark = pytest.mark.django_db
ORDERINGS = {NEWEST: "-created_at", reports.DEAREST: "-cost_usd"}


@pytest.fixture
def world() -> World:
    return World(NOON)


@MANY
@given(st.sampled_from(PEOPLE), filters, periods, st.sampled_from([*ORDERINGS]), st.integers(1, 40))
def test_they_are_the_first_calls_in_scope_that_match(
    world: World, person: str, asked: dict[str, Any], period: Period, order: tuple[str, str], limit: int
) -> None:
    scope = scope_of(world.people[person])
    calls = reports.calls(scope, filters=asked, period=period, ordering=ORDERINGS[order])[:limit]
    expected = [Listed(*(getattr(call, name) for name in Listed._fields)) for call in calls]
    assert reports.listed(scope, limit, filters=asked, period=period, order=order) == expected


def test_a_list_is_one_query_and_nobody_has_none(
    world: World, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        assert len(reports.listed(EVERYTHING, 3)) == 3
    assert reports.listed(NOTHING, 3) == []


def test_calls_of_nobody_are_those_without_a_user(world: World) -> None:
    found = reports.listed(EVERYTHING, 1000, filters={"user_id": 0})
    assert {call.user_id for call in found} == {None}
    assert len(found) == len([call for call in world.calls_of("superadmin") if call.user_id is None])
