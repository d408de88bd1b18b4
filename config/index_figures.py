"""Figures of the first page of the service's admin: this month, today, and what waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from usage_billing import recording, reports
from usage_billing.admin.links import calls_address
from usage_billing.models import ExchangeRate
from usage_billing.reports import Period
from usage_billing.tenancy.scope import Scope

MEASURES = ("requests_count", "unpriced_usd_count", "unpriced_rub_count", "cost_usd", "cost_rub")


@dataclass(frozen=True)
class IndexFigures:
    """`month`, `day`: the measures since the first of the month, and of today. `addresses`: of the
    calls that each number counts. `waiting`: events in the outbox.

    `waiting` is None for people who are not superadmins, and where the outbox cannot be read.
    """

    month: dict[str, Any]
    day: dict[str, Any]
    addresses: dict[str, str]
    rate: ExchangeRate | None
    waiting: int | None
    is_superadmin: bool


def index_figures(scope: Scope, now: datetime) -> IndexFigures:
    """Read the figures in three queries."""
    today = scope.today(now)
    backlog = recording.health().backlog if scope.everything else None
    return IndexFigures(
        month=_totals(scope, today.replace(day=1)),
        day=_totals(scope, today),
        addresses={
            "month_usd": calls_address(period="this-month"),
            "month_rub": calls_address(period="this-month", currency="rub"),
            "day": calls_address(days=1),
            "unpriced": calls_address(period="this-month", unpriced="usd"),
        },
        rate=ExchangeRate.objects.order_by("-date").first(),
        waiting=None if backlog is None else backlog.events,
        is_superadmin=scope.everything,
    )


def _totals(scope: Scope, since: date) -> dict[str, Any]:
    """Return the sums since that day; in an organisation east of the reader it may be tomorrow already."""
    (total,) = reports.totals(scope, period=Period(since=since), measures=MEASURES)
    return total
