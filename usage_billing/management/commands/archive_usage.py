"""`manage.py archive_usage --before 2026-07-01`: moves closed months from the ledger to Parquet files."""

from argparse import ArgumentParser
from datetime import date, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils import timezone
from tqdm import tqdm

from usage_billing.archive import storage
from usage_billing.conf import conf
from usage_billing.ledger import archived
from usage_billing.management.commands.rebuild_daily import day
from usage_billing.management.ledger_command import INTERRUPTED, LedgerCommand, user


class Command(LedgerCommand):
    help = (
        "Write the calls of closed months to Parquet files, verify the files and remove the calls from the ledger. "
        "Rollups stay; `restore_usage` restores a month. Can be interrupted and run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--before", type=day, help="archive the whole months before this day (default: by USAGE_RETENTION_MONTHS)"
        )
        parser.add_argument("--to", type=Path, help="directory of the files (default: USAGE_ARCHIVE_DIR)")
        parser.add_argument("--by", default="", help="who, for the log (default: the system's user)")
        parser.add_argument("--dry-run", action="store_true", help="only show what would be archived")

    def work(self, *args: Any, before: date | None, to: Path | None, by: str, dry_run: bool, **options: Any) -> None:
        try:
            storage.parquet()
        except archived.UnreadableError as error:
            raise CommandError(str(error)) from error
        from usage_billing.archive import archiving

        now = timezone.now()
        first_kept = before or _kept_since(archiving, now)
        months = archiving.due(first_kept, now)
        if not months:
            self.stdout.write(f"Archived nothing: there is no call of a closed month before {first_kept}.")
        for month in months:
            if dry_run:
                self.stdout.write(f"{month:%Y-%m}: {archiving.calls_of(month):,} calls would be archived.")
            else:
                self._archive(archiving, month, to or Path(conf.ARCHIVE_DIR), by.strip() or user(), now)

    def _archive(self, archiving: Any, month: date, directory: Path, by: str, now: datetime) -> None:
        total = 2 * archiving.calls_of(month)
        with tqdm(total=total, desc=f"archive_usage {month:%Y-%m}", unit=" call", disable=None, delay=2) as bar:
            try:
                done = archiving.archive(month, directory=directory, by=by, at=now, advance=bar.update)
            except KeyboardInterrupt as stopped:
                raise CommandError(f"Interrupted. {AGAIN}", returncode=INTERRUPTED) from stopped
            except (archived.ArchivedError, archived.UnreadableError, archiving.InexactArchiveError) as error:
                raise CommandError(f"{month:%Y-%m} was not archived. {error}") from error
            except (DatabaseError, OSError) as error:
                raise CommandError(f"{month:%Y-%m} was not archived: {str(error).strip()}. {AGAIN}") from error
        file, waiting = done.file, archiving.waiting_of(month)
        self.stdout.write(
            f"{month:%Y-%m}: {file.calls - done.stayed:,} calls, ${file.cost_usd.normalize():f}, are in "
            f"{storage.path_of(file)} ({file.size / 1e6:,.1f} MB)."
            + (f" {done.stayed:,} changed meanwhile and stay in the ledger until the next run." if done.stayed else "")
            + (f" {waiting:,} are pending and stay in the ledger." if waiting else "")
        )


AGAIN = "Nothing is lost or duplicated; run the same command again to continue."


def _kept_since(archiving: Any, now: datetime) -> date:
    if conf.RETENTION_MONTHS is None:
        raise CommandError("Give --before or set USAGE_RETENTION_MONTHS: retention is off.")
    kept: date = archiving.kept_since(conf.RETENTION_MONTHS, now)
    return kept
