"""The exchange rate of a day."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from tests.support import factories
from usage_billing.exchange_rates.rates import rates_on

FRIDAY = date(2026, 11, 13)

pytestmark = pytest.mark.django_db


def test_rates_on_a_weekend_carry_fridays() -> None:
    factories.rate(FRIDAY - timedelta(days=1), "79")
    factories.rate(FRIDAY, "80.1234")
    factories.rate(FRIDAY + timedelta(days=3), "82")
    sunday = FRIDAY + timedelta(days=2)
    assert rates_on([FRIDAY, sunday]) == {FRIDAY: Decimal("80.1234"), sunday: Decimal("80.1234")}


def test_rates_on_a_day_more_than_ten_days_after_the_last_one_are_unknown() -> None:
    factories.rate(FRIDAY, "80")
    tenth, eleventh = FRIDAY + timedelta(days=10), FRIDAY + timedelta(days=11)
    assert rates_on([tenth, eleventh]) == {tenth: Decimal("80"), eleventh: None}


def test_rates_on_a_day_before_the_first_one_are_unknown() -> None:
    factories.rate(FRIDAY, "80")
    assert rates_on([FRIDAY - timedelta(days=1)]) == {FRIDAY - timedelta(days=1): None}


def test_rates_on_no_day_ask_nothing() -> None:
    assert rates_on([]) == {}
