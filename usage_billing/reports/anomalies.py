"""Days that cost far more than the days around them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from usage_billing.reports.parameters import ALL_TIME, Filters, Period
from usage_billing.reports.totals import COST_MEASURES, Totals, totals, totals_by_day
from usage_billing.tenancy.scope import Scope

LEARNED_DAYS = 28
"""Days that tell the usual cost: four of each weekday, because weekends cost less than working days."""
LOOKED_AT_DAYS = 90
"""Of a longer period only its last days are looked at: what was usual a year ago is not today."""
LEAST_DAYS = 7
"""With fewer days there is no usual cost."""
TIMES_USUAL = 2
DEVIATIONS = 3
SCALE = Decimal("1.4826")
"""Turns a median deviation into a standard one (Rousseeuw and Croux 1993)."""


@dataclass(frozen=True)
class Anomaly:
    """A day, its known USD, the median day's USD, and the ratio of the two. row: the day's totals."""

    day: date
    cost_usd: Decimal
    usual_usd: Decimal
    times: Decimal
    row: Totals

    @property
    def excess_usd(self) -> Decimal:
        return self.cost_usd - self.usual_usd


def learned_period(period: Period, today: date) -> Period:
    """The days of a period that are looked at: its last `LOOKED_AT_DAYS`, and so many more that they are at least
    `LEARNED_DAYS`."""
    last = min(period.last_day(today), today)
    longest, shortest = (last - timedelta(days=days - 1) for days in (LOOKED_AT_DAYS, LEARNED_DAYS))
    return Period(max(longest, min(period.since or longest, shortest)), period.until)


def learned_days(
    scope: Scope,
    period: Period,
    today: date,
    *,
    filters: Filters | None = None,
    known: Mapping[date, Totals] | None = None,
) -> list[Totals]:
    """The totals of each day of the `learned_period`, with `date`. One query; none if they are among `known`, the
    totals of the period's days.
    """
    learned = learned_period(period, today)
    if known is None or learned.since is None or (period.since is not None and learned.since < period.since):
        known = totals_by_day(scope, learned, filters=filters)
    return [{**row, "date": day} for day, row in known.items() if learned.includes(day)]


def anomalies(days: Sequence[Totals], most: int | None = 3, period: Period = ALL_TIME) -> list[Anomaly]:
    """The days of a time series by day that cost at least twice the median and lie three deviations above it.

    The most expensive first; days outside the period only tell what is usual. The deviation is the median absolute
    deviation, which a single expensive day does not move. Days without a cost do not count.
    """
    costs = [row["cost_usd"] for row in days if row["cost_usd"]]
    if len(costs) < LEAST_DAYS:
        return []
    usual = statistics.median(costs)
    deviation = SCALE * statistics.median([abs(cost - usual) for cost in costs])
    bound = max(TIMES_USUAL * usual, usual + DEVIATIONS * deviation)
    found = [
        Anomaly(row["date"], row["cost_usd"], usual, row["cost_usd"] / usual, row)
        for row in days
        if row["cost_usd"] and row["cost_usd"] > bound and period.includes(row["date"])
    ]
    return sorted(found, key=lambda each: each.cost_usd, reverse=True)[:most]


def anomalies_by(
    scope: Scope,
    by: Sequence[str],
    keys: Sequence[tuple[Any, ...]],
    period: Period,
    *,
    today: date,
    filters: Filters | None = None,
) -> list[tuple[tuple[Any, ...], Anomaly]]:
    """The anomalies of each of these keys, which are values of the columns `by`, in the period. One query."""
    narrowed = {**(filters or {}), **{name: {key[n] for key in keys} for n, name in enumerate(by)}}
    days: dict[tuple[Any, ...], list[Totals]] = {key: [] for key in keys}
    learned = learned_period(period, today)
    for row in totals(scope, by=["usage_date", *by], filters=narrowed, period=learned, measures=COST_MEASURES):
        key = tuple(row[name] for name in by)
        if key in days:
            days[key].append({**row, "date": row["usage_date"]})
    return [(key, anomaly) for key, rows in days.items() for anomaly in anomalies(rows, None, period)]
