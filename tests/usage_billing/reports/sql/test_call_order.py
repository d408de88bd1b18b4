"""Lists by cost, tokens and duration are the plain list, whichever way the calls are found."""

from __future__ import annotations

import math
from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from tests.support.api_world import World
from tests.support.rows import NOON
from tests.usage_billing.reports.sql.test_totals import FEWER, PEOPLE, any_filters, periods
from usage_billing import reports
from usage_billing.reports import Period
from usage_billing.reports.sql import call_order, call_reads
from usage_billing.tenancy.scope import EVERYTHING, scope_of

pytestmark = pytest.mark.django_db
orderings = st.sampled_from([sign + name for name in call_order.COLUMNS for sign in ("", "-")])


@pytest.fixture
def world() -> World:
    return World(NOON)


@pytest.fixture(params=["sorted", "merged", "top days", "chosen"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How calls are found where filters narrow the list. Few days at once: the page's last call leaves days out."""
    if request.param != "chosen":
        share = math.inf if request.param == "merged" else -1
        monkeypatch.setattr(call_order, "LARGEST_SHARE", dict.fromkeys(call_order.LARGEST_SHARE, share))
        monkeypatch.setattr(call_order, "TOP_SHARE", math.inf if request.param == "top days" else -1)
    monkeypatch.setattr(call_reads, "DAYS_AT_ONCE", 2)
    return str(request.param)


@FEWER
@given(st.sampled_from(PEOPLE), any_filters, periods, orderings, st.integers(1, 20))
def test_pages_follow_one_another(
    world: World, way: str, person: str, asked: dict[str, Any], period: Period, ordering: str, limit: int
) -> None:
    scope = scope_of(world.people[person])
    whole = list(reports.calls(scope, filters=asked, period=period, ordering=ordering))
    first = reports.page(scope, filters=asked, period=period, ordering=ordering, limit=limit)
    assert list(first.calls) == whole[:limit]
    assert (first.next is None) == (len(whole) <= limit)
    if first.next is not None:
        rest = reports.page(scope, filters=asked, period=period, ordering=ordering, limit=100, after=first.next)
        assert list(rest.calls) == whole[limit : limit + 100]
    skipped = reports.page(scope, filters=asked, period=period, ordering=ordering, limit=limit, offset=3)
    assert list(skipped.calls) == whole[3 : 3 + limit]


@pytest.mark.parametrize("ordering", ["-total_tokens", "execution_time_ms", "-cost_usd", "cost_usd"])
def test_a_call_is_listed_once_where_several_organisations_have_calls_on_a_day(
    world: World, monkeypatch: pytest.MonkeyPatch, ordering: str
) -> None:
    scope = scope_of(world.people["owner_of_two"])
    whole = list(reports.calls(scope, ordering=ordering))
    monkeypatch.setattr(call_reads, "DAYS_AT_ONCE", 1)
    for limit in range(1, 15):
        assert list(reports.page(scope, ordering=ordering, limit=limit).calls) == whole[:limit]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL")
def test_each_day_is_read_in_the_order_of_an_index(world: World) -> None:
    for column in call_order.COLUMNS:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
        plans: list[str] = []

        def explained(execute: Any, sql: str, params: Any, many: bool, context: Any, to: list[str] = plans) -> Any:
            if "of_day" in sql:
                with connection.cursor() as cursor:
                    cursor.cursor.execute(f"EXPLAIN {sql}", params)
                    to += [line for (line,) in cursor.cursor.fetchall()]
            return execute(sql, params, many, context)

        with connection.execute_wrapper(explained):
            reports.page(EVERYTHING, ordering=f"-{column}", limit=2)
        name = {"cost_usd": "cost", "total_tokens": "tokens", "execution_time_ms": "time"}[column]
        assert any(f"idx_token_usage_day_{name}" in line for line in plans), plans
