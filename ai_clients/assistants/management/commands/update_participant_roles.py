"""`manage.py update_participant_roles`: the profiles of all participants who have written something new."""

from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from tqdm import tqdm

from ai_clients.assistants.participants.role_updates import due_participants, update_roles
from usage_billing.management.printable_command import PrintableCommand


class Command(PrintableCommand):
    help = "Analyse every participant who wrote something since the last time; run again, it goes on where it stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        keys = due_participants(timezone.now())
        summary = update_roles(tqdm(keys, desc="Participants", unit=" participant", disable=None))
        for key, reason in summary.failures.items():
            self.stderr.write(f"Participant {key.participant_id} of organisation {key.org_id}: {reason}")
        said = (
            f"Analysed {summary.analysed} participants of {summary.organizations} organisations; "
            f"{summary.skipped} skipped, {summary.failed} failed."
        )
        if summary.failed:
            raise CommandError(f"{said} Run it again for those that failed.")
        self.stdout.write(said)
