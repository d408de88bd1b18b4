"""Saves the Bank of Russia's rates, without overwriting rates entered by hand and without implausible jumps."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from usage_billing.models import ExchangeRate
from usage_billing.models.database import atomic

logger = logging.getLogger(__name__)

LARGEST_JUMP = Decimal("0.5")
"""Largest accepted distance from the last known rate, as a share of that rate."""
PLAUSIBLE = (Decimal(1), Decimal(10_000))
"""Accepted range, RUB per USD, while no rate is known to compare with."""

_Source = ExchangeRate.Source


class RateJumpError(Exception):
    """Raised for a rate too far from the known ones. The message is a sentence."""


class Saved(NamedTuple):
    rates: dict[date, Decimal]
    """The rates that were written."""
    by_hand: int
    """Days that keep a rate entered by hand."""


def save(rates: Mapping[date, Decimal], *, accept_jumps: bool = False) -> Saved:
    """Write the bank's rates in one transaction. Raises `RateJumpError`, having written none.

    A rate entered by hand stays. A demonstration's rate, or the bank's earlier rate, is replaced; the latter is logged.
    Usage records keep the rate that they were converted with.
    """
    if not rates:
        return Saved({}, 0)
    with atomic():
        if not accept_jumps:
            _refuse_jumps(rates)
        days = ExchangeRate.objects.filter(date__gte=min(rates), date__lte=max(rates)).order_by("date")
        existing = {row.date: row for row in days.select_for_update()}
        replaced = [row for day, row in existing.items() if day in rates and _is_replaced(row, rates[day])]
        for row in replaced:
            if row.source == _Source.CBR:
                old, rate = row.usd_rub, rates[row.date]
                logger.warning("The Bank of Russia changed its rate of %s from %s to %s.", row.date, old, rate)
            row.usd_rub, row.source = rates[row.date], _Source.CBR
        new = [ExchangeRate(date=day, usd_rub=rates[day], source=_Source.CBR) for day in rates if day not in existing]
        # A rate that somebody enters by hand at this moment stays.
        ExchangeRate.objects.bulk_create(new, ignore_conflicts=True)
        ExchangeRate.objects.bulk_update(replaced, ["usd_rub", "source"])
    written = {row.date: row.usd_rub for row in (*new, *replaced)}
    by_hand = sum(row.source == _Source.MANUAL for day, row in existing.items() if day in rates)
    return Saved(dict(sorted(written.items())), by_hand)


def _is_replaced(row: ExchangeRate, rate: Decimal) -> bool:
    return row.source == _Source.DEMO or (row.source == _Source.CBR and row.usd_rub != rate)


def _refuse_jumps(rates: Mapping[date, Decimal]) -> None:
    """Compare each rate with the known one and the new one before it. Raises `RateJumpError`."""
    known = list(ExchangeRate.objects.exclude(source=_Source.DEMO).order_by("date").values_list("date", "usd_rub"))
    previous: tuple[date, Decimal] | None = None
    for day, rate in sorted(rates.items()):
        compared = [each for each in (_nearest(known, day), previous) if each is not None]
        for on, other in compared:
            if abs(rate - other) > other * LARGEST_JUMP:
                raise RateJumpError(
                    f"{rate.normalize():f} RUB per USD on {day} is more than {LARGEST_JUMP:.0%} away from "
                    f"{other.normalize():f} on {on}."
                )
        if not compared and not PLAUSIBLE[0] <= rate <= PLAUSIBLE[1]:
            raise RateJumpError(
                f"{rate.normalize():f} RUB per USD on {day} is not between {PLAUSIBLE[0]} and {PLAUSIBLE[1]}."
            )
        previous = day, rate


def _nearest(known: Sequence[tuple[date, Decimal]], day: date) -> tuple[date, Decimal] | None:
    """Return the last known rate on the day or before it, or else the first known rate."""
    if not known:
        return None
    return known[max(0, bisect_right(known, day, key=lambda each: each[0]) - 1)]
