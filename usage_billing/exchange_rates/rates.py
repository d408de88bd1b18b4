"""Reads the USD/RUB exchange rates that apply on billing days."""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal

from usage_billing.models import ExchangeRate

CARRIED_DAYS = 10
"""How many days a rate stays valid: the Bank of Russia's longest pause, the New Year holidays."""


def rates_on(days: Iterable[date]) -> dict[date, Decimal | None]:
    """Return RUB per USD for each day: its rate, or the latest of the `CARRIED_DAYS` before; None if there is none."""
    wanted = set(days)
    if not wanted:
        return {}
    first = min(wanted) - timedelta(days=CARRIED_DAYS)
    known = list(
        ExchangeRate.objects.filter(date__gte=first, date__lte=max(wanted))
        .order_by("-date")
        .values_list("date", "usd_rub")
    )
    return {
        day: next((rate for on, rate in known if timedelta(0) <= day - on <= timedelta(days=CARRIED_DAYS)), None)
        for day in wanted
    }
