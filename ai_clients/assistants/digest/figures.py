"""The figures of an organisation's week beside the week before. `reports` alone adds them up."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from django.utils import timezone

from ai_clients.assistants.digest.week import Week, last_full_week
from usage_billing import reports
from usage_billing.models import Organization, user_keys
from usage_billing.reports import Period
from usage_billing.tenancy.scope import Scope, of_organization, within

REQUEST_TYPE = "weekly_digest"
"""The request type of the digest's own calls."""

Currency = Literal["usd", "rub"]


@dataclass(frozen=True)
class Totals:
    """Sums over some calls. Amounts leave out the `unpriced_…` calls; None if no cost is known."""

    requests_count: int = 0
    failed_count: int = 0
    total_tokens: int = 0
    cost_usd: Decimal | None = Decimal(0)
    cost_rub: Decimal | None = Decimal(0)
    unpriced_usd_count: int = 0
    unpriced_rub_count: int = 0

    def cost(self, currency: Currency) -> Decimal | None:
        return self.cost_usd if currency == "usd" else self.cost_rub


@dataclass(frozen=True)
class Line:
    """The calls of one kind in both weeks; `name` is empty for calls without one."""

    name: str
    now: Totals
    before: Totals


@dataclass(frozen=True)
class WeeklyDigest:
    """An organisation's week: totals, by day (Monday first) and by kind (most expensive first)."""

    org: Organization
    week: Week
    now: Totals
    before: Totals
    by_day: list[Totals]
    by_day_before: list[Totals]
    by_request_type: list[Line]
    by_agent: list[Line]
    by_model: list[Line]
    by_user: list[Line]

    @property
    def is_quiet(self) -> bool:
        """Whether neither week has calls, apart from those of the digests themselves."""
        return not any(
            line.now.requests_count or line.before.requests_count
            for line in self.by_request_type
            if line.name != REQUEST_TYPE
        )


def weekly_digest_data(org: Organization, week: Week | None = None) -> WeeklyDigest:
    """Cost and activity of the organisation's week, by default the last full one, and of the week before it."""
    week = week or last_full_week(org, timezone.now())
    with within(of_organization(org.pk)) as scope:
        return WeeklyDigest(
            org=org,
            week=week,
            now=_total(scope, week),
            before=_total(scope, week.before),
            by_day=_by_day(scope, week),
            by_day_before=_by_day(scope, week.before),
            by_request_type=_lines(scope, week, "request_type"),
            by_agent=_lines(scope, week, "agent_id"),
            by_model=_lines(scope, week, "ai_model"),
            by_user=_by_user(scope, week),
        )


def _total(scope: Scope, week: Week) -> Totals:
    return _read(reports.totals(scope, period=Period(week.monday, week.until))[0])


def _by_day(scope: Scope, week: Week) -> list[Totals]:
    rows = reports.totals(scope, by=["usage_date"], period=Period(week.monday, week.until))
    known: dict[date, Totals] = {row["usage_date"]: _read(row) for row in rows}
    return [known.get(day, Totals()) for day in week.days]


def _lines(scope: Scope, week: Week, dimension: str) -> list[Line]:
    """One line for each value of the dimension in either week."""

    def by_name(of: Week) -> dict[Any, Totals]:
        rows = reports.totals(scope, by=[dimension], period=Period(of.monday, of.until))
        return {row[dimension]: _read(row) for row in rows}

    now, before = by_name(week), by_name(week.before)
    lines = [
        Line(str(name), now.get(name, Totals()), before.get(name, Totals())) for name in now.keys() | before.keys()
    ]
    return sorted(lines, key=lambda line: (-(line.now.cost_usd or 0), -line.now.requests_count, line.name))


def _by_user(scope: Scope, week: Week) -> list[Line]:
    """A user whose name is not known is named by id; calls of jobs have no name."""
    lines = _lines(scope, week, "user_id")
    keys = {line.name: user_keys.parse(line.name) for line in lines}
    names = reports.user_names(keys.values())

    def name(line: Line) -> str:
        key = keys[line.name]
        return names.get(key, f"#{line.name}") if user_keys.is_user(key) else ""

    return [Line(name(line), line.now, line.before) for line in lines]


def _read(row: dict[str, Any]) -> Totals:
    """A row of `reports`."""
    return Totals(**{field.name: row[field.name] for field in fields(Totals)})
