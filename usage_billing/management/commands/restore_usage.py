"""`manage.py restore_usage --month 2026-05`: restores an archived month into the ledger."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError
from tqdm import tqdm

from usage_billing.archive import storage
from usage_billing.ledger import archived
from usage_billing.management.ledger_command import INTERRUPTED, LedgerCommand


def month(text: str) -> date:
    """Parse a month of the command line to its first day."""
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise CommandError(f"“{text}” is not a month. Write it as 2026-05.") from error


class Command(LedgerCommand):
    help = (
        "Restore the calls of an archived month into the ledger. Rollups do not change; the files stay. Can be "
        "interrupted and run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--month", type=month, required=True, help="as 2026-05")

    def work(self, *args: Any, month: date, **options: Any) -> None:
        try:
            storage.parquet()
            from usage_billing.archive import archiving

            files = archiving.files_of(month)
            with tqdm(
                total=sum(file.calls for file in files), desc="restore_usage", unit=" call", disable=None, delay=2
            ) as bar:
                restored = sum(archiving.restore(file, bar.update) for file in files)
        except KeyboardInterrupt as stopped:
            raise CommandError(f"Interrupted. {AGAIN}", returncode=INTERRUPTED) from stopped
        except (archived.ArchivedError, archived.UnreadableError) as error:
            raise CommandError(str(error)) from error
        except archiving.InexactArchiveError as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"The database gave up: {str(error).strip()}. {AGAIN}") from error
        paths = ", ".join(str(storage.path_of(file)) for file in files)
        self.stdout.write(f"{month:%Y-%m}: {restored:,} calls restored into the ledger. No longer needed: {paths}.")


AGAIN = "Nothing is lost or duplicated; run the same command again to continue."
