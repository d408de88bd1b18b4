"""Questions that go to the database together."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction
from pytest_django import DjangoAssertNumQueries

from tests.support.api_world import World
from tests.support.rows import NOON
from usage_billing import reports
from usage_billing.models import Organization
from usage_billing.reports.sql.pipelining import send, send_queryset
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World(NOON)


def test_together_they_are_answered_as_one_by_one(world: World) -> None:
    with reports.together():
        by_model = reports.totals.ask(EVERYTHING, by=["ai_model"])
        summary = reports.summary(EVERYTHING, NOON.date())  # awaited between the others
        newest = reports.newest.ask(EVERYTHING, 5)
        assert newest() == reports.newest(EVERYTHING, 5) != []
    assert by_model() == reports.totals(EVERYTHING, by=["ai_model"]) != []
    assert summary == reports.summary(EVERYTHING, NOON.date())


def test_an_answer_can_be_read_twice_and_is_asked_for_once(
    world: World, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        asked = reports.totals.ask(EVERYTHING)
        assert asked() is asked()


def test_a_queryset_gives_its_own_types(world: World) -> None:
    rows = Organization.objects.order_by("pk").values_list("pk", "created_at")
    with reports.together():
        found = send_queryset(rows)
    assert found() == list(rows) != []
    assert send_queryset(rows.none())() == []


def test_an_error_is_djangos_and_ends_it() -> None:
    def ask_wrongly() -> None:
        with transaction.atomic(), reports.together():
            send("SELECT 1")
            send("SELECT * FROM no_such_table")()

    with pytest.raises(DatabaseError, match="no_such_table"):
        ask_wrongly()
    with reports.together():
        assert send("SELECT 1")() == [(1,)]
