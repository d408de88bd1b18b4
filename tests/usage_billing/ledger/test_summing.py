"""Rollup rows of new records: sums, differences, durations and tags."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.support.rows import row
from usage_billing.ledger import rollup, summing
from usage_billing.ledger.rollup import DAILY, TAGS, place
from usage_billing.models import Organization
from usage_billing.models.daily_tag_usage import OTHER_VALUE
from usage_billing.models.daily_usage import ROLLUP_MEASURES
from usage_billing.models.durations import DURATION_COUNTS

ORG = Organization(pk=1, timezone="UTC")


def calls(*agents: str, **columns: Any) -> list[dict[str, Any]]:
    return [row(ORG, agent_id=agent, **columns) for agent in agents]


def test_parts_together_are_the_whole() -> None:
    some = calls("a", "b", "a", "c")
    whole = summing.roll_up(some)
    first, second = summing.roll_up(some[:3]), summing.roll_up(some[3:])
    assert summing.merged(DAILY, first, second) == whole
    assert sums(summing.merged(DAILY, whole, summing.negated(DAILY, second))) == sums(first)
    assert sums(summing.merged(DAILY, whole, summing.negated(DAILY, whole))) == []
    assert summing.merged(DAILY, [], whole) == whole
    assert summing.merged(DAILY) == []


def sums(rows: list[summing.Row]) -> list[summing.Row]:
    """Return the non-zero rows without `max_cost_usd`, which is never subtracted."""
    return [row[:-1] for row in rows if any(row[len(DAILY.key) : -1])]


def test_a_change_that_keeps_the_sum_still_raises_the_highest_cost() -> None:
    before = [*calls("a", cost_usd=Decimal(5)), *calls("a", cost_usd=Decimal(3))]
    after = [each | {"cost_usd": Decimal(usd), "cost_rub": None} for each, usd in zip(before, [1, 7], strict=True)]
    rows = summing.merged(DAILY, summing.roll_up(after), summing.negated(DAILY, summing.roll_up(before)))
    assert {row[-1] for row in rows} == {Decimal(7)}
    assert {row[0] for row in rows} == {*DAILY.grains}


@pytest.mark.parametrize(
    ("duration_ms", "counted"),
    [
        (0, None), (1, "time_le_160"), (160, "time_le_160"), (161, "time_le_320"), (1_280, "time_le_1280"),
        (81_920, "time_le_81920"), (81_921, "time_gt_81920"), (10**12, "time_gt_81920"),
    ],
)  # fmt: skip
def test_a_call_counts_in_the_first_bucket_that_holds_its_duration(duration_ms: int, counted: str | None) -> None:
    (call,) = calls("a", execution_time_ms=duration_ms)
    measures = dict(zip(ROLLUP_MEASURES, summing.measured(call), strict=True))
    expected = {**dict.fromkeys(DURATION_COUNTS, 0), **({counted: 1} if counted else {})}
    assert {name: measures[name] for name in DURATION_COUNTS} == expected


def of_tags(rows: list[summing.Row], grain: str) -> dict[tuple[str, str], int]:
    """Return the number of calls by key and value."""
    found = [dict(zip(TAGS.columns, row, strict=True)) for row in rows]
    return {(row["tag_key"], row["tag_value"]): row["requests_count"] for row in found if row["grain"] == grain}


def test_a_call_counts_once_for_each_of_its_tags() -> None:
    some = [*calls("a", "b", tags={"env": "prod", "feature": "chat"}), *calls("a", tags={"env": "test"}), *calls("b")]
    counted = {(1, "env", "prod"): "prod", (1, "env", "test"): "test", (1, "feature", "chat"): "chat"}
    rows = summing.roll_up_tags(some, counted)
    assert {row[0] for row in rows} == {*TAGS.grains}
    for grain in ("tag", "org_tag"):
        assert of_tags(rows, grain) == {("env", "prod"): 2, ("env", "test"): 1, ("feature", "chat"): 2}
    assert rows == sorted(rows, key=place)
    assert [len(row) for row in rows] == [len(TAGS.columns)] * len(rows)


def test_values_beyond_the_bound_count_together_and_other_tags_not_at_all() -> None:
    some = [call for number in range(3) for call in calls("a", tags={"customer": str(number), "full": "x"})]
    counted = {(1, "customer", "0"): "0"} | {(1, "customer", str(n)): OTHER_VALUE for n in (1, 2)}
    rows = summing.roll_up_tags(some, counted)
    assert of_tags(rows, "tag") == {("customer", "0"): 1, ("customer", OTHER_VALUE): 2}
    assert summing.roll_up_tags(some, {}) == summing.roll_up_tags(calls("a"), counted) == []


def test_tags_of_a_removed_call_are_subtracted() -> None:
    some = calls("a", "b", tags={"env": "prod"})
    counted = {(1, "env", "prod"): "prod"}
    whole, part = summing.roll_up_tags(some, counted), summing.roll_up_tags(some[1:], counted)
    left = summing.merged(TAGS, whole, summing.negated(TAGS, part))
    zeros = (0,) * len(ROLLUP_MEASURES)
    length = len(TAGS.key)
    assert [row[:-1] for row in left if row[length:-1] != zeros] == [
        row[:-1] for row in summing.roll_up_tags(some[:1], counted)
    ]


def test_the_tables_have_grains_of_their_own() -> None:
    assert {*DAILY.grains}.isdisjoint(TAGS.grains)
    assert rollup.ROLLUPS == (DAILY, TAGS)
