"""Base class of commands that reprice calls: runs, progress, and the table of what changed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils import timezone
from tqdm import tqdm

from usage_billing.costing.overrides import PriceOverrides
from usage_billing.ledger import repricing
from usage_billing.ledger.repricing import Batch, Scope, Tally
from usage_billing.management.ledger_command import INTERRUPTED, LedgerCommand
from usage_billing.models import RepriceRun
from usage_billing.templatetags import amounts

SHOWN = 5
"""Number of models in the list of largest changes."""


class RepriceCommand(LedgerCommand):
    """A command that reprices calls, or shows what that would change."""

    def rehearse(self, scope: Scope) -> None:
        """Print what repricing would change."""
        tally = self._show(repricing.rehearse(scope, PriceOverrides.load()), scope.expected_records())
        self._print("Nothing was written. This would change:", tally.measures, tally)

    def run(self, scope: Scope, run: RepriceRun) -> None:
        """Reprice what the run has not seen yet, and print what changed. Raises `CommandError`."""
        resumed_at = run.records_seen
        try:
            batches = repricing.reprice(scope, run, PriceOverrides.load())
            tally = self._show(batches, scope.expected_records(), resumed_at)
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


def _resumable(run: RepriceRun) -> str:
    return f"Run {run.pk} keeps what is done; continue it with --resume and the same arguments."


def _change(measures: dict[str, Any], currency: str) -> str:
    before, after = (measures[f"{currency.lower()}_{when}"] for when in ("before", "after"))
    by = ("+" if after >= before else amounts.MINUS) + _exact(abs(after - before), currency)
    return f"{_exact(before, currency)} → {_exact(after, currency)} ({by})"


def _exact(amount: Decimal, currency: str = "USD") -> str:
    return amounts.write_exact_amount(amount, currency, amounts.ENGLISH)
