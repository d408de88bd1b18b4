"""A window's end from its beginning, and the day on which a budget runs out, worked out by hand."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from usage_billing.budgets.forecasts import Forecast, forecast
from usage_billing.budgets.windows import Window

TODAY = date(2026, 5, 20)  # a Wednesday; eleven days of May follow
MAY = Window(date(2026, 5, 1), date(2026, 6, 1))
TOTAL = Window(date(2026, 1, 1), None)
WORKING_DAYS = {day: Decimal(10) for n in range(1, 29) if (day := TODAY - timedelta(days=n)).weekday() < 5}


def of(amounts: dict[date, Decimal], spent: int, limit: int, window: Window = MAY) -> Forecast:
    return forecast(amounts, spent=Decimal(spent), limit=Decimal(limit), window=window, today=TODAY)


def test_each_day_left_counts_as_its_weekday() -> None:
    # 20 to 31 May have eight working days, today among them; the third of them is Friday, 22 May.
    assert of(WORKING_DAYS, 130, 300) == Forecast(Decimal(210), None)
    assert of(WORKING_DAYS, 130, 160) == Forecast(Decimal(210), date(2026, 5, 22))
    # Nothing is spent at the weekend: the fourth is Monday.
    assert of(WORKING_DAYS, 130, 161) == Forecast(Decimal(210), date(2026, 5, 25))


def test_today_counts_what_it_lacks() -> None:
    amounts = WORKING_DAYS | {TODAY: Decimal(4)}
    assert of(amounts, 134, 140) == Forecast(Decimal(210), TODAY)
    assert of(amounts, 134, 141) == Forecast(Decimal(210), date(2026, 5, 21))


def test_a_budget_that_is_used_up_runs_out_today() -> None:
    assert of(WORKING_DAYS, 130, 130) == Forecast(Decimal(210), TODAY)
    assert of({}, 130, 130) == Forecast(None, TODAY)
    assert of({}, 130, 130, TOTAL) == Forecast(None, TODAY)


def test_nothing_is_expected_without_a_whole_day_of_history() -> None:
    assert of({TODAY: Decimal(5)}, 5, 6) == Forecast(None, None)
    assert of({TODAY: Decimal(5)}, 5, 6, TOTAL) == Forecast(None, None)


def test_few_days_are_averaged() -> None:
    amounts = {TODAY - timedelta(days=4): Decimal(6), TODAY - timedelta(days=1): Decimal(2)}
    # Four whole days cost 8, 2 a day: twelve days are left.
    assert of(amounts, 8, 100) == Forecast(Decimal(32), None)
    assert of(amounts, 8, 14) == Forecast(Decimal(32), date(2026, 5, 22))


def test_a_total_has_no_end_and_runs_out_by_the_average_day() -> None:
    amounts = {TODAY - timedelta(days=n): Decimal(10) for n in range(1, 29)}
    assert of(amounts, 280, 300, TOTAL) == Forecast(None, date(2026, 5, 21))
    assert of(amounts | {TODAY: Decimal(10)}, 290, 310, TOTAL) == Forecast(None, date(2026, 5, 22))
    # Nobody needs the day of a total that lasts longer than ten years.
    assert of(amounts, 280, 10**6, TOTAL) == Forecast(None, None)


def test_a_total_that_begins_later_runs_out_later() -> None:
    amounts = {TODAY - timedelta(days=n): Decimal(10) for n in range(1, 29)}
    later = Window(date(2026, 6, 1), None)
    assert of(amounts, 0, 20, later) == Forecast(None, date(2026, 6, 2))


def test_a_total_that_begins_at_the_end_of_time_has_no_day() -> None:
    amounts = {TODAY - timedelta(days=n): Decimal(10) for n in range(1, 29)}
    assert of(amounts, 0, 10, Window(date.max, None)) == Forecast(None, date.max)
    assert of(amounts, 0, 20, Window(date.max, None)) == Forecast(None, None)


def test_calls_of_earlier_days_change_nothing() -> None:
    amounts = {TODAY - timedelta(days=4): Decimal(6), TODAY - timedelta(days=1): Decimal(2)}
    earlier = amounts | {TODAY - timedelta(days=60): Decimal(9)}
    assert of(earlier, 8, 100) == of(amounts, 8, 100) == Forecast(Decimal(32), None)
    # Of a total they are its own days: 8 in 28 days.
    assert of(earlier, 17, 18, TOTAL) == Forecast(None, TODAY + timedelta(days=3))


def test_a_window_of_one_day_ends_with_it() -> None:
    today = Window(TODAY, TODAY + timedelta(days=1))
    assert of(WORKING_DAYS | {TODAY: Decimal(4)}, 4, 9, today) == Forecast(Decimal(10), TODAY)
    assert of(WORKING_DAYS | {TODAY: Decimal(4)}, 4, 11, today) == Forecast(Decimal(10), None)
