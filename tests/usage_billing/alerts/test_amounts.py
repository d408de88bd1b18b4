"""Numbers of messages: as the pages write them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import translation

from usage_billing.alerts.amounts import written
from usage_billing.templatetags.amounts import ENGLISH, RUSSIAN, write_amount


@pytest.mark.parametrize("value", ["0", "0.0000000012345", "0.00056", "0.001", "0.0996", "0.1", "1.005", "1234567.891"])
@pytest.mark.parametrize(("language", "style"), [("en", ENGLISH), ("ru", RUSSIAN)])
def test_money_as_the_pages_write_it(value: str, language: str, style: object) -> None:
    with translation.override(language):
        for unit, currency in (("usd", "USD"), ("rub", "RUB")):
            assert written(Decimal(value), unit) == write_amount(Decimal(value), currency, style)  # type: ignore[arg-type]


def test_other_units() -> None:
    with translation.override("en"):
        assert written(Decimal("81.26"), "percent") == "81.3%"
        assert written(Decimal(100), "percent") == "100%"
        assert written(Decimal(4200), "ms") == "4.2\u00a0s"
        assert written(Decimal(1), "tokens") == "1 token"
        assert written(Decimal("1234.0"), "calls") == "1,234 calls"
        assert written(Decimal("3.04"), "hours") == "3 hours"
        assert written(Decimal(12000), "events") == "12,000 events"
