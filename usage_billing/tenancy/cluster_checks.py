"""Checks the settings of a Citus cluster that holds the ledger: `check --deploy --database default`.

Some are visible to superusers only; for other users they are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections

from usage_billing.models import database
from usage_billing.tenancy import cluster, distributing, distribution
from usage_billing.tenancy.workers import on_workers, workers

_DOCUMENT = "docs/scale.md"


@register(Tags.database, deploy=True)
def cluster_is_sound(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Return nothing where the ledger is on one PostgreSQL, or on SQLite."""
    connection = connections[database.alias()]
    if database.alias() not in (databases or ()) or connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        if not distribution.are_distributed(cursor):
            return []
        return [
            *_access(cursor),
            *_transactions(cursor),
            *_encryption(cursor),
            *_trust(cursor),
            *_shards(cursor),
        ]


def _access(cursor: Any) -> Iterator[CheckMessage]:
    for missing in (*cluster.roles(cursor), *cluster.settings(cursor)):
        yield Error(missing.what, hint=f"{missing.remedy} See {_DOCUMENT}.", id="usage_billing.E041")


def _transactions(cursor: Any) -> Iterator[CheckMessage]:
    """Check that a commit on several nodes can be finished after one of them failed."""
    lacking = "SELECT current_setting('max_prepared_transactions')::int < current_setting('max_connections')::int"
    for name, success, result in on_workers(cursor, lacking):
        if success and result == "t":
            yield Warning(
                f"On {name}, max_prepared_transactions is below max_connections: a write to several nodes fails when"
                " many run at once.",
                hint="Set it to twice max_connections in postgresql.conf there, and restart.",
                id="usage_billing.W042",
            )
    cursor.execute("SELECT setting::int FROM pg_settings WHERE name = 'citus.recover_2pc_interval' AND setting = '-1'")
    if cursor.fetchone():
        yield Warning(
            "citus.recover_2pc_interval is -1: what a node's failure left half committed stays so.",
            hint="Remove it from the coordinator's settings; the default is 60 s.",
            id="usage_billing.W043",
        )


def _encryption(cursor: Any) -> Iterator[CheckMessage]:
    cursor.execute("SELECT setting FROM pg_settings WHERE name = 'citus.node_conninfo'")
    row = cursor.fetchone()
    is_encrypted = row is None or any(mode in row[0] for mode in ("require", "verify-ca", "verify-full"))
    remote = [name for name in workers(cursor) if not name.startswith(("127.", "localhost:", "::1:"))]
    if remote and not is_encrypted:
        yield Warning(
            f"The coordinator sends calls to {remote[0]} without encryption (citus.node_conninfo: “{row[0]}”).",
            hint="Set sslmode=require, better verify-full with a certificate authority of your own.",
            id="usage_billing.W044",
        )


def _trust(cursor: Any) -> Iterator[CheckMessage]:
    """Check that nobody logs in on a worker without a credential: its shards show all rows to the tables' owner."""
    trusting = (
        "SELECT coalesce(string_agg(DISTINCT address, ', '), '') FROM pg_hba_file_rules"
        " WHERE auth_method = 'trust' AND type <> 'local' AND address NOT IN ('127.0.0.1', '::1', 'samehost')"
    )
    for name, success, result in on_workers(cursor, trusting):
        if success and result:
            yield Warning(
                f"{name} lets in without a credential whoever connects from {result} (“trust” in pg_hba.conf).",
                hint=f"Limit it to the coordinator's address, with scram-sha-256 or cert: {_DOCUMENT}.",
                id="usage_billing.W045",
            )


def _shards(cursor: Any) -> Iterator[CheckMessage]:
    count, nodes = distributing.shard_count(cursor), len(workers(cursor))
    if count < nodes:
        yield Warning(
            f"The tables have {count} shards on {nodes} workers, so some workers have nothing to do.",
            hint="Run `manage.py undistribute`, then `manage.py distribute --shards N` with several for each worker.",
            id="usage_billing.W046",
        )
