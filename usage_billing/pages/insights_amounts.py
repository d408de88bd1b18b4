"""The currency of amounts that are worked out from the price list, which is in USD."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import get_language, gettext

from usage_billing.reports.totals import Totals
from usage_billing.templatetags.amounts import style_of, write_number


@dataclass(frozen=True)
class Shown:
    """The currency that such amounts are shown in, USD × rate. note: where they are not simply in USD, why."""

    currency: str = "usd"
    rate: Decimal = Decimal(1)
    note: str = ""

    def of(self, usd: Decimal | None) -> Decimal | None:
        return None if usd is None else usd * self.rate


def shown(total: Totals, currency: str) -> Shown:
    """In RUB, the rate is the average of the selected calls, each of which keeps its own rate.

    So the shown part of a cost fits the cost itself. Where calls lack a rate, there is no such average.
    """
    if currency == "usd":
        return Shown()
    has_rates = total["unpriced_rub_count"] == total["unpriced_usd_count"]
    if not (has_rates and total["cost_usd"] and total["cost_rub"]):
        return Shown(note=gettext("In USD: not all of these calls have an exchange rate."))
    rate = total["cost_rub"] / total["cost_usd"]
    written = write_number(rate.quantize(Decimal("0.01")), style_of(get_language()))
    note = gettext("In RUB at %(rate)s for a dollar, the average rate of these calls.") % {"rate": written}
    return Shown("rub", rate, note)
