"""The expected cost of this month."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
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
    learned = _learned_days(rows, today)
    left = [today + timedelta(days=n) for n in range(_days_of(first) - today.day + 1)]
    so_far = {each: _sum(rows, each, first, None) for each in CURRENCIES}
    to_come = {each: _to_come(rows, each, today, left, learned) if learned else {} for each in CURRENCIES}
    return Forecast(
        so_far=so_far,
        expected={each: sum(to_come[each].values(), so_far[each]) for each in CURRENCIES} if learned else None,
        month_before={each: _sum(rows, each, month_before, first) for each in CURRENCIES},
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


def _learned_days(rows: Mapping[date, Totals], today: date) -> int:
    """How many whole days before today have passed since the first call; at most `LEARNED_DAYS`."""
    earlier = [day for day in rows if day < today]
    return min(LEARNED_DAYS, (today - min(earlier)).days) if earlier else 0


def _to_come(
    rows: Mapping[date, Totals], currency: str, today: date, left: list[date], learned: int
) -> dict[date, Decimal]:
    costs = {day: rows[day][f"cost_{currency}"] or Decimal(0) for day in rows}
    known = [today - timedelta(days=n) for n in range(1, learned + 1)]

    def expected(day: date) -> Decimal:
        alike = [each for each in known if each.weekday() == day.weekday()] if learned == LEARNED_DAYS else known
        return sum((costs.get(each, Decimal(0)) for each in alike), Decimal(0)) / len(alike)

    return {day: max(Decimal(0), expected(day) - costs.get(day, Decimal(0))) for day in left}


def _sum(rows: Mapping[date, Totals], currency: str, since: date, until: date | None) -> Decimal:
    amounts = (row[f"cost_{currency}"] for day, row in rows.items() if since <= day and (until is None or day < until))
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def _days_of(month: date) -> int:
    return calendar.monthrange(month.year, month.month)[1]
