"""Pages by cost: the same calls as a plain list ordered by cost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.api_world import World
from tests.support.rows import NOON
from tests.usage_billing.reports.sql.test_totals import MANY, PEOPLE, filters, periods
from usage_billing import reports
from usage_billing.reports import Period
from usage_billing.tenancy.scope import EVERYTHING, scope_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World(NOON)


@MANY
@given(st.sampled_from(PEOPLE), filters, periods, st.sampled_from(["cost_usd", "-cost_usd"]), st.integers(1, 40))
def test_pages_by_cost_follow_one_another(
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


def test_calls_of_user_zero_are_those_without_a_user(world: World) -> None:
    found = list(reports.calls(EVERYTHING, filters={"user_id": 0}))
    assert {call.user_id for call in found} == {None}
    assert len(found) == len([call for call in world.calls_of("superadmin") if call.user_id is None])
