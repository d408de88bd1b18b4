"""`manage.py rebuild_daily --from 2026-01-01 --to 2026-01-31`: rebuilds the rollups of these days."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import CommandError
from tqdm import tqdm

from usage_billing.ledger import archived, consistency, writer
from usage_billing.management.ledger_command import INTERRUPTED, LedgerCommand
from usage_billing.models import Organization


def day(text: str) -> date:
    """Parse a date of the command line."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"“{text}” is not a date. Write it as 2026-01-31.") from error


class Command(LedgerCommand):
    help = "Rebuild the daily rollups from the ledger, one day per transaction. Can be interrupted and run again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="first", type=day, required=True, help="first day, as 2026-01-31")
        parser.add_argument("--to", dest="last", type=day, required=True, help="last day, included")
        parser.add_argument("--org", help="slug of one organisation (default: all)")

    def work(self, *args: Any, first: date, last: date, org: str | None, **options: Any) -> None:
        if last < first:
            raise CommandError(f"--to ({last}) is before --from ({first}).")
        org_id = None
        if org is not None:
            org_id = Organization.objects.filter(slug=org).values_list("pk", flat=True).first()
            if org_id is None:
                raise CommandError(f"There is no organisation “{org}”. Its slug stands in the admin's list.")
        days = consistency.days(first, last)
        bar = tqdm(days, desc="rebuild_daily", unit=" day", disable=None, delay=2)
        try:
            archived.expect_none(first, last)
            repaired = 0
            for each in bar:
                bar.set_postfix_str(str(each), refresh=False)  # the last day shown if it is killed
                repaired += writer.rebuild_day(each, org_id)
        except archived.ArchivedError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt as stopped:
            raise CommandError(
                f"Interrupted. Continue with --from {days[int(bar.n)]}.", returncode=INTERRUPTED
            ) from stopped
        finally:
            bar.close()
        self.stdout.write(
            f"Rebuilt the rollups of {first} to {last}. Days with calls: {len(days):,}. Wrong rows: {repaired:,}."
        )
