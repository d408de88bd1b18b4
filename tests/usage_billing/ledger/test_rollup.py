"""Python and SQL sum records to the same rollup rows."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import factories
from usage_billing.ledger import rollup, summing, tag_values, writer
from usage_billing.models.daily_tag_usage import TAG_COLUMNS, TAG_DIMENSIONS
from usage_billing.models.daily_usage import DIMENSIONS
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
            "execution_time_ms": st.sampled_from([0, 1, 160, 161, 5_000, 81_920, 81_921, 10**12]),
            "tags": st.dictionaries(st.sampled_from(["env", "функция"]), st.sampled_from(["prod", "тест", '"\\']))
            | st.just({}),
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
        "created_at": factories.NOON,
        "recorded_at": factories.NOON,
    }


@pytest.mark.django_db
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=records)
def test_roll_up_equals_group_by(drawn: list[dict[str, Any]]) -> None:
    org = factories.organization()
    rows = [finished(one, org.pk, number) for number, one in enumerate(drawn)]
    writer.insert(rows)
    in_hand = {
        rollup.DAILY: summing.roll_up(rows),
        rollup.TAGS: summing.roll_up_tags(rows, tag_values.counted(rows)),
    }
    for of in rollup.ROLLUPS:
        assert sorted(in_hand[of], key=rollup.place) == in_hand[of]
        in_sql: list[tuple[Any, ...]] = []
        with connection.cursor() as cursor:
            for grain in of.grains:
                cursor.execute(rollup.select_sql(of, grain, "org_id = %s", connection.vendor), [org.pk])
                in_sql += cursor.fetchall()
        assert_same(in_sql, in_hand[of], len(of.key))


def assert_same(in_sql: list[tuple[Any, ...]], in_hand: list[summing.Row], key: int) -> None:
    """`key`: how many of the columns are the key."""
    assert len(in_sql) == len(in_hand)
    by_text = [sorted(_by_text(row, key) for row in rows) for rows in (in_sql, in_hand)]
    for got, expected in zip(*by_text, strict=True):
        assert got[0] == expected[0]
        # SQLite sums amounts as floats; PostgreSQL is exact.
        allowed = rollup.SQLITE_TOLERANCE if connection.vendor == "sqlite" else 0
        assert all(abs(one - other) <= allowed for one, other in zip(got[1], expected[1], strict=True))


def _by_text(row: tuple[Any, ...], key: int) -> tuple[tuple[str, ...], tuple[Decimal, ...]]:
    """Return key and measures; SQLite returns dates as text and amounts as floats."""
    return tuple(map(str, row[:key])), tuple(Decimal(str(value)) for value in row[key:])


def test_every_grain_keeps_known_dimensions_and_the_cube_keeps_all() -> None:
    assert all(set(kept) <= set(DIMENSIONS) for kept in rollup.DAILY.grains.values())
    assert rollup.DAILY.grains["cube"] == DIMENSIONS
    assert rollup.DAILY.grains["total"] == ()
    assert all(set(TAG_COLUMNS) <= set(kept) <= set(TAG_DIMENSIONS) for kept in rollup.TAGS.grains.values())
    assert rollup.TAGS.grains["tag_cube"] == TAG_DIMENSIONS


@pytest.mark.parametrize("of", rollup.ROLLUPS, ids=lambda of: of.table)
def test_the_key_and_the_columns_are_those_of_the_table(of: rollup.Rollup) -> None:
    primary_key: Any = of.model._meta.pk
    assert of.key == primary_key.field_names
    assert {*of.columns} == {field.attname for field in of.model._meta.concrete_fields}
