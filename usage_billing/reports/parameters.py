"""What can be asked: a period of business days, and filters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from usage_billing.models.daily_usage import DIMENSIONS

OF_CALLS_ONLY = ("workflow_id", "content_id")
"""What only single calls know: asked for by these, totals are added up from the calls, found by index."""

FILTERS = (*DIMENSIONS, *OF_CALLS_ONLY)
"""The columns that an answer can be narrowed by. Filters narrow the scope, they never widen it."""


@dataclass(frozen=True)
class Period:
    """The business days `since <= day < until`; None is without a bound.

    An organisation east of the reader may be a day ahead already: a period up to today has no `until`.
    """

    since: date | None = None
    until: date | None = None

    @classmethod
    def of_days(cls, days: int, today: date) -> Period:
        """The last so many days, today included."""
        return cls(since=today - timedelta(days=days - 1))

    def before(self, today: date) -> Period | None:
        """The period of the same length that ended where this one begins; None if this one has no beginning.

        One without an end is as long as it is today, and at least a day.
        """
        if self.since is None:
            return None
        length = max((self.until or today + timedelta(days=1)) - self.since, timedelta(days=1))
        return Period(self.since - length, self.since)

    def moments(self) -> tuple[datetime | None, datetime | None]:
        """Its days lie between these, whichever the zone; they lead into the indexes by time."""
        since = None if self.since is None else datetime.combine(self.since, time(), UTC) - LARGEST_ZONE
        until = None if self.until is None else datetime.combine(self.until, time(), UTC) + LARGEST_ZONE
        return since, until

    def last(self, today: date) -> date:
        """The last day of it."""
        return today if self.until is None else self.until - timedelta(days=1)


ALL_TIME = Period()

LARGEST_ZONE = timedelta(hours=14)
"""How far a business day's midnight can be from UTC's."""
