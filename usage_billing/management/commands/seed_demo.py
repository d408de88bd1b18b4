"""`manage.py seed_demo`: makes demo organisations with 200 days of usage. `manage.py demo` makes calls for them."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone
from tqdm import tqdm

from usage_billing.ledger import writer
from usage_billing.management import demo_data
from usage_billing.management.demo_data_budgets import create_budgets
from usage_billing.management.demo_data_calls import calls_of
from usage_billing.management.printable_command import PrintableCommand
from usage_billing.models import UsageRecord
from usage_billing.models.database import atomic
from usage_billing.tenancy import roles

DAYS_AT_ONCE = 10


class Command(PrintableCommand):
    help = "Make demo organisations, their users and 200 days of usage. Existing rows stay."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("seed_demo makes users with a known password: it runs only with DEBUG=1.")
        now = timezone.now()
        with atomic():
            demo_data.create_people()
            demo_data.create_rates(timezone.localdate(now))
        # Each in transactions of its own: on Citus, one transaction cannot use the ledger's tables in two roles.
        self._add_calls(now)
        if budgets := create_budgets(now):
            self.stdout.write(f"Set {budgets} budgets, with alerts.")
        for said in filter(None, (add(now) for add in demo_data.further)):
            self.stdout.write(said)
        self.stdout.write()
        self.stdout.write(f"Log-ins (password of each: {demo_data.PASSWORD}):")
        for login in demo_data.logins():
            role = f"{login.role} of" if login.organization else login.role
            page = "/usage/" if login.organization else "/superadmin/ai-costs"
            self.stdout.write(f"  {login.username:10} {role:11} {login.organization:22} {page}")

    def _add_calls(self, now: datetime) -> None:
        """Add the calls of the organisations that have none: what an earlier version made stays as it is."""
        accounts = [
            account for account in demo_data.accounts() if not UsageRecord.objects.filter(org=account.org).exists()
        ]
        if not accounts:
            return
        today = timezone.localdate(now)
        # One more on each side: the day of an organisation further east or west has begun, or not yet ended.
        days = [today - timedelta(days=number) for number in range(demo_data.DAYS, -2, -1)]
        added = 0
        batches = tqdm(
            range(0, len(days), DAYS_AT_ONCE), desc=f"{demo_data.DAYS} days of usage", unit=" batch", disable=None
        )
        with roles.applied(roles.AS_LEDGER):
            for first in batches:
                batch = days[first : first + DAYS_AT_ONCE]
                added += writer.add(
                    [event for day in batch for account in accounts for event in calls_of(account, day, now)]
                )
        self.stdout.write(f"Added {added:,} calls over {demo_data.DAYS} days.")
