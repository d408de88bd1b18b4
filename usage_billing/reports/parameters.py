"""Report parameters: a period of billing days, and filters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from usage_billing.models.archived_usage import OF_CALLS_ONLY
from usage_billing.models.daily_usage import DIMENSIONS

FILTERS = (*DIMENSIONS, *OF_CALLS_ONLY)
"""The columns that a report can be narrowed by. Filters narrow the scope, they never widen it."""


@dataclass(frozen=True)
class Excluded:
    """A filter's value: any but these."""

    values: frozenset[Any]


@dataclass(frozen=True)
class Period:
    """The billing days `since <= day < until`; None is without a bound.

    In an organisation east of the reader it may be tomorrow already: a period up to today has no `until`.
    """

    since: date | None = None
    until: date | None = None

    @classmethod
    def of_days(cls, days: int, today: date) -> Period:
        """The last `days` days, today included."""
        return cls(since=today - timedelta(days=days - 1))

    def before(self, today: date) -> Period | None:
        """The previous period: as long as this one, and ending where it begins. None without a beginning.

        A period without an end is as long as it is today, and at least a day.
        """
        if self.since is None:
            return None
        length = max((self.until or today + timedelta(days=1)) - self.since, timedelta(days=1))
        return Period(self.since - length, self.since)

    def created_at_bounds(self) -> tuple[datetime | None, datetime | None]:
        """Moments that enclose its days in every time zone, for indexes by time."""
        since = None if self.since is None else datetime.combine(self.since, time(), UTC) - LARGEST_ZONE
        until = None if self.until is None else datetime.combine(self.until, time(), UTC) + LARGEST_ZONE
        return since, until

    def last_day(self, today: date) -> date:
        return today if self.until is None else self.until - timedelta(days=1)


ALL_TIME = Period()

LARGEST_ZONE = timedelta(hours=14)
"""How far a billing day's midnight can be from UTC's."""
