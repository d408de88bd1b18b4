"""What the commands that work on the whole ledger share."""

from typing import Any

from django.core.management.base import BaseCommand

from usage_billing.database import roles


class LedgerCommand(BaseCommand):
    """Runs in the ledger's role, whichever PostgreSQL user the command connects as."""

    def handle(self, *args: Any, **options: Any) -> None:
        with roles.for_the_session(roles.LEDGER):
            self.work(*args, **options)

    def work(self, *args: Any, **options: Any) -> None:
        """The command itself."""
        raise NotImplementedError
