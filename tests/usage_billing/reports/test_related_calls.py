"""The calls around a call, those of its workflow, and the search by an id."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from tests.support import factories
from tests.support.rows import NOON, enter, row
from usage_billing import reports
from usage_billing.models import Organization, UsageRecord
from usage_billing.tenancy.scope import EVERYTHING, NOTHING, Scope, of_organization

pytestmark = pytest.mark.django_db


class World:
    """Two organisations with ten calls each, alternating, by users 1 and 2, in one workflow of the same name."""

    def __init__(self) -> None:
        self.ours, self.theirs = factories.organization(), factories.organization()
        enter(
            *(
                row(
                    org,
                    created_at=NOON + timedelta(seconds=n // 2),
                    user_id=n % 2 + 1,
                    workflow_id="run" if n < 6 else None,
                    content_id=f"post-{org.pk}",
                    request_id=f"{org.pk}-{n}",
                )
                for n in range(10)
                for org in (self.ours, self.theirs)
            )
        )
        self.member = Scope(member_org_ids=frozenset({self.ours.pk}), user_id=1)

    def call(self, n: int, org: Organization | None = None) -> UsageRecord:
        return UsageRecord.objects.get(request_id=f"{(org or self.ours).pk}-{n}")


@pytest.fixture
def world() -> World:
    return World()


def ids(calls: Any) -> list[str]:
    return [call.request_id for call in calls]


def test_the_calls_around_are_the_organisations_own(
    world: World, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ours, call = world.ours.pk, world.call(4)
    for scope in (EVERYTHING, of_organization(ours)):
        with django_assert_num_queries(2):
            found = reports.around(scope, call, 3)
        assert ids(found.earlier) == [f"{ours}-{n}" for n in (1, 2, 3)]
        assert ids(found.later) == [f"{ours}-{n}" for n in (5, 6, 7)]
    found = reports.around(world.member, call, 3)
    assert (ids(found.earlier), ids(found.later)) == ([f"{ours}-0", f"{ours}-2"], [f"{ours}-6", f"{ours}-8"])
    assert reports.around(world.member, world.call(4, world.theirs), 3) == reports.Around([], [])
    assert reports.around(NOTHING, call, 3) == reports.Around([], [])


def test_a_workflow_is_of_one_organisation(world: World) -> None:
    ours = world.ours.pk
    for scope in (EVERYTHING, of_organization(ours)):
        found = reports.of_workflow(scope, "run", ours, 4)
        assert ids(found.calls) == [f"{ours}-{n}" for n in range(4)]
        assert found.totals["requests_count"] == 6
    found = reports.of_workflow(world.member, "run", ours, 4)
    assert (ids(found.calls), found.totals["requests_count"]) == ([f"{ours}-{n}" for n in (0, 2, 4)], 3)
    found = reports.of_workflow(of_organization(ours), "run", world.theirs.pk, 4)
    assert (found.calls, found.totals["requests_count"]) == ([], 0)


def test_a_search_is_by_exactly_one_of_four_ids(world: World) -> None:
    ours = world.ours.pk
    call = world.call(3)
    scope = of_organization(ours)
    for text in (str(call.pk), call.request_id, f" {call.request_id} "):
        assert reports.find_calls(scope, text, 5) == reports.Found([call], {})
    day = NOON.date()
    assert reports.find_calls(scope, "run", 5) == reports.Found([], {"workflow_id": day})
    assert reports.find_calls(scope, f"post-{ours}", 5) == reports.Found([], {"content_id": day})
    assert reports.find_calls(world.member, "run", 5) == reports.Found([], {"workflow_id": day})


def test_a_search_finds_the_call_first_however_much_else_has_its_id(
    world: World, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    call = world.call(3)
    text, later = str(call.pk), {"created_at": NOON + timedelta(days=1), "usage_date": NOON.date() + timedelta(days=1)}
    enter(*(row(world.ours, content_id=text, **later) for _ in range(5)), row(world.theirs, workflow_id=text))
    for org in (world.ours, world.theirs):
        enter(row(org, request_id=text, **later))
    with django_assert_num_queries(4):
        found = reports.find_calls(EVERYTHING, text, 2)
    assert ids(found.calls) == [call.request_id, text, text]
    assert found.first_days == {"workflow_id": NOON.date(), "content_id": later["usage_date"]}
    assert ids(reports.find_calls(of_organization(world.ours.pk), text, 1).calls) == [call.request_id, text]
    assert reports.find_calls(EVERYTHING, f"0{text}", 2) == reports.Found([], {})


@pytest.mark.parametrize("text", ["", " ", "nobody", "9" * 30, "x" * 300, "a\x00b", "١"])
def test_a_search_for_what_is_not_there_finds_nothing(world: World, text: str) -> None:
    assert reports.find_calls(EVERYTHING, text, 5) == reports.Found([], {})


def test_a_search_does_not_find_anothers_call(world: World) -> None:
    theirs = world.call(3, world.theirs)
    scope = of_organization(world.ours.pk)
    for text in (str(theirs.pk), theirs.request_id, f"post-{world.theirs.pk}"):
        assert reports.find_calls(EVERYTHING, text, 5) != reports.Found([], {})
        assert reports.find_calls(scope, text, 5) == reports.Found([], {})
