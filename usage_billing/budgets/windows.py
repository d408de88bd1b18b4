"""The days that a budget counts: a day, week, month or everything, by the billing days of its organisation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from usage_billing.models import Budget


@dataclass(frozen=True)
class Window:
    """Billing days `first <= day < end`; `end` is None for a total."""

    first: date
    end: date | None

    def resets_at(self, zone: ZoneInfo) -> datetime | None:
        """The moment at which the next window begins; None if none does."""
        return None if self.end is None else datetime.combine(self.end, time(), zone)

    def span(self, zone: ZoneInfo) -> tuple[float, float]:
        """The moments at which it begins and ends, in epoch seconds; infinity for no end."""
        began, ends = datetime.combine(self.first, time(), zone), self.resets_at(zone)
        return began.timestamp(), math.inf if ends is None else ends.timestamp()


class Windowed(Protocol):
    """A budget, or what is known of it before a call."""

    @property
    def window(self) -> str: ...
    @property
    def starts_on(self) -> date: ...


def window_of(budget: Windowed, day: date) -> Window:
    """The window that the day is in. Weeks begin on Monday; a total begins on `starts_on`."""
    match budget.window:
        case Budget.Window.DAY:
            return Window(day, day + timedelta(days=1))
        case Budget.Window.WEEK:
            monday = day - timedelta(days=day.weekday())
            return Window(monday, monday + timedelta(days=7))
        case Budget.Window.MONTH:
            first = day.replace(day=1)
            return Window(first, (first + timedelta(days=31)).replace(day=1))
        case _:
            return Window(budget.starts_on, None)
