"""Totals and lists, within a scope, from the coarsest grain that will do."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from tests.support import factories
from tests.support.factories import NOON, event
from usage_billing import reports
from usage_billing.ledger import writer
from usage_billing.models import DailyUsage, user_keys
from usage_billing.reports import Period
from usage_billing.tenancy.scope import EVERYTHING, NOTHING, scope_of

pytestmark = pytest.mark.django_db
TODAY = NOON.date()


class World:
    """Two tenants; in the first an owner and a member."""

    def __init__(self) -> None:
        factories.rate()
        self.org, self.other = factories.organization("Ours"), factories.organization("Theirs")
        self.owner, self.member = factories.owner(self.org), factories.member(self.org)
        self.stranger = factories.owner(self.other)
        self.admin = factories.superadmin()
        writer.add(
            [
                event(org=self.org, user=self.owner, attribution={"agent_id": "a", "request_type": "x"}),
                event(org=self.org, user=self.member, attribution={"agent_id": "a", "request_type": "y"}),
                event(org=self.org, attribution={"agent_id": "b", "request_type": "y"}),
                event(org=self.other, user=self.stranger, attribution={"agent_id": "a", "request_type": "x"}),
                event(org=self.other, user=self.member, attribution={"agent_id": "a"}),
                event(org=self.org, at=NOON - timedelta(days=20), user=self.member),
                event(org=self.org, at=NOON - timedelta(days=40), model="gpt-99"),
            ]
        )


@pytest.fixture
def world() -> World:
    return World()


def count(scope: Any, **question: Any) -> int:
    (row,) = reports.totals(scope, **question)
    return int(row["requests_count"])


def test_totals_are_of_what_the_person_may_see(world: World) -> None:
    seen = {person: count(scope_of(getattr(world, person))) for person in ("admin", "owner", "member", "stranger")}
    assert seen == {"admin": 7, "owner": 5, "member": 2, "stranger": 2}
    assert count(NOTHING) == 0


def test_calls_are_those_that_the_totals_count(world: World) -> None:
    for person in (world.admin, world.owner, world.member, world.stranger):
        assert reports.calls(scope_of(person)).count() == count(scope_of(person))
    assert reports.calls(NOTHING).count() == 0


def test_totals_of_a_period_are_half_open(world: World) -> None:
    scope = scope_of(world.owner)
    assert count(scope, period=Period(TODAY)) == 3
    assert count(scope, period=Period(until=TODAY)) == 2
    assert count(scope, period=Period(TODAY - timedelta(days=20), TODAY)) == 1


def test_totals_by_dimensions_add_up_to_the_whole(world: World) -> None:
    for person in (world.admin, world.owner, world.member):
        scope = scope_of(person)
        for by in (["agent_id"], ["request_type"], ["usage_date"], ["ai_provider", "ai_model"], ["org_id", "user_id"]):
            assert sum(row["requests_count"] for row in reports.totals(scope, by=by)) == count(scope)
    by_type = reports.totals(scope_of(world.owner), by=["request_type"], period=Period(TODAY))
    assert {row["request_type"]: row["requests_count"] for row in by_type} == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("filters", "admin", "owner", "member"),
    [
        ({"agent_id": "a"}, 4, 2, 1),
        ({"agent_id": "a", "request_type": "y"}, 1, 1, 1),
        ({"ai_model": "gpt-99"}, 1, 1, 0),
    ],
)
def test_filters_narrow_the_scope(world: World, filters: dict[str, Any], admin: int, owner: int, member: int) -> None:
    people = (world.admin, world.owner, world.member)
    assert [count(scope_of(person), filters=filters) for person in people] == [admin, owner, member]


def test_filters_never_widen_the_scope(world: World) -> None:
    of_stranger = {"org_id": world.other.pk}
    assert count(scope_of(world.admin), filters=of_stranger) == 2
    assert count(scope_of(world.owner), filters=of_stranger) == 0
    # The member made a call there too, but does not belong to it.
    assert count(scope_of(world.member), filters={**of_stranger, "user_id": world.member.pk}) == 0
    assert count(scope_of(world.member), filters={"org_id": world.org.pk, "user_id": world.owner.pk}) == 0


def test_totals_read_the_coarsest_grain(world: World) -> None:
    def answer_without(grain: str, **question: Any) -> int:
        DailyUsage.objects.filter(grain=grain).update(requests_count=1000)
        return count(scope_of(world.admin), **question)

    assert answer_without("cube") == 7
    assert answer_without("org", filters={"agent_id": "b"}) == 1
    assert answer_without("agent", filters={"agent_id": "b"}) == 1000
    assert answer_without("org_mix", filters={"agent_id": "b", "request_type": "y"}) == 1
    assert answer_without("mix", filters={"agent_id": "b", "request_type": "y"}) == 1000
    assert count(scope_of(world.owner), filters={"agent_id": "b", "request_type": "y"}) == 1000
    # The cube has been wrong since the beginning: who asks for a user reads it.
    assert count(scope_of(world.admin), filters={"agent_id": "b", "user_id": 0}) == 1000


def test_summary_is_of_today_this_month_and_all_time(world: World) -> None:
    summary = reports.summary(scope_of(world.owner), TODAY)
    assert {period: sums["requests_count"] for period, sums in summary.items()} == {
        "today": 3,
        "this_month": 3,
        "all_time": 5,
    }
    assert summary["today"]["cost_usd"] == Decimal("0.00168")
    assert summary["today"]["cost_rub"] == Decimal("0.1344")
    assert summary["all_time"]["unpriced_usd_count"] == 1
    # The calls of 20 and 40 days ago have no rate.
    assert summary["all_time"]["unpriced_rub_count"] == 2


def test_summary_of_nothing_is_zero() -> None:
    summary = reports.summary(NOTHING, date(2026, 1, 1))
    assert set(summary) == {"today", "this_month", "all_time"}
    assert {value for sums in summary.values() for value in sums.values()} == {0}


def test_calls_are_newest_first(world: World) -> None:
    moments = list(reports.calls(scope_of(world.admin)).values_list("created_at", flat=True))
    assert moments == sorted(moments, reverse=True)


def test_reports_have_a_fixed_number_of_queries(
    world: World, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    scope = scope_of(world.owner)
    with django_assert_num_queries(3):
        reports.summary(scope, TODAY)
    with django_assert_num_queries(1):
        reports.totals(scope, by=["request_type"], period=Period(TODAY))
    with django_assert_num_queries(1):
        list(reports.calls(scope)[:50])


def test_previous_totals_are_the_same_for_few_and_for_many_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    period = Period(TODAY)
    few = reports.breakdown(EVERYTHING, ["request_type"], period, TODAY)
    monkeypatch.setattr(import_module("usage_billing.reports.totals"), "FEW_ROWS", 0)
    assert reports.breakdown(EVERYTHING, ["request_type"], period, TODAY) == few
    assert len(few.items) > 0


def test_totals_between_two_moments_are_half_open_and_add_up_to_the_day(world: World) -> None:
    hour = timedelta(hours=1)
    day = Period(TODAY, TODAY + timedelta(days=1))
    for filters in ({}, {"agent_id": "a"}):
        (whole,) = reports.totals(EVERYTHING, filters=filters, period=day)
        (between,) = reports.totals_between(EVERYTHING, NOON, NOON + hour, filters=filters)
        assert between == {name: whole[name] for name in between}
        assert whole["requests_count"]
    assert reports.totals_between(EVERYTHING, NOON - hour, NOON, by=["agent_id"]) == []
    by_agent = reports.totals_between(EVERYTHING, NOON, NOON + hour, by=["agent_id"])
    expected = reports.totals(EVERYTHING, by=["agent_id"], period=day)
    assert {row["agent_id"]: row["requests_count"] for row in by_agent} == {
        row["agent_id"]: row["requests_count"] for row in expected
    }
    assert reports.totals_between(NOTHING, NOON, NOON + hour, by=["agent_id"]) == []


def test_earlier_totals_of_users_of_all_organizations_are_theirs_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("usage_billing.reports.totals"), "FEW_ROWS", 0)
    # Twenty days earlier the member had one call; a call of nobody was before that.
    found = reports.breakdown(
        EVERYTHING, ["user_id"], Period(TODAY), TODAY, previous=Period(TODAY - timedelta(days=30), TODAY)
    )
    before = {item["user_id"]: item["before"]["requests_count"] for item in found.items}
    assert before == {user_keys.nobody(): 0, world.owner.pk: 0, world.stranger.pk: 0, world.member.pk: 1}
