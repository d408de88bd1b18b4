"""Report parameters: a period of billing days, and filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeAlias

from usage_billing.models.archived_usage import OF_CALLS_ONLY
from usage_billing.models.daily_usage import DIMENSIONS

FILTERS = (*DIMENSIONS, *OF_CALLS_ONLY)
"""The columns that a report can be narrowed by. Filters narrow the scope, they never widen it."""

TAG = "tag."
"""The beginning of the name of a tag, as a filter and as a column to group by: `tag.feature`. Its value is the empty
text for calls without that tag."""

UNPRICED = "unpriced"
"""Filter: calls whose cost in a currency, `usd` or `rub`, is unknown."""

SINGLE_CALL_FILTERS = (UNPRICED, "error_code", "price_source")
"""Filters that only single calls have: totals narrowed by one of them leave archived calls out."""


@dataclass(frozen=True)
class Excluded:
    """A filter's value: any value but these. “No user” and “no workflow” are values too."""

    values: frozenset[Any]


Values: TypeAlias = frozenset[Any] | Excluded
"""The values of a column that filters allow."""

Filters: TypeAlias = Mapping[str, Any]
"""Name → one value, a set of values (any of them), or `Excluded`. The names are those of `FILTERS`, `tag.<key>` and
`SINGLE_CALL_FILTERS`; several filters must all hold."""


def allowed(value: Any) -> Values:
    """The values that a filter's value allows."""
    if isinstance(value, Excluded):
        return value
    return frozenset(value) if isinstance(value, set | frozenset) else frozenset([value])


def both(one: Values, other: Values) -> Values:
    """The values that both allow."""
    if isinstance(one, Excluded):
        return Excluded(one.values | other.values) if isinstance(other, Excluded) else other - one.values
    return one - other.values if isinstance(other, Excluded) else one & other


def narrowed(*filters: Filters) -> dict[str, Any]:
    """Filters that hold where each of these holds."""
    found: dict[str, Any] = {}
    for name, value in (item for each in filters for item in each.items()):
        found[name] = both(allowed(found[name]), allowed(value)) if name in found else value
    return found


def tag_keys(names: Iterable[str]) -> set[str]:
    """The keys of the tags among names of filters and columns."""
    return {name.removeprefix(TAG) for name in names if name.startswith(TAG)}


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

    def includes(self, day: date) -> bool:
        return (self.since is None or self.since <= day) and (self.until is None or day < self.until)


ALL_TIME = Period()

LARGEST_ZONE = timedelta(hours=14)
"""How far a billing day's midnight can be from UTC's."""
