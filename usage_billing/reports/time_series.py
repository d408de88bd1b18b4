"""Totals by hour, day, week or month."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext

from usage_billing.models.daily_usage import MEASURES
from usage_billing.reports.parameters import Filters, Period
from usage_billing.reports.sql.totals import sums
from usage_billing.reports.totals import NO_CALLS, Totals, add, completed
from usage_billing.tenancy.scope import Scope

STEPS: dict[str, Callable[[date], date]] = {
    "day": lambda day: day,
    "week": lambda day: day - timedelta(days=day.weekday()),
    "month": lambda day: day.replace(day=1),
}
"""Step → function from a day to the first day of its step; a week begins on Monday."""
HOUR = "hour"
ALL_STEPS = (HOUR, *STEPS)
LONGEST_BY_HOUR = 7
"""Days that a time series by hour may have: it is added up from the calls of these days."""


class PeriodTooLongError(Exception):
    """A time series by hour of too many days. The text is for the person who asked for it."""


def time_series(
    scope: Scope,
    period: Period,
    today: date,
    *,
    step: str = "day",
    filters: Filters | None = None,
    measures: Sequence[str] = MEASURES,
    now: datetime | None = None,
    days: Iterable[Totals] | None = None,
) -> list[Totals]:
    """One row an hour, day, week or month, the oldest first, without gaps. One query; with a tag, two.

    `days`: the period's totals by `usage_date`, if the caller has them; then there is no query.

    `date` is the step's first day, or the moment at which the hour begins, in the scope's time zone. The first and the
    last week or month count only their days in the period. By hour, archived calls are left out (`archived_before`),
    hours after `now` are too, and a period of more than `LONGEST_BY_HOUR` days raises `PeriodTooLongError`.
    """
    column = check_step(step, period, today)
    found = list(days) if days is not None else None
    if found is None or step == HOUR:
        found = sums(scope, [column], filters or {}, period, measures)
    begins = beginning(step, scope)
    known = [begins(row[column]) for row in found]
    steps = _hours(known, period, today, now, zone_of(scope)) if step == HOUR else _days(begins, found, period, today)
    rows = {start: {name: NO_CALLS[name] for name in measures} for start in steps}
    for start, row in zip(known, found, strict=True):
        add(rows[start], row)
    return [completed({"date": start, **row}) for start, row in sorted(rows.items())]


def check_step(step: str, period: Period, today: date) -> str:
    """Return the column to group by. Raises `PeriodTooLongError`."""
    if step != HOUR:
        return "usage_date"
    if period.since is None or (period.last_day(today) - period.since).days >= LONGEST_BY_HOUR:
        text = gettext("At most %(days)d days can be shown by hour. Choose fewer days, or a step of a day.")
        raise PeriodTooLongError(text % {"days": LONGEST_BY_HOUR})
    return HOUR


def beginning(step: str, scope: Scope) -> Callable[[Any], Any]:
    """Return the function from a day or an hour to the beginning of its step."""
    if step != HOUR:
        return STEPS[step]
    zone = zone_of(scope)
    return lambda hour: hour.astimezone(zone)


def zone_of(scope: Scope) -> ZoneInfo:
    return ZoneInfo(scope.zone or settings.TIME_ZONE)


def _days(first: Callable[[date], date], days: list[Totals], period: Period, today: date) -> Iterator[date]:
    """The first day of each step. A day after today is included if an organisation in the east has calls on it."""
    known = [row["usage_date"] for row in days]
    day = min([*known, today]) if period.since is None else period.since
    last = max([*known, period.last_day(today)])
    while day <= last:
        yield first(day)
        day += timedelta(days=1)


def _hours(
    known: list[datetime], period: Period, today: date, now: datetime | None, zone: ZoneInfo
) -> Iterator[datetime]:
    """The hours of the days in the zone, and those of calls that an organisation elsewhere counts to these days."""
    since = period.since or today
    until = period.last_day(today) + timedelta(days=1)
    first, last = (_utc_hour(datetime.combine(day, time(), zone)) for day in (since, until))
    last -= timedelta(hours=1)
    if now is not None:
        last = min(last, _utc_hour(now))
    hour = min([first, *known])
    while hour <= max([last, *known]):
        yield hour.astimezone(zone)
        hour += timedelta(hours=1)


def _utc_hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
