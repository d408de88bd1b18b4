"""What many budgets count, day by day, in few queries: one for all budgets that narrow by the same columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from usage_billing.budgets.scopes import filters_of, is_version_of
from usage_billing.budgets.spending import COLUMNS, MEASURES, REFUSED, UNPRICED
from usage_billing.budgets.windows import Window
from usage_billing.models import Budget
from usage_billing.reports import Excluded, Period
from usage_billing.reports.totals import Totals, totals
from usage_billing.tenancy.scope import Scope


@dataclass
class Counted:
    """By day, in the budget's unit. unpriced: calls whose cost is unknown, which the amounts leave out."""

    amounts: dict[date, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    unpriced: dict[date, int] = field(default_factory=lambda: defaultdict(int))

    def within(self, period: Period) -> tuple[Decimal, int]:
        """The amount and the unpriced calls of a period."""
        return (
            sum((amount for day, amount in self.amounts.items() if period.includes(day)), Decimal(0)),
            sum(count for day, count in self.unpriced.items() if period.includes(day)),
        )


class _Alike(NamedTuple):
    """What budgets have in common that one query can answer.

    has_model: the models' names are compared afterwards. earlier: the first day of a total that began before the days
    that are kept apart.
    """

    columns: tuple[str, ...]
    has_model: bool
    counts_calls: bool
    earlier: date | None


def counted_by_day(budgets: Iterable[Budget], windows: Mapping[int, Window], learned_since: date) -> dict[int, Counted]:
    """What each budget counts by day, since `learned_since` and in its window, by the budgets' ids.

    The days of a total before `learned_since` are one amount, on the first of them. Reads all calls of the budgets'
    organisations; the caller has entered their scope.
    """
    groups: dict[_Alike, list[Budget]] = defaultdict(list)
    for budget in budgets:
        first, is_total = windows[budget.pk].first, windows[budget.pk].end is None
        alike = _Alike(
            columns=tuple(sorted(filters_of(budget))),
            has_model=bool(budget.ai_model),
            counts_calls=budget.unit == Budget.Unit.CALLS,
            earlier=first if is_total and first < learned_since else None,
        )
        groups[alike].append(budget)
    found: dict[int, Counted] = {}
    for alike, some in groups.items():
        begins = [windows[budget.pk].first for budget in some if alike.earlier is None]
        found |= _of_group(alike, some, min([learned_since, *begins]))
    return found


def _of_group(alike: _Alike, budgets: Sequence[Budget], since: date) -> dict[int, Counted]:
    found = {budget.pk: Counted() for budget in budgets}
    by_key: dict[tuple[Any, ...], list[Budget]] = defaultdict(list)
    for budget in budgets:
        by_key[_key(budget, alike)].append(budget)
    for row in _rows(alike, budgets, since):
        for budget in by_key.get(tuple(row[name] for name in alike.columns), ()):
            if not budget.ai_model or is_version_of(row["ai_model"], budget.ai_model):
                _add(found[budget.pk], budget, row)
    return found


def _key(budget: Budget, alike: _Alike) -> tuple[Any, ...]:
    filters = filters_of(budget)
    return tuple(filters[name] for name in alike.columns)


def _rows(alike: _Alike, budgets: Sequence[Budget], since: date) -> list[Totals]:
    filters: dict[str, Any] = {name: {filters_of(budget)[name] for budget in budgets} for name in alike.columns}
    scope = Scope(owned_org_ids=frozenset(filters["org_id"]))
    if alike.counts_calls:
        filters["status"] = Excluded(frozenset([REFUSED]))
    by = [*alike.columns, *(["ai_model"] if alike.has_model else [])]
    rows = totals(scope, by=["usage_date", *by], filters=filters, period=Period(since), measures=MEASURES)
    if alike.earlier is not None:
        before = totals(scope, by=by, filters=filters, period=Period(alike.earlier, since), measures=MEASURES)
        rows += [{**row, "usage_date": alike.earlier} for row in before]
    return rows


def _add(counted: Counted, budget: Budget, row: Totals) -> None:
    day = row["usage_date"]
    counted.amounts[day] += Decimal(row[COLUMNS[budget.unit]] or 0)
    if budget.unit in UNPRICED:
        counted.unpriced[day] += row[UNPRICED[budget.unit]]
