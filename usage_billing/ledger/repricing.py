"""Reprices recorded calls at the current prices and rates: explicit, logged, exact after an interruption (guarantee 7,
docs/guarantees.md).

Works day by day in the order of the ids, one batch per transaction: the records, their rollups and the log row change
together or not at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from usage_billing.costing import costs
from usage_billing.costing.costs import Row
from usage_billing.costing.overrides import PriceOverrides, compiled, matches
from usage_billing.exchange_rates import rates
from usage_billing.ledger import garbage, writer
from usage_billing.ledger.records import RecordChange
from usage_billing.models import DailyUsage, Organization, RepriceRun, UsageRecord
from usage_billing.models.reprice_run import MEASURES
from usage_billing.tenancy import roles

BATCH = 3000
"""Records per transaction, which ends with their rollup rows: writers of the same rows wait for these. Of a thousand
records, each takes twice as long there: 29 µs instead of 15."""
IDS_AT_ONCE = 100_000
SAMPLED, SAMPLED_DAYS = 2000, 20
"""How many records of how many days `rehearse_some` prices: about a second's work."""


class RunInProgressError(Exception):
    """Raised when another process continues the same run."""


@dataclass(frozen=True)
class Scope:
    """The records to reprice: billing days `first` to `last`, both included; one organisation or all.

    `model`: a name as recorded, a pattern in which `*` matches anything, or empty for all. `provider`: as recorded, or
    empty. `with_rates`: take the current exchange rate of the day too. Records without a rate always take it.
    `only_unpriced`: leave out records whose cost is known.
    """

    first: date
    last: date
    model: str = ""
    org: Organization | None = None
    with_rates: bool = False
    only_unpriced: bool = False
    provider: str = ""

    @classmethod
    def of_run(cls, run: RepriceRun) -> Scope:
        return cls(run.date_from, run.date_to, run.model, run.org, run.with_rates, run.only_unpriced, run.provider)

    def records(self) -> QuerySet[UsageRecord]:
        records = UsageRecord.objects.filter(usage_date__gte=self.first, usage_date__lte=self.last)
        if self.only_unpriced:
            records = records.filter(cost_usd=None)
        records = records.filter(self._of_models())
        return records if self.org is None else records.filter(org=self.org)

    def expected_records(self) -> int:
        """Return about how many records the scope has: the rollups, which are quick, also count archived calls."""
        return sum(self.expected_by_day().values())

    def expected_by_day(self) -> dict[date, int]:
        """Return the same of each billing day that has such a record."""
        rows = DailyUsage.objects.filter(usage_date__gte=self.first, usage_date__lte=self.last).filter(
            self._of_models()
        )
        grain = "model" if self.org is None else "org_model"
        rows = rows.filter(grain=grain, org_id=0 if self.org is None else self.org.pk)
        counted = Sum("unpriced_usd_count" if self.only_unpriced else "requests_count")
        days = rows.values_list("usage_date").annotate(total=counted).order_by("usage_date")
        return {day: total for day, total in days if total}

    def _of_models(self) -> Q:
        """Return the condition on provider and model. The rollups tell which recorded names a pattern matches.

        A gateway's name for a model stands for the model, as it does for a price override.
        """
        if not self.model or ("*" not in self.model and not self.provider):
            given = {"ai_provider": self.provider, "ai_model": self.model}
            return Q(**{name: value for name, value in given.items() if value})
        rows = DailyUsage.objects.filter(grain="model", org_id=0, usage_date__gte=self.first, usage_date__lte=self.last)
        models: dict[str, list[str]] = defaultdict(list)
        for provider, model in rows.order_by().values_list("ai_provider", "ai_model").distinct():
            if matches(self.provider, compiled(self.model), provider, model):
                models[provider].append(model)
        condition = Q(pk__in=[])
        for provider, names in sorted(models.items()):
            condition |= Q(ai_provider=provider, ai_model__in=sorted(names))
        return condition

    def unfinished_run(self) -> RepriceRun | None:
        """Return the newest unfinished run with the same scope that no other run continues."""
        unfinished = RepriceRun.objects.filter(**self.columns(), finished_at=None, continued_by=None)
        return unfinished.order_by("-started_at", "-id").first()

    def start_run(self, *, by: str, reason: str, at: datetime) -> RepriceRun:
        """Log a run that the caller begins now."""
        return RepriceRun.objects.create(**self.columns(), by=by, reason=reason, started_at=at, worked_at=at)

    def columns(self) -> dict[str, Any]:
        """Return the columns of a run with this scope."""
        return {
            "date_from": self.first,
            "date_to": self.last,
            "provider": self.provider,
            "model": self.model,
            "org": self.org,
            "with_rates": self.with_rates,
            "only_unpriced": self.only_unpriced,
        }


@dataclass(frozen=True)
class Batch:
    """One repriced batch: how many records it had, and which changed."""

    seen: int
    changes: Sequence[RecordChange]

    @cached_property
    def measures(self) -> dict[str, Any]:
        """What the batch adds to each of `MEASURES`."""
        before, after = [each.before for each in self.changes], [each.after for each in self.changes]
        return {
            "records_seen": self.seen,
            "records_changed": len(self.changes),
            **{f"{money}_before": _sum(before, f"cost_{money}") for money in ("usd", "rub")},
            **{f"{money}_after": _sum(after, f"cost_{money}") for money in ("usd", "rub")},
            "unpriced_before": _unknown(before, "cost_usd"),
            "unpriced_after": _unknown(after, "cost_usd"),
            "unpriced_rub_before": _unknown(before, "cost_rub"),
            "unpriced_rub_after": _unknown(after, "cost_rub"),
        }


@dataclass
class Tally:
    """Sums over batches, in total and by model."""

    measures: dict[str, Any] = field(default_factory=lambda: Batch(0, ()).measures)
    usd_of_model: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(lambda: [0, Decimal(0), Decimal(0)]))
    """Model → number of changed records, their USD before, their USD after."""

    def add(self, batch: Batch) -> None:
        for name, value in batch.measures.items():
            self.measures[name] += value
        for change in batch.changes:
            of_model = self.usd_of_model[change.before["ai_model"]]
            of_model[0] += 1
            of_model[1] += change.before["cost_usd"] or 0
            of_model[2] += change.after["cost_usd"] or 0

    def largest_changes(self, number: int) -> list[tuple[str, int, Decimal, Decimal]]:
        """Return model, number of changed records, USD before and USD after, of the models that changed most."""
        models = [(model, *sums) for model, sums in self.usd_of_model.items()]
        return sorted(models, key=lambda each: (-abs(each[3] - each[2]), each[0]))[:number]


def reprice(scope: Scope, run: RepriceRun, overrides: PriceOverrides) -> Iterator[Batch]:
    """Reprice the records that the run has not seen yet. Yields each batch after its commit; `run` is updated with it.

    Raises `RunInProgressError`. Call `finish` after the last batch.
    """
    for day, ids, org_ids in _batches(scope, run.last_date, run.last_id):
        with garbage.not_collected(), roles.applied(roles.AS_LEDGER):
            _expect_ours(run)
            batch = Batch(len(ids), writer.apply_changes(ids, _change(scope, day, overrides), org_ids))
            for name, value in batch.measures.items():
                setattr(run, name, getattr(run, name) + value)
            run.last_date, run.last_id, run.worked_at = day, ids[-1], timezone.now()
            run.save(update_fields=[*MEASURES, "last_date", "last_id", "worked_at"])
        yield batch


def rehearse(scope: Scope, overrides: PriceOverrides) -> Iterator[Batch]:
    """Yield what `reprice` would do; nothing is written or locked."""
    for day, ids, org_ids in _batches(scope, None, 0):
        with garbage.not_collected():
            batch = Batch(len(ids), writer.preview_changes(ids, _change(scope, day, overrides), org_ids))
        yield batch


@dataclass(frozen=True)
class Sample:
    """The effect of repricing on some of the records. `expected`: how many it would see, `days`: on how many days."""

    tally: Tally
    expected: int
    days: int

    @property
    def is_of_all(self) -> bool:
        return int(self.tally.measures["records_seen"]) >= self.expected

    @property
    def changes_nothing(self) -> bool:
        """Whether it is sure that no record would change."""
        return self.is_of_all and not self.tally.measures["records_changed"]


def rehearse_some(scope: Scope, overrides: PriceOverrides) -> Sample:
    """Return what `reprice` would do, worked out for at most `SAMPLED_DAYS` days and `SAMPLED` records.

    Nothing is written or locked. The days are spread evenly over those that have records.
    """
    by_day = scope.expected_by_day()
    days, tally = list(by_day), Tally()
    chosen = days[:: -(-len(days) // SAMPLED_DAYS) or 1]
    for number, day in enumerate(chosen):
        left = SAMPLED - int(tally.measures["records_seen"])
        most = left // (len(chosen) - number)
        ids = list(scope.records().filter(usage_date=day).values_list("id", flat=True)[:most])
        tally.add(Batch(len(ids), writer.preview_changes(ids, _change(scope, day, overrides))))
    return Sample(tally, sum(by_day.values()), len(chosen))


def finish(run: RepriceRun, *, at: datetime) -> None:
    run.finished_at = at
    run.save(update_fields=["finished_at"])


def _batches(scope: Scope, day: date | None, last_id: int) -> Iterator[tuple[date, list[int], set[int]]]:
    """Yield each batch after the record `last_id` of `day`: its day, the ids of its records, their organisations."""
    records = scope.records()
    if day is None:
        day = _first_day(records)
    while day is not None:
        # Ids of many batches at once: the index has the day's ids in another order, so each query reads the whole day.
        while found := list(
            records.filter(usage_date=day, id__gt=last_id).order_by("id").values_list("id", "org_id")[:IDS_AT_ONCE]
        ):
            for start in range(0, len(found), BATCH):
                ids, org_ids = zip(*found[start : start + BATCH], strict=True)
                yield day, list(ids), set(org_ids)
            last_id, _ = found[-1]
        day, last_id = _first_day(records.filter(usage_date__gt=day)), 0


def _first_day(records: QuerySet[UsageRecord]) -> date | None:
    return records.order_by("usage_date").values_list("usage_date", flat=True).first()


def _expect_ours(run: RepriceRun) -> None:
    """Lock the run's row; raise `RunInProgressError` if another process has continued the run."""
    stored = RepriceRun.objects.select_for_update().values_list("last_date", "last_id", "finished_at").get(pk=run.pk)
    if stored != (run.last_date, run.last_id, None):
        raise RunInProgressError(f"Another process is at work on run {run.pk}.")


def _change(scope: Scope, day: date, overrides: PriceOverrides) -> Callable[[Row], Row]:
    """Return the function that reprices a record of that day."""
    rate_now, stored = rates.rates_on([day])[day], writer.storing()

    def repriced(row: Row) -> Row:
        if scope.only_unpriced and row["cost_usd"] is not None:
            return row  # priced since its id was read
        rate = row["usd_rub_rate"]
        if rate is None or (scope.with_rates and rate_now is not None):
            rate = rate_now
        given = row | {"usd_rub_rate": rate}
        if not row["usage"]:
            # There is nothing to price: a cost that the record was inserted with stays.
            return given | {"cost_rub": costs.to_rub(row["cost_usd"], rate)}
        return _keep_source(row, costs.cost(given, overrides), stored)

    return repriced


def _keep_source(before: Row, after: Row, stored: Callable[[Row], Row]) -> Row:
    """Keep the price source of a record whose cost stays."""
    same = before["cost_usd"] is not None and stored(after | {"price_source": before["price_source"]}) == before
    return before if same else after


def _sum(rows: Sequence[Mapping[str, Any]], name: str) -> Decimal:
    return sum((row[name] for row in rows if row[name] is not None), Decimal(0))


def _unknown(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(row[name] is None for row in rows)
