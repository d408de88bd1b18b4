"""Which week was the last full one."""

from datetime import UTC, date, datetime

import pytest

from ai_clients.assistants.digest.week import Week, last_full_week
from usage_billing.models import Organization


@pytest.mark.parametrize(
    ("zone", "now", "monday"),
    [
        ("Europe/Moscow", datetime(2026, 11, 22, 20, 59, tzinfo=UTC), date(2026, 11, 9)),  # Sunday, a minute to go
        ("Europe/Moscow", datetime(2026, 11, 22, 21, 0, tzinfo=UTC), date(2026, 11, 16)),  # Monday has begun
        ("America/New_York", datetime(2026, 11, 22, 21, 0, tzinfo=UTC), date(2026, 11, 9)),
        ("Pacific/Kiritimati", datetime(2026, 11, 22, 10, 0, tzinfo=UTC), date(2026, 11, 16)),
        (
            "Europe/Berlin",
            datetime(2026, 10, 26, 0, 0, tzinfo=UTC),
            date(2026, 10, 19),
        ),  # the clock went back on Sunday
        ("UTC", datetime(2027, 1, 3, 12, 0, tzinfo=UTC), date(2026, 12, 21)),
    ],
)
def test_week_ends_in_the_organisations_own_zone(zone: str, now: datetime, monday: date) -> None:
    assert last_full_week(Organization(timezone=zone), now) == Week(monday)


def test_a_week_is_seven_days_from_monday() -> None:
    week = Week(date(2026, 12, 28))
    assert (week.sunday, week.until, week.before.monday) == (date(2027, 1, 3), date(2027, 1, 4), date(2026, 12, 21))
    assert [day.weekday() for day in week.days] == list(range(7))
