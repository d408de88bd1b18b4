"""Recording and prices, for superadmins: outbox, exchange rate and price list, whatever the page's filters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from usage_billing import reports
from usage_billing.costing import price_list
from usage_billing.exchange_rates.rates import CARRIED_DAYS
from usage_billing.models import ExchangeRate
from usage_billing.pages import recorder_state
from usage_billing.pages.insights_failures import LISTED, WITHOUT_PRICE, add_price_links
from usage_billing.pages.page import Page
from usage_billing.pages.recorder_state import RecorderState
from usage_billing.reports import Period
from usage_billing.tenancy.scope import EVERYTHING

RATE_IS_LATE_AFTER_DAYS = 5
"""The Bank of Russia publishes on working days; no weekend lasts five days."""
PRICES_ARE_OLD_AFTER_DAYS = 45
"""The providers publish new models about once a month."""
LOOKED_AT_DAYS = 30
"""Models without a price are looked for in so many days."""


@dataclass(frozen=True)
class Recording:
    """waiting_since: when the oldest event in the outbox was recorded. rate_date: the newest exchange rate's day.

    prices_date: when the price list was published, None where only its package's version is known. models: those
    without a price, each with the address to add one, if the admin is installed; more: how many are not named.
    """

    state: RecorderState
    waiting_since: datetime | None
    rate_date: date | None
    rate_age: int | None
    price_list: str
    prices_date: date | None
    prices_age: int | None
    models: list[str]
    price_links: list[tuple[str, str]]
    more: int

    @property
    def rate_is_late(self) -> bool:
        return self.rate_age is None or self.rate_age > RATE_IS_LATE_AFTER_DAYS

    @property
    def rate_is_missing(self) -> bool:
        return self.rate_age is None or self.rate_age > CARRIED_DAYS

    @property
    def prices_are_old(self) -> bool:
        return self.prices_age is not None and self.prices_age > PRICES_ARE_OLD_AFTER_DAYS

    @property
    def is_well(self) -> bool:
        return self.state.kind == "good" and not (self.rate_is_late or self.prices_are_old or self.models)


def section(page: Page) -> Recording:
    """Two queries."""
    state = recorder_state.of_now()
    newest_rate = ExchangeRate.objects.order_by("-date").values_list("date", flat=True).first()
    snapshot = price_list.get_snapshot()
    published = price_list.day_of(snapshot)
    models = _models_without_price(page.today)
    return Recording(
        state=state,
        waiting_since=None if state.oldest_at is None else datetime.fromtimestamp(state.oldest_at, UTC),
        rate_date=newest_rate,
        rate_age=None if newest_rate is None else (page.today - newest_rate).days,
        price_list=price_list.name_of(snapshot),
        prices_date=published,
        prices_age=None if published is None else (page.today - published).days,
        models=[name or "—" for _, name in models[:LISTED]],
        price_links=add_price_links(models[:LISTED]),
        more=max(0, len(models) - LISTED),
    )


def _models_without_price(today: date) -> list[tuple[str, str]]:
    """(provider, model), those with most calls first. One query over the newest failed and unpriced calls."""
    sources = {f"unpriced:{reason}" for reason in WITHOUT_PRICE}
    found = reports.failures(EVERYTHING, Period.of_days(LOOKED_AT_DAYS, today), filters={"price_source": sources})
    return list(dict.fromkeys((each.ai_provider, each.ai_model) for each in found.groups))
