"""Amounts of one column."""

from __future__ import annotations

import re
from decimal import Decimal

from django.utils.translation import override

from ai_clients.assistants.admin.amount_column import column


def texts(*values: str | None, language: str = "en") -> list[str]:
    with override(language):
        cells = column([None if value is None else Decimal(value) for value in values], "USD")
    return [re.sub("<.*?>", "", cell) for cell in cells]


def test_all_have_the_decimals_that_the_smallest_needs() -> None:
    assert texts("12.5", "0.0031", "0") == ["$12.5000", "$0.0031", "$0.0000"]
    assert texts("12.5", "3") == ["$12.50", "$3.00"]
    assert texts("1.5", "0.0000000042") == ["$1.500000", "$0.000000"]
    assert texts("1.5", language="ru") == ["1,50\N{NO-BREAK SPACE}$"]


def test_exact_amount_is_in_the_title_and_an_unknown_one_is_a_dash() -> None:
    with override("en"):
        (small, unknown) = column([Decimal("0.00000042"), None], "USD")
    assert 'title="$0.00000042"' in small
    assert "—" in unknown
    assert texts() == []
