"""`manage.py check_usage`: checks that the rollups equal the ledger."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import CommandError
from django.db.models import OuterRef, Subquery, Sum
from tqdm import tqdm

from usage_billing.archive import storage
from usage_billing.ledger import archived, consistency, rollup
from usage_billing.ledger.archived import after
from usage_billing.management.commands.rebuild_daily import day
from usage_billing.management.ledger_command import INTERRUPTED, LedgerCommand
from usage_billing.models import ArchivedUsage, ArchiveFile

SHOWN = 20


class Command(LedgerCommand):
    help = (
        "Compare each grain of the daily rollups with the ledger and the archive, day by day. Exits with 1 if "
        "anything differs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="first", type=day, help="first day, as 2026-01-31 (default: of all)")
        parser.add_argument("--to", dest="last", type=day, help="last day, included (default: of all)")

    def work(self, *args: Any, first: date | None, last: date | None, **options: Any) -> None:
        days = consistency.days(first or date.min, last or date.max)
        archive = Archive()
        found: list[str] = []
        bar = tqdm(days, desc="check_usage", unit=" day", disable=None, delay=2)
        try:
            for each in bar:
                bar.set_postfix_str(str(each), refresh=False)  # the last day shown if it is killed
                found += map(str, archive.differences(each))
                inconsistent = consistency.inconsistent_records(each)
                found += [f"{each}: {count} records: {what}" for what, count in inconsistent.items()]
        except KeyboardInterrupt as stopped:
            raise CommandError(
                f"Interrupted with {len(found)} differences so far. Continue with --from {days[int(bar.n)]}.",
                returncode=INTERRUPTED,
            ) from stopped
        finally:
            bar.close()
        found += archive.wrong_sums(first, last)
        for line in archive.not_checked():
            self.stderr.write(line)
        if found:
            for line in found[:SHOWN]:
                self.stderr.write(line)
            raise CommandError(
                f"{len(found)} differences" + (f", the first {SHOWN} above" if len(found) > SHOWN else "") + ". "
                "`manage.py rebuild_daily --from DATE --to DATE` rebuilds the rollups from the ledger."
            )
        checked = [each for each in days if each.replace(day=1) not in archive.unreadable]
        ledger = "the ledger and its archive" if archive.read else "the ledger"
        grains = sum(len(of.grains) for of in rollup.ROLLUPS)
        self.stdout.write(f"The rollups equal {ledger}: {consistency.calls_on(checked):,} calls, {grains} grains.")


class Archive:
    """The archive files that can be read here; verifies each file once."""

    def __init__(self) -> None:
        self.read: set[int] = set()
        """Ids of the files that are here and unchanged."""
        self.unreadable: dict[date, str] = {}
        """Month → why its days were not checked."""

    def differences(self, day: date) -> list[consistency.Difference]:
        """Return the differences of that day's rollups; none if its archive files cannot be read."""
        while True:
            files = self._files_of(day)
            if files is None:
                return []
            sums = storage.parquet().daily_rows(files, day) if files else None
            # While a month is being archived, its calls are in both places: compare again if its files have changed.
            if not (found := consistency.differences(day, sums)) or self._files_of(day) == files:
                return found

    def wrong_sums(self, first: date | None, last: date | None) -> list[str]:
        """Return the files whose sums by workflow, content and account do not count all of their calls."""
        files = ArchiveFile.objects.filter(state=ArchiveFile.State.ARCHIVED).annotate(
            counted=Subquery(
                ArchivedUsage.objects.filter(file=OuterRef("pk"))
                .order_by()
                .values("file")
                .values(calls=Sum("requests_count"))
            )
        )
        return [
            f"{file.path}: the sums by workflow and content count {file.counted or 0:,} of {expected:,} calls. Restore"
            " this month (`restore_usage`) and archive it again."
            for file in files
            if (first or date.min) <= after(file.month) and file.month <= (last or date.max)
            if (file.counted or 0) != (expected := file.calls - len(file.changed_ids))
        ]

    def not_checked(self) -> list[str]:
        return [f"{month:%Y-%m} was not checked: {why}" for month, why in sorted(self.unreadable.items())]

    def _files_of(self, day: date) -> list[ArchiveFile] | None:
        """Return the files of the day's month; None if one cannot be read."""
        month = day.replace(day=1)
        files = list(ArchiveFile.objects.filter(month=month))
        if month not in self.unreadable:
            for file in files:
                self._verify(file)
        return None if month in self.unreadable else files

    def _verify(self, file: ArchiveFile) -> None:
        if file.state != ArchiveFile.State.ARCHIVED:
            self.unreadable[file.month] = f"it is {file.get_state_display()}, or that was interrupted."
        elif file.pk not in self.read:
            try:
                storage.parquet().verify(file)
                self.read.add(file.pk)
            except archived.UnreadableError as error:
                self.unreadable[file.month] = f"it is archived, and {error}"
