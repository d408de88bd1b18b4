"""`manage.py seed_demo`: makes demo organisations with three months of usage."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone
from tqdm import tqdm

from usage_billing.ledger import writer
from usage_billing.management import demo_data
from usage_billing.management.printable_command import PrintableCommand
from usage_billing.models import UsageRecord
from usage_billing.models.database import atomic


class Command(PrintableCommand):
    help = "Make demo organisations, their users and three months of usage. Existing rows stay."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("seed_demo makes users with a known password: it runs only with DEBUG=1.")
        now = timezone.now()
        with atomic():
            demo_data.create_people()
            demo_data.create_rates(timezone.localdate(now))
            slugs = [organization.slug for organization in demo_data.ORGANIZATIONS]
            if not UsageRecord.objects.filter(org__slug__in=slugs).exists():
                self._add_calls(now)
            for said in filter(None, (add(now) for add in demo_data.further)):
                self.stdout.write(said)
        self.stdout.write()
        self.stdout.write(f"Log-ins (password of each: {demo_data.PASSWORD}):")
        self.stdout.write(f"  {demo_data.SUPERADMIN:10} superadmin      /superadmin/ai-costs")
        for organization in demo_data.ORGANIZATIONS:
            for name in organization.people:
                role = "owner of" if name == organization.people[0] else "member of"
                self.stdout.write(f"  {name:10} {role:10} {organization.name}    /usage/")

    def _add_calls(self, now: Any) -> None:
        today = timezone.localdate(now)
        days = [today - timedelta(days=number) for number in range(demo_data.DAYS - 1, -1, -1)]
        added = 0
        for week in tqdm(range(0, len(days), 7), desc="Three months of usage", unit=" week", disable=None):
            added += writer.add([event for day in days[week : week + 7] for event in demo_data.calls_of(day, now)])
        self.stdout.write(f"Added {added:,} calls over {len(days)} days.")
