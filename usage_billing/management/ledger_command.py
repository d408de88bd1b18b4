"""What the commands that work on the whole ledger share."""

import getpass
import os
from typing import Any

from usage_billing.management.printable_command import PrintableCommand
from usage_billing.tenancy import roles

INTERRUPTED = 130
"""A shell's exit code of a program that Ctrl-C ended."""


class LedgerCommand(PrintableCommand):
    """Runs in the ledger's role, whichever PostgreSQL user the command connects as."""

    def handle(self, *args: Any, **options: Any) -> None:
        with roles.for_the_session(roles.LEDGER):
            self.work(*args, **options)

    def work(self, *args: Any, **options: Any) -> None:
        """The command itself."""
        raise NotImplementedError


def user() -> str:
    """Who runs the command, for a log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return f"uid {os.getuid()}"
