"""Base class of commands that work on the whole ledger."""

import getpass
import os
from typing import Any

from usage_billing.management.printable_command import PrintableCommand
from usage_billing.tenancy import roles

INTERRUPTED = 130
"""Exit code of a program that Ctrl-C ended."""


class LedgerCommand(PrintableCommand):
    """A command that runs in the ledger's role, whichever PostgreSQL user it connects as."""

    def handle(self, *args: Any, **options: Any) -> None:
        with roles.for_the_session(roles.LEDGER):
            self.work(*args, **options)

    def work(self, *args: Any, **options: Any) -> None:
        """Do the work of the command."""
        raise NotImplementedError


def user() -> str:
    """Return the system user who runs the command, for a log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return f"uid {os.getuid()}"
