"""Amounts of one column, with one number of decimals, so that they can be compared at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from django.utils.html import format_html
from django.utils.translation import get_language

from usage_billing.templatetags.amounts import SYMBOLS, amount, places_of, style_of, write_exact_amount, write_number

MOST_PLACES = 6
"""A smaller part of an amount does not matter; the exact one is shown on hover."""


def column(values: Sequence[Decimal | None], currency: str) -> list[str]:
    """Each amount as HTML with as many decimals as the smallest needs; an unknown one as a dash."""
    style = style_of(get_language())
    places = min(MOST_PLACES, max((places_of(value) for value in values if value), default=2))

    def shown(value: Decimal | None) -> str:
        if value is None:
            return amount(None, currency, style)
        number = write_number(value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP), style)
        text = style.amount.format(number=number, symbol=SYMBOLS[currency])
        exact = write_exact_amount(value, currency, style)
        return format_html('<span class="costs-amount" title="{}">{}</span>', exact, text)

    return [shown(value) for value in values]
