"""The totals of a period compared with those of an earlier one, part of a day with the same part of a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from usage_billing.ledger import archived
from usage_billing.models.daily_usage import MEASURES
from usage_billing.reports.calls import archived_before
from usage_billing.reports.durations import DURATIONS
from usage_billing.reports.figures import change, figure, is_new, measures_of
from usage_billing.reports.parameters import Filters, Period
from usage_billing.reports.sql.totals import first_day, sums_of_part_day
from usage_billing.reports.time_series import zone_of
from usage_billing.reports.totals import Totals, completed, total_of, totals_by_day
from usage_billing.tenancy.scope import Scope

ALL_MEASURES = (*MEASURES, *DURATIONS)
HALF_A_DAY = 12


@dataclass(frozen=True)
class Comparison:
    """Totals of a period and of an earlier one, with all measures and `p95_time_ms`.

    `now`: of the whole period. `before`: of the earlier one, None without an earlier period; of its `part_day`, the day
    that corresponds to today, only the calls up to this time of day; None if that day has no calls. `compared`: the
    totals that `before` is compared with: `now`, or `now` without today where the earlier day is archived, so that its
    part is unknown (`leaves_out_today`). `days`: the period's totals by day, which have calls.
    `reaches_back`: whether there is data since the earlier period's first day. Without it nothing is compared.
    `archived_before`: calls of the period before that day are archived; None if none are.
    """

    now: Totals
    before: Totals | None
    compared: Totals
    previous: Period | None
    part_day: date | None
    reaches_back: bool
    leaves_out_today: bool
    days: Mapping[date, Totals] = field(repr=False)
    archived_before: date | None

    def change(self, name: str) -> Decimal | None:
        """How much more a figure is now: 0.25 for a quarter more; None where that cannot be said (`figures.change`)."""
        return change(*self._both(name, self.before)) if self.before is not None and self.reaches_back else None

    def is_new(self, name: str) -> bool:
        """Whether a figure was zero before and is not now."""
        return self.before is not None and self.reaches_back and is_new(*self._both(name, self.before))

    def _both(self, name: str, before: Totals) -> tuple[Any, Any]:
        return figure(self.compared, name), figure(before, name)


def comparison(
    scope: Scope,
    period: Period,
    today: date,
    now: datetime,
    *,
    filters: Filters | None = None,
    previous: Period | None = None,
    figures: Sequence[str] | None = None,
) -> Comparison:
    """Compare a period with the one before it, or with `previous`. Three to five queries; with a tag, up to eight.

    `figures`: those that are compared, if not all of them: fewer measures are read.
    """
    measures = ALL_MEASURES if figures is None else measures_of(*figures)
    earlier = previous or period.before(today)
    of_period, of_earlier = _by_day(scope, period, earlier, filters or {}, measures)
    whole = total_of(of_period.values(), measures)
    months = archived.months()
    before = archived_before(period, months)
    if earlier is None:
        return Comparison(
            now=whole,
            before=None,
            compared=whole,
            previous=None,
            part_day=None,
            reaches_back=False,
            leaves_out_today=False,
            days=of_period,
            archived_before=before,
        )
    part_day = _corresponding(period, earlier, today)
    part_day = part_day if part_day in of_earlier else None
    compared, leaves_out_today = whole, False
    if part_day is not None:
        if archived_before(Period(part_day, part_day + timedelta(days=1)), months):
            leaves_out_today = True
            del of_earlier[part_day]
            compared = total_of((row for day, row in of_period.items() if day < today), measures)
        else:
            of_earlier[part_day] = _part(scope, filters or {}, part_day, of_earlier[part_day], now, measures)
    return Comparison(
        now=whole,
        before=total_of(of_earlier.values(), measures),
        compared=compared,
        previous=earlier,
        part_day=part_day,
        reaches_back=_reaches_back(scope, earlier, of_earlier),
        leaves_out_today=leaves_out_today,
        days=of_period,
        archived_before=before,
    )


def _by_day(
    scope: Scope, period: Period, earlier: Period | None, filters: Filters, measures: Sequence[str]
) -> tuple[dict[date, Totals], dict[date, Totals]]:
    """The totals by day of both periods. One query if one follows the other."""

    def read(of: Period) -> dict[date, Totals]:
        return totals_by_day(scope, of, filters=filters, measures=measures)

    if earlier is None:
        return read(period), {}
    if earlier.until != period.since:
        return read(period), read(earlier)
    rows = read(Period(earlier.since, period.until))
    return _within(rows, period), _within(rows, earlier)


def _within(rows: Mapping[date, Totals], period: Period) -> dict[date, Totals]:
    return {day: row for day, row in rows.items() if period.includes(day)}


def _corresponding(period: Period, earlier: Period, today: date) -> date | None:
    """The earlier day that today is compared with: as far from the period's beginning. None if today is not in it."""
    if period.since is None or earlier.since is None or not period.includes(today):
        return None
    day = earlier.since + (today - period.since)
    return day if earlier.includes(day) else None


def _part(scope: Scope, filters: Filters, day: date, whole: Totals, now: datetime, measures: Sequence[str]) -> Totals:
    """The totals of the earlier day's calls up to this time of day: from the calls before it, or from those after it
    and the whole day, whichever are fewer."""
    local = now.astimezone(zone_of(scope))
    moment = datetime.combine(day, local.time(), local.tzinfo)
    if local.hour < HALF_A_DAY:
        return completed(sums_of_part_day(scope, filters, day, None, moment, measures))
    rest = completed(sums_of_part_day(scope, filters, day, moment, None, measures))
    return completed({name: (whole[name] or 0) - (rest[name] or 0) for name in measures})


def _reaches_back(scope: Scope, earlier: Period, days: Mapping[date, Totals]) -> bool:
    """Whether the scope's data, whatever the filters, begin on the earlier period's first day or before it."""
    if earlier.since is None or earlier.since in days:
        return True
    first = first_day(scope)
    return first is not None and first <= earlier.since
