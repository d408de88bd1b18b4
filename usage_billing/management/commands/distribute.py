"""`manage.py distribute`: spreads the calls over the workers of a Citus cluster."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError

from usage_billing.conf import conf
from usage_billing.management.cluster_command import ClusterCommand, alone
from usage_billing.models import database
from usage_billing.models.database import connection
from usage_billing.reports.sql import functions
from usage_billing.tenancy import cluster, distributing, row_level_security, seal, shards
from usage_billing.tenancy.workers import workers

MOST_SHARDS = 1024


class Command(ClusterCommand):
    help = (
        "Spread token_usage and token_usage_daily over the workers of a Citus cluster, by organisation (docs/scale.md)."
        " Run it as the tables' owner while no drain and no job runs. It can be repeated: it does what is left to do,"
        " and gives workers that were added since what they need."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--shards", type=int, help="shards of each table (default: citus.shard_count, 32)")
        parser.add_argument("--dry-run", action="store_true", help="only tell what is missing and what would be done")

    def work(self, *, shards: int | None = None, dry_run: bool = False, **options: Any) -> None:
        if shards is not None and not 1 <= shards <= MOST_SHARDS:
            raise CommandError(f"--shards {shards} is not between 1 and {MOST_SHARDS}.")
        self._refuse(cluster.missing_nodes(connection))
        self._supply(dry_run=dry_run)
        with connection.cursor() as cursor:
            there, on = distributing.shard_count(cursor), ", ".join(workers(cursor))
        if there and shards not in (None, there):
            raise CommandError(
                f"The tables have {there} shards. For {shards}, run `manage.py undistribute` first: it needs room for"
                " all calls on the coordinator."
            )
        if dry_run:
            what = "have their shards already" if there else f"would get {shards or 'citus.shard_count'} shards each"
            self.stdout.write(f"Nothing is missing. The tables {what}, on {on}. Nothing was changed.")
            return
        with alone():
            self._distribute(there, shards)
        with connection.cursor() as cursor:
            there = distributing.shard_count(cursor)
        self.stdout.write(
            f"The tables have {there} shards each, on {on}. Restart the web, the drains and the jobs: open connections"
            " do not know it yet."
        )
        call_command("check_usage", stdout=self.stdout, stderr=self.stderr)

    def _supply(self, *, dry_run: bool) -> None:
        """Supply what is missing, as far as this user may. Raises `CommandError` if something else is missing."""
        if not dry_run and conf.ROW_LEVEL_SECURITY:
            distributing.share_roles(connection)
        missing = cluster.missing_access(connection)
        if not dry_run:
            for each in missing:
                if each.statement:
                    self.stdout.write(f"{each.what} Now: {each.statement}")
                    with connection.cursor() as cursor:
                        cluster.supply(cursor, each)
            missing = cluster.missing_access(connection)
        self._refuse(missing)

    def _refuse(self, missing: Sequence[cluster.Missing]) -> None:
        for each in missing:
            self.stderr.write(each.what)
            self.stderr.write(f"    {each.remedy}")
        if missing:
            raise CommandError(
                "The ledger cannot be distributed yet; what is missing is told above."
                + (" This command supplies some of it." if any(each.statement for each in missing) else "")
            )

    def _distribute(self, there: int, count: int | None) -> None:
        with connection.cursor() as cursor:
            # Citus passes functions on when they are created: these may be older than the extension.
            with database.atomic():
                seal.create(connection)
                functions.create(connection)
            shards.share_key(cursor)
            if not there:
                distributing.distribute(connection, count)
            distributing.clear(connection)
        if conf.ROW_LEVEL_SECURITY:
            with database.atomic():
                row_level_security.secure(connection)
