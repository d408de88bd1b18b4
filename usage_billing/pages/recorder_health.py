"""The state of recording, pricing and conversion, which superadmins see at the foot of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from usage_billing import recording
from usage_billing.costing import price_list
from usage_billing.exchange_rates.rates import CARRIED_DAYS
from usage_billing.models import ExchangeRate
from usage_billing.recording.outbox import Backlog
from usage_billing.reports import FailureGroup

RATE_IS_LATE_AFTER_DAYS = 5
"""The Bank of Russia publishes on working days; no weekend lasts five days."""
LATE_AFTER_MINUTES = 10
"""An event that waits longer means that nothing drains the outbox."""


@dataclass(frozen=True)
class RecorderHealth:
    """`waiting_since`: when the oldest event in the outbox was recorded. `rate_date`: the newest exchange rate's day.

    `unknown_models`: names of models that the price list does not have.
    """

    backlog: Backlog | None
    waiting_since: datetime | None
    now: datetime
    lost: int
    error: str
    rate_date: date | None
    rate_is_late: bool
    rate_is_missing: bool
    price_list: str
    unknown_models: str

    @property
    def waits_long(self) -> bool:
        return self.waiting_since is not None and (self.now - self.waiting_since).total_seconds() > (
            60 * LATE_AFTER_MINUTES
        )

    @property
    def is_well(self) -> bool:
        return self.backlog is not None and not (
            self.error
            or self.lost
            or self.backlog.rejected
            or self.waits_long
            or self.rate_is_late
            or self.unknown_models
        )


def recorder_health(now: datetime, today: date, failures: Sequence[FailureGroup]) -> RecorderHealth:
    """The present state; `failures` of the page's period tell which models have no price. One query."""
    newest_rate = ExchangeRate.objects.order_by("-date").values_list("date", flat=True).first()
    health = recording.health()
    oldest_at = health.backlog.oldest_at if health.backlog else None
    age = None if newest_rate is None else (today - newest_rate).days
    return RecorderHealth(
        backlog=health.backlog,
        waiting_since=datetime.fromtimestamp(oldest_at, UTC) if oldest_at is not None else None,
        now=now,
        lost=health.lost,
        error=health.error,
        rate_date=newest_rate,
        rate_is_late=age is None or age > RATE_IS_LATE_AFTER_DAYS,
        rate_is_missing=age is None or age > CARRIED_DAYS,
        price_list=price_list.name_of(price_list.get_snapshot()),
        unknown_models=", ".join(sorted({each.ai_model for each in failures if each.reason == "unknown-model"})),
    )
