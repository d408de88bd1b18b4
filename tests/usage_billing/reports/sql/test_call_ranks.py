"""How many calls are expected to be read until enough of them match."""

from __future__ import annotations

import math

import pytest

from usage_billing.reports.sql.call_ranks import Kind, expected_reads

FAILED, CHEAP, DEAR = Kind(100, 0), Kind(10_000, 1), Kind(1_000, 20)
WHOLE = [FAILED, CHEAP, DEAR]
DAYS = 30


@pytest.mark.parametrize(
    ("count", "matching", "descending", "least", "most"),
    [
        (50, [CHEAP], False, 180, 190),  # after the failed calls of all
        (10, [Kind(80, 0), CHEAP], False, 60, 70),  # half of the failed ones, and the first cheap calls of four days
        (10, [Kind(80, 0), DEAR], False, 1_310, 1_320),  # in an eighth of the days all cheap calls come before
        (60, [Kind(80, 0), DEAR], False, 10_090, 10_100),  # ten that cost something
        (50, [DEAR], True, 80, 81),
        (50, [CHEAP], True, 500, 1_100),  # nearly each dear call comes before them
        (50, [FAILED], True, math.inf, math.inf),
        (2_000, [DEAR], True, math.inf, math.inf),
        (2_000, [FAILED, DEAR], False, math.inf, math.inf),
    ],
)
def test_from_the_first_call(count: float, matching: list[Kind], descending: bool, least: float, most: float) -> None:
    assert least <= expected_reads(count, DAYS, matching, WHOLE, None, descending=descending) <= most


def test_a_later_page_also_reads_what_came_before() -> None:
    before = DEAR.above(40)
    assert before > 90
    assert expected_reads(50, DAYS, [DEAR], WHOLE, 40.0, descending=True) == pytest.approx(before + 50 + DAYS)


def test_after_a_call_that_costs_nothing_only_the_others_count() -> None:
    assert expected_reads(10, DAYS, [Kind(80, 0), DEAR], WHOLE, 0.0, descending=False) > 10_000
