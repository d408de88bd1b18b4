"""Base class of the commands that distribute the ledger over a Citus cluster, and bring it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import DatabaseError

from usage_billing.conf import conf
from usage_billing.ledger import drain
from usage_billing.management.printable_command import PrintableCommand
from usage_billing.models.database import connection
from usage_billing.tenancy import distribution
from usage_billing.tenancy.workers import ClusterError


class ClusterCommand(PrintableCommand):
    """A command that works alone on the ledger's tables, as their owner."""

    def handle(self, *args: Any, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError(
                f"The ledger is in {connection.display_name}, which stays on one machine. Only PostgreSQL with Citus"
                " can spread it over several: docs/scale.md."
            )
        try:
            self.work(**options)
        except (ClusterError, ImproperlyConfigured, DatabaseError) as error:
            raise CommandError(f"{error} What was done so far stays; run this again.".replace("\n", " ")) from error

    def work(self, **options: Any) -> None:
        """Do the work of the command."""
        raise NotImplementedError


@contextmanager
def alone() -> Iterator[None]:
    """Keep all other processes from writing the ledger. Raises `CommandError` if one does, or may at any moment."""
    outbox = Path(conf.OUTBOX_PATH)
    if not outbox.parent.is_dir():
        with _without_writers():
            yield
        return
    try:
        with drain.exclusively(outbox), _without_writers():
            yield
    except drain.DrainBusyError as busy:
        raise CommandError(f"{busy} Stop it first; calls wait in the outbox.") from busy


@contextmanager
def _without_writers() -> Iterator[None]:
    with connection.cursor() as cursor:
        if others := distribution.stop_writers(cursor):
            raise CommandError(
                "Other processes write the ledger. Stop the drains and the jobs of all machines first, and a web that"
                f" drains (USAGE_DRAIN=thread): {'; '.join(others)}"
            )
    try:
        yield
    finally:
        distribution.let_writers_go_on()
