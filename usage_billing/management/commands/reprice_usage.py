"""`manage.py reprice_usage --from 2026-01-01 --to 2026-01-31`: reprices recorded calls."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from usage_billing.ledger import archived
from usage_billing.ledger.repricing import Scope
from usage_billing.management.commands.rebuild_daily import day
from usage_billing.management.ledger_command import user
from usage_billing.management.reprice_command import RepriceCommand
from usage_billing.models import Organization, RepriceRun


class Command(RepriceCommand):
    help = (
        "Reprice the calls of some billing days at the current prices, and update the daily rollups. A call keeps its "
        "exchange rate; a call without one gets the rate of its day. Can be interrupted and run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="first", type=day, required=True, help="first day, as 2026-01-31")
        parser.add_argument("--to", dest="last", type=day, required=True, help="last day, included")
        parser.add_argument(
            "--model", default="", help="a model as recorded, or a pattern such as gpt-4.1* (default: all)"
        )
        parser.add_argument("--provider", default="", help="a provider as recorded, such as openai (default: all)")
        parser.add_argument("--org", help="slug of one organisation (default: all)")
        parser.add_argument("--rates", action="store_true", help="also take the current exchange rate of each day")
        parser.add_argument("--unpriced", action="store_true", help="only calls whose cost is unknown")
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
            self.rehearse(scope)
        elif resume:
            self.run(scope, _unfinished(scope))
        else:
            if not reason.strip():
                raise CommandError("Give the reason with --reason: the log keeps it. Or look first with --dry-run.")
            if earlier := scope.unfinished_run():
                self.stdout.write(
                    f"Run {earlier.pk} with the same arguments was interrupted after {earlier.records_seen:,} records. "
                    "This run starts over; --resume would have continued it."
                )
            self.run(scope, scope.start_run(by=by.strip() or user(), reason=reason.strip(), at=timezone.now()))


def _scope(
    *,
    first: Any,
    last: Any,
    model: str,
    provider: str,
    org: str | None,
    rates: bool,
    unpriced: bool = False,
    **_options: Any,
) -> Scope:
    if last < first:
        raise CommandError(f"--to ({last}) is before --from ({first}).")
    found = None
    if org is not None:
        found = Organization.objects.filter(slug=org).first()
        if found is None:
            raise CommandError(f"There is no organisation “{org}”. Its slug stands in the admin's list.")
    return Scope(first, last, model.strip(), found, rates, unpriced, provider.strip().lower())


def _unfinished(scope: Scope) -> RepriceRun:
    run = scope.unfinished_run()
    if run is None:
        raise CommandError("There is no unfinished run with these arguments. Run it without --resume.")
    return run
