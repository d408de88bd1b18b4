"""What organisations spend and what is left of budgets, as gauges: at most `METRICS_ORGANIZATIONS` of each."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

from django.core.signals import setting_changed
from django.db import DatabaseError
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from usage_billing.budgets.access import visible
from usage_billing.budgets.state import states
from usage_billing.conf import conf
from usage_billing.models import Budget, Organization
from usage_billing.reports import Period, totals
from usage_billing.reports.totals import Totals, difference, previous_totals, total_of, totals_by_day
from usage_billing.tenancy.scope import EVERYTHING, within

logger = logging.getLogger(__name__)

READ_EVERY_S = 15.0
"""Each worker asks the database at most that often, however many scrapers there are."""
OTHER = "…other"
"""Label of the organisations beyond the limit. No slug has such a letter."""
MEASURES = ("requests_count", "unpriced_usd_count", "total_tokens", "cost_usd")
SPEND = {
    "cost_usd": ("usage_spend_usd", "Known cost in USD of the period's calls."),
    "requests_count": ("usage_spend_calls", "Calls of the period."),
    "unpriced_usd_count": ("usage_spend_unpriced_calls", "Calls whose cost in USD is unknown: the spend lacks them."),
    "total_tokens": ("usage_spend_tokens", "Tokens of the period's calls, input and output."),
}
"""Measure → name and documentation of its gauge."""
BUDGETS = {
    "limit": ("usage_budget_limit", "The budget's limit, in its unit."),
    "spent": ("usage_budget_spent", "What is spent of the budget in its present window."),
    "reserved": ("usage_budget_reserved", "What is reserved for calls under way."),
    "unpriced": ("usage_budget_unpriced_calls", "Calls of the window that the spent amount lacks: no known cost."),
}
"""Attribute of `BudgetState` → name and documentation of its gauge."""


class _Spend(Collector):
    """The gauges as this process read them last, and their text in each format: of 50 organisations it takes 2 ms."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self, **_changed: Any) -> None:
        self._until, self._gauges, self._texts = 0.0, list[Metric](), dict[str, bytes]()

    def collect(self) -> list[Metric]:
        return self._gauges

    def text(self, encode: Callable[[Collector], bytes], content_type: str) -> bytes:
        """The gauges' text, at most `READ_EVERY_S` old; none if the setting is 0 or the database does not answer."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._gauges, self._texts = _read(conf.METRICS_ORGANIZATIONS or 0, timezone.now()), {}
                self._until = time.monotonic() + READ_EVERY_S
            if content_type not in self._texts:
                self._texts[content_type] = encode(self)
            return self._texts[content_type]


_latest = _Spend()
text = _latest.text
forget = _latest.forget
setting_changed.connect(forget)


def _read(limit: int, now: datetime) -> list[Metric]:
    if limit <= 0:
        return []
    try:
        with within(EVERYTHING):
            return [*_of_organizations(limit, EVERYTHING.today(now)), *_of_budgets(limit, now)]
    except DatabaseError as error:
        logger.warning("/metrics leaves out spend and budgets: the database did not answer: %s", error)
        return []


def _of_organizations(limit: int, today: date) -> list[Metric]:
    """Two periods of the organisations that spent most this month, and of all others together. Four queries."""
    found = {
        measure: GaugeMetricFamily(name, documentation, labels=["organization", "period"])
        for measure, (name, documentation) in SPEND.items()
    }
    for period, organization, row in _spend(limit, today):
        for measure, gauge in found.items():
            if row[measure] is not None:  # an unknown amount is not zero
                gauge.add_metric([organization, period], float(row[measure]))
    return [*found.values()]


def _spend(limit: int, today: date) -> Iterator[tuple[str, str, Totals]]:
    """(period, slug, totals), with a row of zeros for an organisation that has calls this month and none today.

    Days are as in `reports.summary`: where it is tomorrow already, tomorrow's calls count as today's.
    """
    first = today.replace(day=1)
    month = Period(first)
    named = totals(EVERYTHING, by=["org_id"], period=month, limit=limit, measures=MEASURES)
    slugs = dict(Organization.objects.filter(pk__in=[row["org_id"] for row in named]).values_list("pk", "slug"))
    of_today = previous_totals(EVERYTHING, ["org_id"], named, Period(today), {}, MEASURES)
    days = totals_by_day(EVERYTHING, month, measures=MEASURES)
    for name, since, rows in (("today", today, of_today), ("this_month", first, named)):
        for of_org, row in zip(named, rows, strict=True):
            yield name, slugs.get(of_org["org_id"], str(of_org["org_id"])), row
        whole = total_of((row for day, row in days.items() if day >= since), MEASURES)
        if len(named) == limit and (other := difference(whole, rows, MEASURES)):
            yield name, OTHER, other


def _of_budgets(limit: int, now: datetime) -> Iterator[Metric]:
    """The state of the active budgets; of so many, the oldest, and how many others there are."""
    active = visible(EVERYTHING).filter(is_active=True, org__closed_at=None).order_by("pk")
    shown = [*active[:limit]]
    state = states(shown, now)
    for attribute, (name, documentation) in BUDGETS.items():
        gauge = GaugeMetricFamily(name, documentation, labels=["organization", "budget", "id", "unit", "window"])
        for budget in shown:
            gauge.add_metric(_labels(budget), float(getattr(state[budget.pk], attribute)))
        yield gauge
    left_out = active.count() - len(shown) if len(shown) == limit else 0
    yield GaugeMetricFamily("usage_budgets_left_out", "Active budgets beyond METRICS_ORGANIZATIONS.", value=left_out)


def _labels(budget: Budget) -> list[str]:
    return [budget.org.slug, budget.name, str(budget.pk), budget.unit, budget.window]
