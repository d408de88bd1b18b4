"""Shows what a price override would do to the calls of the last 30 days. Writes nothing.

The number of calls and their cost now come from the rollups. The new cost is worked out exactly, as repricing would,
for a bounded number of calls, so that the answer takes about a second at millions of calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q

from usage_billing import reports
from usage_billing.costing import costs
from usage_billing.costing.costs import Row
from usage_billing.costing.overrides import PriceOverrides, compiled, matches, name_of
from usage_billing.ledger import records
from usage_billing.models import PriceOverride, UsageRecord
from usage_billing.reports import Period
from usage_billing.tenancy.scope import Scope

DAYS = 30
PRICED = 1000
"""The most calls that are priced."""
CELLS, FROM_CELL = 40, PRICED // 40
"""If there are more calls: from so many days of organisations, so many of each are priced."""
CELLS_IN_FULL = 300
"""Up to so many days of organisations are read to price every call."""

MEASURES = ("requests_count", "unpriced_usd_count", "unpriced_rub_count", "cost_usd", "cost_rub")


@dataclass
class Preview:
    """The calls that the override matches; and, of those that were `priced`, what they cost now and would cost.

    `models`: the totals of each model, the most expensive first. `applied`: how many of the priced calls get this
    price; the others keep another override (`preceding`: its name → calls), or have nothing to price. `unpriced`:
    reason → how many of the priced calls would have no price.
    """

    since: date
    models: Sequence[dict[str, Any]]
    priced: int = 0
    applied: int = 0
    usd_before: Decimal = Decimal(0)
    usd_after: Decimal = Decimal(0)
    rub_before: Decimal = Decimal(0)
    rub_after: Decimal = Decimal(0)
    unpriced_before: int = 0
    gained: int = 0
    unpriced: Counter[str] = field(default_factory=Counter)
    preceding: Counter[str] = field(default_factory=Counter)

    @property
    def calls(self) -> int:
        return sum(model["requests_count"] for model in self.models)

    @property
    def unpriced_calls(self) -> int:
        return sum(model["unpriced_usd_count"] for model in self.models)

    @property
    def usd(self) -> Decimal:
        return sum((model["cost_usd"] or Decimal(0) for model in self.models), Decimal(0))

    @property
    def rub(self) -> Decimal:
        return sum((model["cost_rub"] or Decimal(0) for model in self.models), Decimal(0))

    @property
    def estimated_usd(self) -> Decimal | None:
        """About what all matching calls would cost: as much more or less as the priced ones. None: nothing to go by."""
        return self.usd * self.usd_after / self.usd_before if self.usd_before else None

    @property
    def is_of_all(self) -> bool:
        """Whether every call was priced."""
        return self.priced >= self.calls

    @property
    def unpriced_after(self) -> int:
        return self.unpriced.total()

    def add(self, before: Row, after: Row, name: str) -> None:
        """Add a call that was priced; `name` is that of the override."""
        self.priced += 1
        self.usd_before += before["cost_usd"] or 0
        self.usd_after += after["cost_usd"] or 0
        self.rub_before += before["cost_rub"] or 0
        self.rub_after += after["cost_rub"] or 0
        self.unpriced_before += before["cost_usd"] is None
        self.gained += before["cost_usd"] is None and after["cost_usd"] is not None
        sources = after["price_source"].split(" + ")
        self.applied += name in sources
        if after["cost_usd"] is None:
            self.unpriced[after["price_source"].removeprefix("unpriced:")] += 1
        self.preceding.update(source for source in sources if source.startswith("override:") and source != name)


def preview(override: PriceOverride, scope: Scope, today: date) -> Preview:
    """Work out what the override would do; it may be unsaved. The scope sees everything."""
    since = max(override.valid_from, today - timedelta(days=DAYS - 1))
    filters: dict[str, Any] = {} if override.org_id is None else {"org_id": override.org_id}
    period, pattern = Period(since=since), compiled(override.model_pattern)
    models = [
        model
        for model in reports.totals(
            scope, by=("ai_provider", "ai_model"), filters=filters, period=period, measures=MEASURES
        )
        if matches(override.provider, pattern, model["ai_provider"], model["ai_model"])
    ]
    found = Preview(since, models)
    if not models:
        return found
    names = {(model["ai_provider"], model["ai_model"]) for model in models}
    filters |= {"ai_provider": {provider for provider, _ in names}, "ai_model": {model for _, model in names}}
    cells = reports.totals(scope, by=("usage_date", "org_id"), filters=filters, period=period, measures=MEASURES)
    tried = copy(override)
    tried.pk = override.pk or 0
    overrides, name = _with(tried), name_of(tried)
    org_ids = {cell["org_id"] for cell in cells}
    for row in records.found(pk__in=list(_ids(cells, filters)), org_id__in=org_ids):
        if (row["ai_provider"], row["ai_model"]) in names:
            found.add(row, costs.cost(row, overrides) if row["usage"] else row, name)
    return found


def _with(tried: PriceOverride) -> PriceOverrides:
    """Return all overrides with this one in place of its stored row."""
    return PriceOverrides([*PriceOverride.objects.exclude(pk=tried.pk), tried])


def _ids(cells: Sequence[dict[str, Any]], filters: dict[str, Any]) -> Iterator[int]:
    """Yield the ids of the calls to price. `cells`: the totals of each day of an organisation."""
    of_models = {"ai_provider__in": filters["ai_provider"], "ai_model__in": filters["ai_model"]}
    calls = UsageRecord.objects.filter(**of_models)
    if sum(cell["requests_count"] for cell in cells) <= PRICED and len(cells) <= CELLS_IN_FULL:
        yield from calls.filter(_of_cells(cells)).values_list("pk", flat=True)[:PRICED]
        return
    for cell in _chosen(cells):
        yield from calls.filter(_of_cells([cell])).values_list("pk", flat=True)[:FROM_CELL]


def _chosen(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the cells with the highest cost and those with the most unpriced calls, half of each where there are."""
    unpriced = sorted((cell for cell in cells if cell["unpriced_usd_count"]), key=lambda c: -c["unpriced_usd_count"])
    chosen = unpriced[: CELLS // 2]
    keys = {(cell["usage_date"], cell["org_id"]) for cell in chosen}
    others = [cell for cell in cells if (cell["usage_date"], cell["org_id"]) not in keys]
    return [*chosen, *others[: CELLS - len(chosen)]]


def _of_cells(cells: Iterable[dict[str, Any]]) -> Q:
    """Return the condition on days and organisations, which the index by organisation and day has."""
    days: dict[int, list[date]] = {}
    for cell in cells:
        days.setdefault(cell["org_id"], []).append(cell["usage_date"])
    condition = Q(pk__in=[])
    for org_id, of_org in days.items():
        condition |= Q(org_id=org_id, usage_date__in=of_org)
    return condition
