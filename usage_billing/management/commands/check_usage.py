"""`manage.py check_usage`: do the daily totals equal the ledger?"""

from typing import Any

from django.core.management.base import CommandError
from tqdm import tqdm

from usage_billing import audit
from usage_billing.management.ledger_command import LedgerCommand
from usage_billing.models import UsageRecord
from usage_billing.models.daily_usage import GRAINS

SHOWN = 20


class Command(LedgerCommand):
    help = "Compare each grain of the daily totals with the ledger's rows. Exits with 1 if anything differs."

    def work(self, *args: Any, **options: Any) -> None:
        found: list[str] = []
        for grain in tqdm(GRAINS, desc="check_usage", unit=" grain", disable=None, delay=2):
            found += [str(difference) for difference in audit.differences(grain)]
        found += [f"{count} records: {what}" for what, count in audit.inconsistent_records().items()]
        if found:
            for line in found[:SHOWN]:
                self.stderr.write(line)
            raise CommandError(
                f"{len(found)} differences" + (f", the first {SHOWN} above" if len(found) > SHOWN else "") + ". "
                "`manage.py rebuild_daily --from DATE --to DATE` makes the totals anew from the ledger."
            )
        self.stdout.write(
            f"The daily totals equal the ledger: {UsageRecord.objects.count():,} calls, {len(GRAINS)} grains."
        )
