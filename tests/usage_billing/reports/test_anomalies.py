"""Days that are anomalies, and days that are not."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from usage_billing.reports import Period, anomalies, learned_period

FIRST = date(2026, 5, 1)


def days(*costs: str | None) -> list[dict[str, Any]]:
    return [
        {"date": FIRST + timedelta(days=n), "cost_usd": None if cost is None else Decimal(cost)}
        for n, cost in enumerate(costs)
    ]


def test_day_of_many_times_the_usual_stands_out() -> None:
    (found,) = anomalies(days("10", "11", "9", "10", "50", "10", "12", "9"))
    assert (found.day, found.cost_usd, found.usual_usd, found.times) == (
        date(2026, 5, 5),
        Decimal(50),
        Decimal(10),
        Decimal(5),
    )


@pytest.mark.parametrize(
    "costs",
    [
        ("10", "11", "9", "10", "19", "10", "12", "9"),  # not twice the usual
        ("1", "20", "2", "30", "3", "25", "1", "40"),  # twice, but the days are as far apart as that
        ("10", "10", "100"),  # too few to say what is usual
        (None, "0", None, "0", None, "0", None, "90"),  # nothing to compare with
    ],
)
def test_usual_days_do_not(costs: tuple[str | None, ...]) -> None:
    assert anomalies(days(*costs)) == []


def test_dearest_come_first_and_few() -> None:
    found = anomalies(days(*["10"] * 20, "90", "70", "80", "60"))
    assert [each.cost_usd for each in found] == [90, 80, 70]


def test_days_outside_the_period_only_tell_what_is_usual() -> None:
    series = days(*["10"] * 8, "90", "10", "70")
    assert [each.cost_usd for each in anomalies(series)] == [90, 70]
    assert [each.cost_usd for each in anomalies(series, period=Period(FIRST + timedelta(days=9)))] == [70]
    assert [each.cost_usd for each in anomalies(series, period=Period(None, FIRST + timedelta(days=9)))] == [90]


@pytest.mark.parametrize(
    ("period", "days_back"),
    [
        (Period.of_days(7, FIRST), 28),
        (Period.of_days(30, FIRST), 30),
        (Period.of_days(90, FIRST), 90),
        (Period.of_days(400, FIRST), 90),
        (Period(), 90),
        (Period(FIRST - timedelta(days=6), FIRST + timedelta(days=900)), 28),
    ],
)
def test_at_least_four_weeks_and_at_most_90_days_are_looked_at(period: Period, days_back: int) -> None:
    assert learned_period(period, FIRST) == Period(FIRST - timedelta(days=days_back - 1), period.until)
