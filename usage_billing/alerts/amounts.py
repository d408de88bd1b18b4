"""Numbers of messages in the reader's language, as the pages write them (`templatetags.amounts`, a layer above)."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from django.utils.translation import get_language, gettext, ngettext

from usage_billing.models import Budget

NBSP = "\u00a0"
SYMBOLS = {Budget.Unit.USD.value: "$", Budget.Unit.RUB.value: "₽"}
PERCENT, MILLISECONDS, EVENTS, HOURS = "percent", "ms", "events", "hours"
"""Units besides those of budgets."""
CENT = Decimal("0.01")
SMALL = Decimal("0.1")
DIGITS_OF_SMALL = 3


def written(value: Decimal, unit: str) -> str:
    """$1,234.50; 81.3%; 1,200 tokens; 4.2 s."""
    if unit in SYMBOLS:
        number = _number(_money(value))
        return f"{number}{NBSP}{SYMBOLS[unit]}" if _is_russian() else f"{SYMBOLS[unit]}{number}"
    if unit == PERCENT:
        return f"{_number(_rounded(value, 1))}{NBSP if _is_russian() else ''}%"
    if unit == MILLISECONDS:
        # Translators: the short word for seconds, after a number
        return f"{_number(_rounded(value / 1000, 2))}{NBSP}{gettext('s')}"
    whole = int(value.to_integral_value(ROUND_HALF_UP))
    return _counted(unit, whole) % {"number": _number(Decimal(whole))}


def _counted(unit: str, whole: int) -> str:
    match unit:
        case Budget.Unit.TOKENS:
            return ngettext("%(number)s token", "%(number)s tokens", whole)
        case Budget.Unit.CALLS:
            return ngettext("%(number)s call", "%(number)s calls", whole)
        case "hours":
            return ngettext("%(number)s hour", "%(number)s hours", whole)
        case _:
            return ngettext("%(number)s event", "%(number)s events", whole)


def _is_russian() -> bool:
    return (get_language() or "").startswith("ru")


def _number(value: Decimal) -> str:
    text = f"{value:,f}"
    return text.replace(",", NBSP).replace(".", ",") if _is_russian() else text


def _rounded(value: Decimal, places: int) -> Decimal:
    """At most so many decimals, without zeros at the end."""
    rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return Decimal(f"{rounded.normalize():f}")


def _money(value: Decimal) -> Decimal:
    """Two decimals from 0.10 up, three significant digits below, without zeros beyond the second decimal."""
    if not value or abs(value) >= SMALL:
        return value.quantize(CENT, ROUND_HALF_UP) if value else Decimal(0)
    rounded = value.quantize(Decimal(1).scaleb(value.adjusted() + 1 - DIGITS_OF_SMALL), ROUND_HALF_UP)
    trimmed = Decimal(f"{rounded.normalize():f}")
    return trimmed if trimmed != trimmed.quantize(CENT) else trimmed.quantize(CENT)
