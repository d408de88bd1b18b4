"""The week of a digest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from usage_billing.models import Organization


@dataclass(frozen=True, order=True)
class Week:
    """Billing days of an organisation, Monday to Sunday: `monday <= day < until`."""

    monday: date

    @property
    def until(self) -> date:
        return self.monday + timedelta(days=7)

    @property
    def sunday(self) -> date:
        return self.monday + timedelta(days=6)

    @property
    def days(self) -> list[date]:
        return [self.monday + timedelta(days=number) for number in range(7)]

    @property
    def before(self) -> Week:
        return Week(self.monday - timedelta(days=7))


def last_full_week(org: Organization, now: datetime) -> Week:
    """The last week that has ended in the organisation's own time zone."""
    today = now.astimezone(org.zone).date()
    return Week(today - timedelta(days=today.weekday() + 7))
