"""`manage.py send_weekly_digests`: last week in figures, to the owners who subscribed, once."""

from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from tqdm import tqdm

from ai_clients.assistants.digest.job import due_organizations, send_digests
from usage_billing.management.printable_command import PrintableCommand


class Command(PrintableCommand):
    help = "Send last week's digests to the owners who subscribed; run it as often as you like, each goes out once."

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        summary = send_digests(tqdm(due_organizations(now), desc="Digests", unit=" digest", disable=None), now)
        for org_id, reason in summary.failures.items():
            self.stderr.write(f"Organisation {org_id}: {reason}")
        said = (
            f"Sent the digests of {summary.sent} organisations; {summary.quiet} had no calls, {summary.nobody} no "
            f"subscriber with an e-mail address, {summary.failed} failed."
        )
        if summary.failed:
            raise CommandError(f"{said} Run it again for those that failed.")
        self.stdout.write(said)
