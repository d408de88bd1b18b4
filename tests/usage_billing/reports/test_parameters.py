"""Periods of business days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_billing.reports import ALL_TIME, Period

TODAY = date(2026, 11, 18)
DAY = timedelta(days=1)
days = st.dates(date(2000, 1, 1), date(2199, 12, 31))


def test_the_last_days_end_with_today_and_have_no_end() -> None:
    assert Period.of_days(1, TODAY) == Period(TODAY)
    assert Period.of_days(7, TODAY) == Period(date(2026, 11, 12))


@pytest.mark.parametrize(
    ("period", "before"),
    [
        (Period(date(2026, 11, 12)), Period(date(2026, 11, 5), date(2026, 11, 12))),
        (Period(TODAY), Period(date(2026, 11, 17), TODAY)),
        (Period(date(2026, 3, 1), date(2026, 4, 1)), Period(date(2026, 1, 29), date(2026, 3, 1))),
        # It has not begun yet.
        (Period(date(2026, 12, 24)), Period(date(2026, 12, 23), date(2026, 12, 24))),
        (Period(until=TODAY), None),
        (ALL_TIME, None),
    ],
)
def test_the_period_before_is_as_long_and_ends_where_this_one_begins(period: Period, before: Period | None) -> None:
    assert period.before(TODAY) == before


@given(days, st.integers(1, 3660))
def test_a_closed_period_and_the_one_before_it_touch(since: date, length: int) -> None:
    period = Period(since, since + length * DAY)
    before = period.before(TODAY)
    assert before is not None
    assert before.until == period.since
    assert before.since == since - length * DAY


def test_the_last_day_is_the_one_before_the_end_or_today() -> None:
    assert Period(TODAY, TODAY + 3 * DAY).last_day(TODAY) == TODAY + 2 * DAY
    assert Period(TODAY - 3 * DAY).last_day(TODAY) == TODAY
