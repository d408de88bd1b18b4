"""Spend, errors, unpriced calls and durations of an hour or a day, over any calls, all together or one by one.

The present step and the one before it are looked at: a rule crosses while either does. So late data of the step before
is told too, and what goes on into the next step is one alert.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.cache import cache

from usage_billing import reports
from usage_billing.alerts.readings import Reading, Readings, above, at_least
from usage_billing.models import AlertRule, Organization, UsageRecord
from usage_billing.reports import DURATIONS, FILTERS, TAG, Excluded, Period, figure, measures_of
from usage_billing.reports.anomalies import DEVIATIONS, SCALE, TIMES_USUAL
from usage_billing.tenancy.scope import EVERYTHING, Scope, of_organization

LEARNED_WEEKS = 8
"""Weeks whose same weekday, and hour, tell the usual spend."""
LEAST_WEEKS = 4
"""With fewer weeks in which something was spent there is no usual spend."""
LEAST_CALLS = 5
"""Of fewer calls no share of failures and no percentile is told."""
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)

MEASURES: Mapping[str, tuple[str, ...]] = {
    AlertRule.Kind.SPEND: measures_of("cost_usd"),
    AlertRule.Kind.UNPRICED: measures_of(),
    AlertRule.Kind.ERRORS: measures_of("failed_count"),
    AlertRule.Kind.P95_TIME: ("requests_count", *DURATIONS),
}
"""Kind → the measures of reports that it needs."""

Rows = Mapping[str, Mapping[str, Any]]
"""Key → totals."""


def of_rule(rule: AlertRule, now: datetime) -> Readings:
    """One reading for each value of `rule.by` that has calls; the key is the value, empty without `by`."""
    found: dict[str, Reading] = {}
    for start in _steps(rule, now):  # the earlier one first
        usual = _usual(rule, start) if rule.kind == AlertRule.Kind.SPEND else {}
        for key, row in _rows(rule, start).items():
            reading = _JUDGES[rule.kind](rule, row, usual.get(key))
            if reading is not None and (reading.crosses or key not in found or not found[key].crosses):
                found[key] = reading
    return Readings(found, absent_is_below=True)


def scope_of(rule: AlertRule) -> Scope:
    """The calls that a rule may count: those of its organisation; an installation-wide rule counts all."""
    return EVERYTHING if rule.org is None else of_organization(rule.org.pk, rule.org.timezone)


def filters_of(rule: AlertRule) -> dict[str, Any]:
    """The rule's filters as reports take them, without calls that a budget has stopped.

    Raises `ValueError` for a name that is no filter: reports write the names into SQL.
    """
    for name in (*rule.scope, *([rule.by] if rule.by else [])):
        if name not in FILTERS and not name.startswith(TAG):
            raise ValueError(f"{name!r} is no filter of reports.")
    filters = {name: frozenset(value) if isinstance(value, list) else value for name, value in rule.scope.items()}
    return {"status": Excluded(frozenset([UsageRecord.Status.REFUSED.value])), **filters}


def zone_of(rule: AlertRule) -> ZoneInfo:
    return ZoneInfo(settings.TIME_ZONE) if rule.org is None else rule.org.zone


# ── Steps ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _steps(rule: AlertRule, now: datetime) -> Sequence[datetime]:
    """The beginnings of the step before and of the present one."""
    if rule.step == AlertRule.Step.HOUR:
        hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return (hour - HOUR, hour)
    day = now.astimezone(zone_of(rule)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (day - DAY, day)


def _rows(rule: AlertRule, start: datetime) -> Rows:
    """The totals of the step that begins then: an hour of single calls, or a billing day of the rollups."""
    by, filters, measures = (rule.by,) if rule.by else (), filters_of(rule), MEASURES[rule.kind]
    if rule.step == AlertRule.Step.HOUR:
        rows = reports.totals_between(scope_of(rule), start, start + HOUR, by=by, filters=filters, measures=measures)
    else:
        day = Period(start.date(), start.date() + DAY)
        rows = reports.totals(scope_of(rule), by=by, filters=filters, period=day, measures=measures)
    found = {str(row[rule.by]) if rule.by else "": row for row in rows if row["requests_count"]}
    if rule.by == "org_id":
        closed = Organization.objects.filter(closed_at__isnull=False).values_list("pk", flat=True)
        return {key: row for key, row in found.items() if key not in {str(pk) for pk in closed}}
    return found


# ── The usual spend ──────────────────────────────────────────────────────────────────────────────────────────────


def _usual(rule: AlertRule, start: datetime) -> Mapping[str, Decimal]:
    """Key → the most that is usual in the step: of the same weekday, and hour, of the weeks before.

    That is twice the median, or three deviations above it, whichever is more (`reports.anomalies`).
    """
    # Eight queries, over single calls where it is an hour: they are asked once an hour, not once a minute.
    asked = json.dumps([rule.pk, rule.by, rule.step, rule.scope, start.isoformat()], sort_keys=True)
    name = f"usage_billing:usual:{hashlib.sha256(asked.encode()).hexdigest()}"
    found: Mapping[str, Decimal] | None = cache.get(name)
    if found is None:
        found = _learned(rule, start)
        cache.set(name, found, HOUR.total_seconds())
    return found


def _learned(rule: AlertRule, start: datetime) -> dict[str, Decimal]:
    weeks = [_rows(rule, start - number * WEEK) for number in range(1, LEARNED_WEEKS + 1)]
    costs: dict[str, list[Decimal]] = {}
    for rows in weeks:
        for key, row in rows.items():
            if row["cost_usd"]:
                costs.setdefault(key, []).append(row["cost_usd"])
    return {key: _most(known) for key, known in costs.items() if len(known) >= LEAST_WEEKS}


def _most(costs: Sequence[Decimal]) -> Decimal:
    usual = statistics.median(costs)
    deviation = SCALE * statistics.median([abs(cost - usual) for cost in costs])
    return max(TIMES_USUAL * usual, usual + DEVIATIONS * deviation)


# ── Judging a row ────────────────────────────────────────────────────────────────────────────────────────────────


def _spend(rule: AlertRule, row: Mapping[str, Any], usual: Decimal | None) -> Reading | None:
    """The rule's bound is the least amount that is worth an alert."""
    return None if usual is None else above(row["cost_usd"] or Decimal(0), max(usual, rule.bound))


def _unpriced(rule: AlertRule, row: Mapping[str, Any], _usual: Decimal | None) -> Reading | None:
    return at_least(_percent(row["unpriced_usd_count"], row["requests_count"]), rule.bound)


def _errors(rule: AlertRule, row: Mapping[str, Any], _usual: Decimal | None) -> Reading | None:
    if row["requests_count"] < LEAST_CALLS:
        return None
    return at_least(_percent(row["failed_count"], row["requests_count"]), rule.bound)


def _p95_time(rule: AlertRule, row: Mapping[str, Any], _usual: Decimal | None) -> Reading | None:
    time_ms = figure(row, "p95_time_ms")
    return None if time_ms is None or row["requests_count"] < LEAST_CALLS else above(time_ms, rule.bound)


def _percent(part: int, whole: int) -> Decimal:
    return (Decimal(100 * part) / whole).quantize(Decimal("0.0001"))


_JUDGES: Mapping[str, Callable[[AlertRule, Mapping[str, Any], Decimal | None], Reading | None]] = {
    AlertRule.Kind.SPEND: _spend,
    AlertRule.Kind.UNPRICED: _unpriced,
    AlertRule.Kind.ERRORS: _errors,
    AlertRule.Kind.P95_TIME: _p95_time,
}
