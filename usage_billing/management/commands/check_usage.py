"""`manage.py check_usage`: do the daily totals equal the ledger?"""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import CommandError
from tqdm import tqdm

from usage_billing.archive import storage
from usage_billing.ledger import archived, consistency
from usage_billing.management.commands.rebuild_daily import day
from usage_billing.management.ledger_command import INTERRUPTED, LedgerCommand
from usage_billing.models import ArchiveFile
from usage_billing.models.daily_usage import GRAINS

SHOWN = 20


class Command(LedgerCommand):
    help = (
        "Compare each grain of the daily totals with the ledger's rows and the archive's, a day at a time. Exits with "
        "1 if anything differs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="first", type=day, help="first day, as 2026-01-31 (default: of all)")
        parser.add_argument("--to", dest="last", type=day, help="last day, included (default: of all)")

    def work(self, *args: Any, first: date | None, last: date | None, **options: Any) -> None:
        days = [each for each in consistency.days() if (first or date.min) <= each <= (last or date.max)]
        archive = Archive()
        found: list[str] = []
        bar = tqdm(days, desc="check_usage", unit=" day", disable=None, delay=2)
        try:
            for each in bar:
                bar.set_postfix_str(str(each), refresh=False)  # the last one seen, if it is killed
                found += map(str, archive.differences(each))
                inconsistent = consistency.inconsistent_records(each)
                found += [f"{each}: {count} records: {what}" for what, count in inconsistent.items()]
        except KeyboardInterrupt as stopped:
            raise CommandError(
                f"Interrupted with {len(found)} differences so far. --from {days[int(bar.n)]} goes on from there.",
                returncode=INTERRUPTED,
            ) from stopped
        finally:
            bar.close()
        for line in archive.not_checked():
            self.stderr.write(line)
        if found:
            for line in found[:SHOWN]:
                self.stderr.write(line)
            raise CommandError(
                f"{len(found)} differences" + (f", the first {SHOWN} above" if len(found) > SHOWN else "") + ". "
                "`manage.py rebuild_daily --from DATE --to DATE` makes the totals anew from the ledger."
            )
        checked = [each for each in days if each.replace(day=1) not in archive.away]
        ledger = "the ledger and its archive" if archive.read else "the ledger"
        self.stdout.write(
            f"The daily totals equal {ledger}: {consistency.calls_on(checked):,} calls, {len(GRAINS)} grains."
        )


class Archive:
    """What of the archive can be read here, looked at once a file."""

    def __init__(self) -> None:
        self.read: set[int] = set()
        """Ids of the files that are here, and what they were."""
        self.away: dict[date, str] = {}
        """Month → why its days were not checked."""

    def differences(self, day: date) -> list[consistency.Difference]:
        """What is wrong with that day's totals; nothing if the files that it takes cannot be read."""
        while True:
            files = self._files_of(day)
            if files is None:
                return []
            sums = storage.parquet().daily_rows(files, day) if files else None
            # While a month is being archived its calls are in both places: what was found then is no difference.
            if not (found := consistency.differences(day, sums)) or self._files_of(day) == files:
                return found

    def not_checked(self) -> list[str]:
        return [f"{month:%Y-%m} was not checked: {why}" for month, why in sorted(self.away.items())]

    def _files_of(self, day: date) -> list[ArchiveFile] | None:
        """Those of the day's month; None if one of them cannot be read."""
        month = day.replace(day=1)
        files = list(ArchiveFile.objects.filter(month=month))
        if month not in self.away:
            for file in files:
                self._look_at(file)
        return None if month in self.away else files

    def _look_at(self, file: ArchiveFile) -> None:
        if file.state != ArchiveFile.State.ARCHIVED:
            self.away[file.month] = f"it is {file.get_state_display()} just now, or that was interrupted."
        elif file.pk not in self.read:
            try:
                storage.parquet().verify(file)
                self.read.add(file.pk)
            except archived.UnreadableError as error:
                self.away[file.month] = f"it is archived, and {error}"
