"""The expected cost of this month."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from usage_billing.reports.anomalies import LEARNED_DAYS
from usage_billing.reports.parameters import Filters, Period
from usage_billing.reports.totals import Totals, totals_by_day
from usage_billing.tenancy.scope import Scope

CURRENCIES = ("usd", "rub")


@dataclass(frozen=True)
class Forecast:
    """Known costs by currency (`usd`, `rub`). `expected` is None, `learned_days` 0 without a whole day of history.

    `to_come`: what each day from today to the end of the month is still expected to cost.
    """

    so_far: dict[str, Decimal]
    expected: dict[str, Decimal] | None
    month_before: dict[str, Decimal]
    learned_days: int
    unpriced_count: int
    to_come: dict[str, dict[date, Decimal]]


def forecast(
    scope: Scope, today: date, *, filters: Filters | None = None, days: Mapping[date, Totals] | None = None
) -> Forecast:
    """The month so far, plus the average of its weekday in the 28 days before today for each day left. One query.

    `days`: the totals by day since `learned_since(today)` or longer, if the caller has them; then there is no query.

    Today counts what it lacks to that average. With less than 28 days of history each day counts the average of the
    days since the first call.
    """
    first, month_before = today.replace(day=1), _month_before(today)
    rows = totals_by_day(scope, Period(learned_since(today)), filters=filters) if days is None else days
    learned = learned_days(rows, today)
    left = days_left(today, first + timedelta(days=_days_of(first)))
    amounts = {each: {day: row[f"cost_{each}"] or Decimal(0) for day, row in rows.items()} for each in CURRENCIES}
    so_far = {each: _sum(amounts[each], first, None) for each in CURRENCIES}
    to_come = {each: expected_by_day(amounts[each], today, left, learned) if learned else {} for each in CURRENCIES}
    return Forecast(
        so_far=so_far,
        expected={each: sum(to_come[each].values(), so_far[each]) for each in CURRENCIES} if learned else None,
        month_before={each: _sum(amounts[each], month_before, first) for each in CURRENCIES},
        learned_days=learned,
        unpriced_count=sum(row["unpriced_usd_count"] for day, row in rows.items() if day >= first),
        to_come=to_come,
    )


def learned_since(today: date) -> date:
    """The first day that the forecast looks at."""
    return min(_month_before(today), today - timedelta(days=LEARNED_DAYS))


def _month_before(today: date) -> date:
    """The first day of the month before."""
    return (today.replace(day=1) - timedelta(days=1)).replace(day=1)


def _sum(amounts: Mapping[date, Decimal], since: date, until: date | None) -> Decimal:
    within = (amount for day, amount in amounts.items() if since <= day and (until is None or day < until))
    return sum(within, Decimal(0))


def _days_of(month: date) -> int:
    return calendar.monthrange(month.year, month.month)[1]


# ── For any measure and any days: budgets count tokens and calls as well ────────────────────────────────────────────


def learned_days(days: Iterable[date], today: date) -> int:
    """How many whole days before today have passed since the first of these days; at most `LEARNED_DAYS`."""
    first = min((day for day in days if day < today), default=today)
    return min(LEARNED_DAYS, (today - first).days)


def days_left(today: date, end: date) -> list[date]:
    """The days from today to the one before `end`."""
    return [today + timedelta(days=n) for n in range((end - today).days)]


def usual(amounts: Mapping[date, Decimal], today: date, learned: int, weekday: int | None = None) -> Decimal:
    """The average of the last `learned` days before today; of one weekday if there are `LEARNED_DAYS` of them.

    Days without an amount count as zero.
    """
    known = [today - timedelta(days=n) for n in range(1, learned + 1)]
    if weekday is not None and learned == LEARNED_DAYS:
        known = [day for day in known if day.weekday() == weekday]
    return sum((amounts.get(day, Decimal(0)) for day in known), Decimal(0)) / len(known)


def expected_by_day(
    amounts: Mapping[date, Decimal], today: date, left: Iterable[date], learned: int
) -> dict[date, Decimal]:
    """What each of the days left is still expected to add: its usual amount, less what it has already."""
    days = list(left)
    expected = {weekday: usual(amounts, today, learned, weekday) for weekday in {day.weekday() for day in days}}
    return {day: max(Decimal(0), expected[day.weekday()] - amounts.get(day, Decimal(0))) for day in days}
