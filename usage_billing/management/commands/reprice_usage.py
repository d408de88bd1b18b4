"""`manage.py reprice_usage --from 2026-01-01 --to 2026-01-31`: reprices recorded calls."""

from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils import timezone
from tqdm import tqdm

from usage_billing import reports
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.ledger import archived, repricing
from usage_billing.ledger.repricing import Batch, Scope, Tally
from usage_billing.management.commands.rebuild_daily import day
from usage_billing.management.ledger_command import INTERRUPTED, LedgerCommand, user
from usage_billing.models import Organization, RepriceRun
from usage_billing.reports import Period
from usage_billing.templatetags import amounts
from usage_billing.tenancy.scope import EVERYTHING

SHOWN = 5
"""Number of models in the list of largest changes."""


class Command(LedgerCommand):
    help = (
        "Reprice the calls of some billing days at the current prices, and update the daily rollups. A call keeps its "
        "exchange rate; a call without one gets the rate of its day. Can be interrupted and run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="first", type=day, required=True, help="first day, as 2026-01-31")
        parser.add_argument("--to", dest="last", type=day, required=True, help="last day, included")
        parser.add_argument("--model", default="", help="name of one model, as recorded (default: all)")
        parser.add_argument("--org", help="slug of one organisation (default: all)")
        parser.add_argument("--rates", action="store_true", help="also take the current exchange rate of each day")
        parser.add_argument("--dry-run", action="store_true", help="only show what would change")
        parser.add_argument("--reason", default="", help="why; kept in the log")
        parser.add_argument("--by", default="", help="who, for the log (default: the system's user)")
        parser.add_argument("--resume", action="store_true", help="continue the unfinished run with the same arguments")

    def work(self, *args: Any, dry_run: bool, resume: bool, reason: str, by: str, **options: Any) -> None:
        scope = _scope(**options)
        if left_out := archived.months(scope.first, scope.last + timedelta(days=1)):
            months = ", ".join(f"{month:%Y-%m}" for month in left_out)
            self.stdout.write(f"Archived calls keep their costs: {months} left out.")
        if dry_run:
            if resume:
                raise CommandError("--dry-run leaves nothing to resume. Give only one of --dry-run and --resume.")
            tally = self._show(repricing.rehearse(scope, PriceOverrides.load()), _size(scope))
            self._print("Nothing was written. This would change:", tally.measures, tally)
        elif resume:
            self._run(scope, _unfinished(scope))
        else:
            if not reason.strip():
                raise CommandError("Give the reason with --reason: the log keeps it. Or look first with --dry-run.")
            if earlier := scope.unfinished_run():
                self.stdout.write(
                    f"Run {earlier.pk} with the same arguments was interrupted after {earlier.records_seen:,} records. "
                    "This run starts over; --resume would have continued it."
                )
            self._run(scope, scope.start_run(by=by.strip() or user(), reason=reason.strip(), at=timezone.now()))

    def _run(self, scope: Scope, run: RepriceRun) -> None:
        resumed_at = run.records_seen
        try:
            batches = repricing.reprice(scope, run, PriceOverrides.load())
            tally = self._show(batches, _size(scope), resumed_at)
            repricing.finish(run, at=timezone.now())
        except repricing.RunInProgressError as taken:
            raise CommandError(f"{taken} Wait for it, or stop it and run this again.") from taken
        except KeyboardInterrupt as stopped:
            raise CommandError(f"Interrupted. {_resumable(run)}", returncode=INTERRUPTED) from stopped
        except DatabaseError as error:
            raise CommandError(f"The database gave up: {str(error).strip()}. {_resumable(run)}") from error
        since = f", {run.records_seen - resumed_at:,} of them since it was resumed" if resumed_at else ""
        title = f"Run {run.pk} by {run.by} is finished: {run.records_seen:,} records seen{since}."
        self._print(title, {name: getattr(run, name) for name in tally.measures}, tally, since=bool(resumed_at))

    def _show(self, batches: Iterator[Batch], total: int, initial: int = 0) -> Tally:
        """Run through the batches with a progress bar. Returns the sums."""
        tally = Tally()
        with tqdm(total=total, initial=initial, desc="reprice_usage", unit=" record", disable=None, delay=2) as bar:
            for batch in batches:
                tally.add(batch)
                bar.update(batch.seen)
        return tally

    def _print(self, title: str, measures: dict[str, Any], tally: Tally, *, since: bool = False) -> None:
        rows = [
            ("records seen", f"{measures['records_seen']:,}"),
            ("records changed", f"{measures['records_changed']:,}"),
            ("of these: USD", _change(measures, "USD")),
            ("RUB", _change(measures, "RUB")),
            ("without USD", f"{measures['unpriced_before']:,} → {measures['unpriced_after']:,}"),
            ("without RUB", f"{measures['unpriced_rub_before']:,} → {measures['unpriced_rub_after']:,}"),
        ]
        self.stdout.write(title)
        for name, value in rows:
            self.stdout.write(f"  {name:>16}  {value}")
        if largest := tally.largest_changes(SHOWN):
            self.stdout.write(f"Largest changes by model{' since it was resumed' if since else ''}:")
            for model, count, before, after in largest:
                self.stdout.write(f"  {model or '(no model)'}: {_exact(before)} → {_exact(after)}, {count:,} records")


def _size(scope: Scope) -> int:
    """Return about how many records the scope has, by the rollups, which also count archived calls."""
    filters = {"ai_model": scope.model or None, "org_id": scope.org and scope.org.pk}
    given = {name: value for name, value in filters.items() if value is not None}
    (total,) = reports.totals(EVERYTHING, filters=given, period=Period(scope.first, scope.last + timedelta(days=1)))
    return int(total["requests_count"])


def _scope(*, first: Any, last: Any, model: str, org: str | None, rates: bool, **_options: Any) -> Scope:
    if last < first:
        raise CommandError(f"--to ({last}) is before --from ({first}).")
    found = None
    if org is not None:
        found = Organization.objects.filter(slug=org).first()
        if found is None:
            raise CommandError(f"There is no organisation “{org}”. Its slug stands in the admin's list.")
    return Scope(first, last, model.strip(), found, rates)


def _unfinished(scope: Scope) -> RepriceRun:
    run = scope.unfinished_run()
    if run is None:
        raise CommandError("There is no unfinished run with these arguments. Run it without --resume.")
    return run


def _resumable(run: RepriceRun) -> str:
    return f"Run {run.pk} keeps what is done; continue it with --resume and the same arguments."


def _change(measures: dict[str, Any], currency: str) -> str:
    before, after = (measures[f"{currency.lower()}_{when}"] for when in ("before", "after"))
    by = ("+" if after >= before else amounts.MINUS) + _exact(abs(after - before), currency)
    return f"{_exact(before, currency)} → {_exact(after, currency)} ({by})"


def _exact(amount: Decimal, currency: str = "USD") -> str:
    return amounts.write_exact_amount(amount, currency, amounts.ENGLISH)
