"""Python and SQL sum records to the same rollup rows."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import factories
from usage_billing.ledger import rollup, writer
from usage_billing.models.daily_usage import DIMENSIONS, GRAINS
from usage_billing.recording.event import ACCOUNT_COLUMNS

records = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": st.sampled_from([None, 1, 2]),
            "agent_id": st.sampled_from(["", "a", "b"]),
            "request_type": st.sampled_from(["", "t"]),
            "ai_provider": st.sampled_from(["openai", "anthropic"]),
            "ai_model": st.sampled_from(["m1", "m2"]),
            "usage_date": st.sampled_from([date(2026, 11, 17), date(2026, 11, 18)]),
            "status": st.sampled_from(["succeeded", "failed", "aborted"]),
            "prompt_tokens": st.integers(0, 10**9),
            "completion_tokens": st.integers(0, 10**9),
            "cost_usd": st.none() | st.decimals(0, 1000, places=6),
            "has_rate": st.booleans(),
        }
    ),
    max_size=12,
)


def finished(drawn: dict[str, Any], org_id: int, number: int) -> dict[str, Any]:
    """Return a complete row of `token_usage` with the drawn values."""
    row = dict(drawn)
    usd, has_rate = row["cost_usd"], row.pop("has_rate")
    return row | {
        "org_id": org_id,
        "request_id": f"request {number}",
        "total_tokens": row["prompt_tokens"] + row["completion_tokens"],
        **dict.fromkeys(("cached_tokens", "cache_write_tokens", "reasoning_tokens"), number),
        "cost_rub": usd * 80 if usd is not None and has_rate else None,
        "usd_rub_rate": Decimal(80) if has_rate else None,
        "price_source": "test" if usd is not None else "unpriced:test",
        **dict.fromkeys(("content_id", "workflow_id", "known_cost_usd")),
        **dict.fromkeys(ACCOUNT_COLUMNS.values(), ""),
        **dict.fromkeys(("endpoint", "platform", "content_type", "task_type", "error_code"), ""),
        **{name: {} for name in ("usage", "request_metadata", "response_metadata")},
        "execution_time_ms": 5,
        "created_at": factories.NOON,
        "recorded_at": factories.NOON,
    }


@pytest.mark.django_db
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=records)
def test_roll_up_equals_group_by(drawn: list[dict[str, Any]]) -> None:
    org = factories.organization()
    rows = [finished(one, org.pk, number) for number, one in enumerate(drawn)]
    writer.insert(rows)
    in_hand = rollup.roll_up(rows)
    assert sorted(in_hand) == in_hand
    in_sql: list[tuple[Any, ...]] = []
    with connection.cursor() as cursor:
        for grain in GRAINS:
            cursor.execute(rollup.select_sql(grain, "org_id = %s"), [org.pk])
            in_sql += cursor.fetchall()

    assert len(in_sql) == len(in_hand)
    for got, expected in zip(sorted(map(_by_text, in_sql)), sorted(map(_by_text, in_hand)), strict=True):
        assert got[0] == expected[0]
        # SQLite sums amounts as floats; PostgreSQL is exact.
        allowed = rollup.SQLITE_TOLERANCE if connection.vendor == "sqlite" else 0
        assert all(abs(one - other) <= allowed for one, other in zip(got[1], expected[1], strict=True))


def _by_text(row: tuple[Any, ...]) -> tuple[tuple[str, ...], tuple[Decimal, ...]]:
    """Return key and measures; SQLite returns dates as text and amounts as floats."""
    return tuple(map(str, row[: len(rollup.KEY)])), tuple(Decimal(str(value)) for value in row[len(rollup.KEY) :])


def test_every_grain_keeps_known_dimensions_and_the_cube_keeps_all() -> None:
    assert all(set(kept) <= set(DIMENSIONS) for kept in GRAINS.values())
    assert GRAINS["cube"] == DIMENSIONS
    assert GRAINS["total"] == ()


def test_parts_together_are_the_whole() -> None:
    calls = [finished(call(agent_id=agent), 1, number) for number, agent in enumerate(["a", "b", "a", "c"])]
    whole = rollup.roll_up(calls)
    first, second = rollup.roll_up(calls[:3]), rollup.roll_up(calls[3:])
    assert rollup.merged(first, second) == whole
    assert sums(rollup.merged(whole, rollup.negated(second))) == sums(first)
    assert sums(rollup.merged(whole, rollup.negated(whole))) == []
    assert rollup.merged([], whole) == whole
    assert rollup.merged() == []


def sums(rows: list[rollup.Row]) -> list[rollup.Row]:
    """Return the non-zero rows without `max_cost_usd`, which is never subtracted."""
    return [row[:-1] for row in rows if any(row[len(rollup.KEY) : -1])]


def test_a_change_that_keeps_the_sum_still_raises_the_highest_cost() -> None:
    before = [finished(call(agent_id="a", cost_usd=Decimal(usd)), 1, number) for number, usd in enumerate([5, 3])]
    after = [row | {"cost_usd": Decimal(usd), "cost_rub": None} for row, usd in zip(before, [1, 7], strict=True)]
    rows = rollup.merged(rollup.roll_up(after), rollup.negated(rollup.roll_up(before)))
    assert {row[-1] for row in rows} == {Decimal(7)}
    assert {row[0] for row in rows} == {*GRAINS}


def call(**values: Any) -> dict[str, Any]:
    """Strategy for the columns of one call."""
    return {
        "user_id": None,
        "request_type": "",
        "ai_provider": "openai",
        "ai_model": "m1",
        "usage_date": date(2026, 11, 17),
        "status": "succeeded",
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "cost_usd": Decimal("0.5"),
        "has_rate": True,
    } | values
