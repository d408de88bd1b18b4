"""How numbers are written."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.utils import translation

from usage_billing.templatetags import amounts
from usage_billing.templatetags.amounts import ENGLISH, RUSSIAN


@pytest.mark.parametrize(
    ("value", "russian", "english"),
    [
        ("12345.67", "12\u00a0345,67\u00a0₽", "₽12,345.67"),
        ("1234567.005", "1\u00a0234\u00a0567,01\u00a0₽", "₽1,234,567.01"),
        ("3", "3,00\u00a0₽", "₽3.00"),
        ("0.5", "0,50\u00a0₽", "₽0.50"),
        ("0.125", "0,13\u00a0₽", "₽0.13"),
        ("0.05", "0,05\u00a0₽", "₽0.05"),
        ("0.000123", "0,000123\u00a0₽", "₽0.000123"),
        ("0.00012345", "0,000123\u00a0₽", "₽0.000123"),
        ("0.0999999", "0,10\u00a0₽", "₽0.10"),
        ("0.000000000006", "0,000000000006\u00a0₽", "₽0.000000000006"),
        ("0E-12", "0\u00a0₽", "₽0"),
        ("-1.5", "\u22121,50\u00a0₽", "₽\u22121.50"),
        ("1E+3", "1\u00a0000,00\u00a0₽", "₽1,000.00"),
    ],
)
def test_amount_in_both_languages(value: str, russian: str, english: str) -> None:
    assert amounts.write_amount(Decimal(value), "RUB", RUSSIAN) == russian
    assert amounts.write_amount(Decimal(value), "RUB", ENGLISH) == english


@pytest.mark.parametrize(
    ("value", "exact"),
    [("0.000123456789", "$0.000123456789"), ("12.500000000000", "$12.5"), ("0E-12", "$0"), ("1000", "$1,000")],
)
def test_exact_amount_has_every_digit_and_no_idle_zeros(value: str, exact: str) -> None:
    assert amounts.write_exact_amount(Decimal(value), "USD", ENGLISH) == exact


@pytest.mark.parametrize(
    ("value", "russian", "english"),
    [
        ("42.35", "42,4\u00a0%", "42.4%"),
        ("100", "100,0\u00a0%", "100.0%"),
        ("0", "0,0\u00a0%", "0.0%"),
        ("0.01", "<\u00a00,1\u00a0%", "<\u00a00.1%"),
    ],
)
def test_percent_in_both_languages(value: str, russian: str, english: str) -> None:
    assert amounts.write_percent(Decimal(value), RUSSIAN) == russian
    assert amounts.write_percent(Decimal(value), ENGLISH) == english


def test_filters_follow_the_language() -> None:
    with translation.override("ru"):
        assert amounts.grouped(1234567) == "1\u00a0234\u00a0567"
        assert amounts.usd(Decimal("0.00012345")) == (
            '<span class="costs-amount" title="0,00012345\u00a0$">0,000123\u00a0$</span>'
        )
    with translation.override("en"):
        assert amounts.grouped(1234567) == "1,234,567"
        assert amounts.usd(Decimal("0.00012345")) == '<span class="costs-amount" title="$0.00012345">$0.000123</span>'


def test_unknown_amount_is_a_dash_with_a_word_and_never_zero() -> None:
    with translation.override("ru"):
        assert amounts.rub(None) == (
            '<span class="costs-unknown" title="неизвестно"><span aria-hidden="true">—</span>'
            '<span class="costs-unseen">неизвестно</span></span>'
        )
        assert amounts.exact(None, "RUB") == "неизвестно"


@pytest.mark.parametrize(("value", "places"), [("0", 2), ("12.3456", 2), ("0.05", 2), ("0.000123", 6)])
def test_places_show_the_value(value: str, places: int) -> None:
    assert amounts.places_of(Decimal(value)) == places


@pytest.mark.parametrize(
    ("month", "russian", "english"), [(5, "7 мая 2026", "7 May 2026"), (11, "7 ноя 2026", "7 Nov 2026")]
)
def test_month_after_a_day_is_declined(month: int, russian: str, english: str) -> None:
    at = datetime(2026, month, 7, 14, 5, 9, tzinfo=UTC)
    for language, shown in (("ru", russian), ("en", english)):
        with translation.override(language):
            assert amounts.written_day(date(2026, month, 7)) == shown
            assert amounts.moment(at) == shown.replace("2026", "14:05:09")
            assert amounts.day_and_time(at) == f"{shown} 14:05"
