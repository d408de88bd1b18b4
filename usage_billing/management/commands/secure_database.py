"""`manage.py secure_database`: creates PostgreSQL's roles, grants and row-level security."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from usage_billing.conf import conf
from usage_billing.management.printable_command import PrintableCommand
from usage_billing.models import database
from usage_billing.tenancy import row_level_security


class Command(PrintableCommand):
    help = (
        "Create PostgreSQL's roles, grants and row-level security for the tables of AI Costs, and of the apps in "
        'AI_COSTS["SECURED_APPS"]. No other table is touched. Run it as the owner of the tables, once, and with a user '
        "who may create roles; later migrations keep the policies up to date. It can be repeated."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only print the statements")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        connection = database.connection
        if connection.vendor != "postgresql":
            raise CommandError(f"The ledger is in {connection.display_name}, which has no row-level security.")
        try:
            with database.atomic():
                done = row_level_security.secure(connection)
                if dry_run:
                    connection.set_rollback(True)
        except row_level_security.RolesMissingError as missing:
            for statement in missing.statements:
                self.stderr.write(f"    {statement};")
            raise CommandError(
                f"{missing} Have an administrator run the statements above, then run this again."
            ) from missing
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        for statement in done if dry_run else ():
            self.stdout.write(f"{statement};")
        self.stdout.write(f"{len(done)} statements {'would be' if dry_run else 'were'} executed.")
        if not conf.ROW_LEVEL_SECURITY:
            self.stdout.write('Set AI_COSTS["ROW_LEVEL_SECURITY"] = True, so that the pages and the API use them.')
