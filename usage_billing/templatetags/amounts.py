"""Amounts, counts, shares and days in the format of each language, from decimals, never from floats."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any

from django import template
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext, ngettext

register = template.Library()

NBSP = "\u00a0"
MINUS = "\u2212"
SYMBOLS = {"USD": "$", "RUB": "₽"}

CENT, SMALL = Decimal("0.01"), Decimal("0.1")
DIGITS_OF_SMALL = 3
"""Significant digits of an amount below 0.10, so that the price of a single short call can be seen."""

COMPACT_FROM = 100_000
MULTIPLE_FROM = 9
"""From this change on it is shown as a multiple: +900 % is ×10."""

MAY = 5


@dataclass(frozen=True)
class Style:
    """Number format of a language: thousands separator, decimal point, formats of an amount and of a per cent."""

    thousands: str
    point: str
    amount: str
    percent: str


RUSSIAN = Style(thousands=NBSP, point=",", amount=f"{{number}}{NBSP}{{symbol}}", percent=f"{{number}}{NBSP}%")
ENGLISH = Style(thousands=",", point=".", amount="{symbol}{number}", percent="{number}%")


def style_of(language: str | None) -> Style:
    return RUSSIAN if (language or "").startswith("ru") else ENGLISH


def write_number(value: Decimal | int, style: Style) -> str:
    """All digits of `value`, grouped by thousands."""
    digits = f"{abs(value):,}" if isinstance(value, int) else f"{abs(value):,f}"
    whole, _, fraction = digits.partition(".")
    return (MINUS if value < 0 else "") + whole.replace(",", style.thousands) + (fraction and style.point + fraction)


def write_amount(value: Decimal, currency: str, style: Style) -> str:
    """`value` with two decimals from 0.10 up, with three significant digits below; zero is 0."""
    return style.amount.format(number=write_number(_rounded(value), style), symbol=SYMBOLS[currency])


def write_exact_amount(value: Decimal, currency: str, style: Style) -> str:
    """`value` with all its digits."""
    number = write_number(value, style)
    if style.point in number:
        number = number.rstrip("0").removesuffix(style.point)
    return style.amount.format(number=number, symbol=SYMBOLS[currency])


def write_percent(value: Decimal, style: Style) -> str:
    """Per cent with one decimal; a positive value below 0.1 is shown as “< 0.1”, not as 0."""
    rounded = value.quantize(Decimal("0.1"), ROUND_HALF_UP)
    if value > 0 and not rounded:
        return f"<{NBSP}" + style.percent.format(number=write_number(Decimal("0.1"), style))
    return style.percent.format(number=write_number(rounded, style))


def places_of(value: Decimal) -> int:
    """How many decimal places `write_amount` gives to an amount of this size; at least two."""
    exponent = _rounded(value).as_tuple().exponent
    return max(2, -exponent) if isinstance(exponent, int) else 2


def written_day(day: date) -> str:
    """The day in the format of the current language."""
    return _written_day(day, get_language())


@functools.lru_cache(maxsize=4096)
def _written_day(day: date, _language: str | None) -> str:
    """28 Nov 2026; cached, because a page shows each day twice and Django takes long to format one."""
    # Translators: a day in Django's date format: 28 Nov 2026
    return short_date(day, gettext("j M Y"))


@register.filter(expects_localtime=True)
def moment(value: datetime) -> str:
    """A moment of a list in the template's time zone, without the year: 28 Nov 14:05:09.

    Django's `date` filter takes 0.1 ms for one, and a page has 50.
    """
    return f"{_written_day_and_month(value.date(), get_language())} {value:%H:%M:%S}"


@functools.lru_cache(maxsize=4096)
def _written_day_and_month(day: date, _language: str | None) -> str:
    # Translators: a day without its year, in Django's date format: 28 Nov
    return short_date(day, gettext("j M"))


@register.filter(expects_localtime=True)
def day_and_time(value: datetime) -> str:
    """A moment in the template's time zone: 28 Nov 2026 14:05."""
    return f"{written_day(value.date())} {value:%H:%M}"


def short_date(value: date, pattern: str) -> str:
    """`value` in a format of Django's with a day and a short month.

    Russian formats have `b`. After a day the name of the month is declined, which the short names show in May alone:
    5 мая. `E` is the declined name.
    """
    return date_format(value, pattern.replace("b", "E") if value.month == MAY else pattern)


def _rounded(value: Decimal) -> Decimal:
    if not value:
        return Decimal(0)
    if abs(value) >= SMALL:
        return value.quantize(CENT, ROUND_HALF_UP)
    places = DIGITS_OF_SMALL - 1 - value.adjusted()
    return _trimmed(value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP))


def _trimmed(value: Decimal) -> Decimal:
    """`value` without trailing zeros, with at least two decimals."""
    exponent = value.normalize().as_tuple().exponent
    places = max(2, -exponent if isinstance(exponent, int) else 0)
    return value.quantize(Decimal(1).scaleb(-places))


register.filter("day", written_day)
register.filter("short_date", short_date, expects_localtime=True)


@register.filter
def grouped(value: int) -> str:
    """A count: 12 345 in Russian, 12,345 in English."""
    return write_number(value, style_of(get_language()))


@register.filter
def exact_number(value: Decimal | int | None) -> str:
    """All digits for a program, without separators; empty if the number is unknown."""
    if value is None:
        return ""
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)


@register.filter
def plain_decimal(value: Decimal) -> str:
    """All digits that matter, without a currency: an exchange rate."""
    return write_number(Decimal(format(value.normalize(), "f")), style_of(get_language()))


@register.filter
def compact(value: int) -> str:
    """A count with three or four digits, as 10.20 M; all digits up to 99,999."""
    style = style_of(get_language())
    if abs(value) < COMPACT_FROM:
        return write_number(value, style)
    power = 9 if abs(value) >= 10**9 else 6
    # Translators: the short word for a billion and for a million, after a number
    word = gettext("B") if power == 9 else gettext("M")
    number = Decimal(value).scaleb(-power).quantize(CENT, ROUND_HALF_UP)
    return f"{write_number(number, style)}{NBSP}{word}"


@register.filter
def duration(milliseconds: Decimal | int | None) -> str:
    """A time in seconds: 0.35 s, 4.2 s, 75 s; a dash if it is unknown."""
    if not milliseconds:
        return "—"
    seconds = Decimal(milliseconds) / 1000
    digits = "0.01" if seconds < 1 else "0.1" if seconds < 60 else "1"
    # Translators: the short word for seconds, after a number
    return (
        write_number(seconds.quantize(Decimal(digits), ROUND_HALF_UP), style_of(get_language())) + NBSP + gettext("s")
    )


def common_places(values: Iterable[Decimal | None]) -> int:
    """How many decimals a column of amounts needs: two digits of its smallest value that matters, from 2 to 6.

    A value matters if it is at least a thousandth of the largest.
    """
    known = [abs(value) for value in values if value]
    largest = max(known, default=0)
    matter = [value for value in known if value * 1000 >= largest]
    if not matter:
        return 2
    return min(6, max(2, 1 - min(matter).adjusted()))


@register.filter
def in_column(value: Decimal | None, places: int) -> SafeString:
    """An amount of a column with so many decimals, without its currency; all digits on hover."""
    if value is None:
        return _shown(value, "USD")
    if not value:
        return SafeString("0")
    style = style_of(get_language())
    rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    text = write_number(rounded, style)
    if not rounded:
        text = "<" + NBSP + write_number(Decimal(1).scaleb(-places), style)
    exact_ = write_number(value.normalize(), style)
    return SafeString(f'<span class="costs-amount" title="{exact_}">{text}</span>')


@register.filter
def percent(value: Decimal) -> str:
    return write_percent(value, style_of(get_language()))


@register.filter
def whole_percent(value: int) -> str:
    """A whole per cent: 80%."""
    style = style_of(get_language())
    return style.percent.format(number=write_number(value, style))


@register.filter
def share(value: Decimal) -> str:
    """A part of 1 as per cent."""
    return percent(100 * value)


@register.filter
def share_width(value: Decimal) -> str:
    """A part of 1 as the number of a CSS per cent, whatever the language."""
    return f"{100 * min(max(value, Decimal(0)), Decimal(1)):.2f}"


@register.filter
def change(value: Decimal) -> str:
    """A relative change with its sign: +25%; from ten times on as a multiple: ×12."""
    style = style_of(get_language())
    if value >= MULTIPLE_FROM:
        return "×" + write_number((value + 1).quantize(Decimal(1)), style)
    whole = (100 * value).quantize(Decimal(1), ROUND_HALF_UP)
    return ("+" if whole > 0 else "") + style.percent.format(number=write_number(whole, style))


@register.filter
def cost(row: Mapping[str, Any], currency: str) -> SafeString:
    """A row's amount in that currency."""
    return _shown(row[f"cost_{currency}"], currency.upper())


@register.filter
def money(value: Decimal | None, currency: str) -> SafeString:
    return _shown(value, currency.upper())


@register.filter
def plain_money(value: Decimal, currency: str) -> str:
    """An amount without markup, for the chart."""
    return write_amount(Decimal(value), currency.upper(), style_of(get_language()))


@register.filter
def in_unit(value: Decimal, unit: str) -> SafeString:
    """An amount of a budget: USD, RUB, or a count of tokens or calls, without the word."""
    if unit in ("usd", "rub"):
        return _shown(value, unit.upper())
    number = int(value.to_integral_value(ROUND_CEILING))
    return SafeString(f'<span class="costs-amount" title="{grouped(number)}">{compact(number)}</span>')


@register.filter
def with_unit(value: Decimal, unit: str) -> str:
    """An amount of a budget as plain text: $100.00, 2.00 M tokens, 12 calls."""
    if unit in ("usd", "rub"):
        return plain_money(value, unit)
    number = int(value.to_integral_value(ROUND_CEILING))
    if unit == "tokens":
        text = ngettext("%(number)s token", "%(number)s tokens", number)
    else:
        text = ngettext("%(number)s call", "%(number)s calls", number)
    return text % {"number": compact(number)}


@register.filter
def usd(value: Decimal | None) -> SafeString:
    return _shown(value, "USD")


@register.filter
def rub(value: Decimal | None) -> SafeString:
    return _shown(value, "RUB")


@register.filter
def exact_usd(value: Decimal | None) -> str:
    return exact(value, "USD")


@register.filter
def exact_rub(value: Decimal | None) -> str:
    return exact(value, "RUB")


def exact(value: Decimal | None, currency: str) -> str:
    """All digits, or the word “unknown”."""
    return gettext("unknown") if value is None else write_exact_amount(value, currency, style_of(get_language()))


def _shown(value: Decimal | None, currency: str) -> SafeString:
    return amount(value, currency, style_of(get_language()))


def amount(value: Decimal | None, currency: str, style: Style) -> SafeString:
    """The amount, with all digits on hover. An unknown amount is a dash with a label, never a zero."""
    if value is None:
        return format_html(
            '<span class="costs-unknown" title="{word}"><span aria-hidden="true">—</span>'
            '<span class="costs-unseen">{word}</span></span>',
            word=gettext("unknown"),
        )
    exact_, seen = write_exact_amount(value, currency, style), write_amount(value, currency, style)
    return SafeString(f'<span class="costs-amount" title="{exact_}">{seen}</span>')
