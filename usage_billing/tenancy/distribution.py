"""Tells whether Citus spreads the calls over several machines, and does the few things that only Citus needs.

`token_usage` and `token_usage_daily` are distributed by `org_id`, all other tables stay on the coordinator
(docs/scale.md). On SQLite and on one PostgreSQL nothing here costs a statement a batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import OperationalError

from usage_billing.models import DailyUsage, UsageRecord
from usage_billing.models.database import atomic, connection

TABLES = (UsageRecord._meta.db_table, DailyUsage._meta.db_table)
COLUMN = "org_id"
ALL_ORGANIZATIONS = 0
"""The organisation of rollup rows that leave it out."""

WRITERS = "hashtext('usage_billing.distribution')"
"""The advisory lock that a connection that writes the ledger shares until it is closed. `distribute` takes it alone."""
_WRITING = f"""
SELECT format('%s (process %s, from %s)', usename, pid, coalesce(client_addr::text, 'this machine'))
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND datname = current_database() AND pid <> pg_backend_pid()
    AND (classid::bigint << 32 | objid::bigint) = {WRITERS}
ORDER BY pid
"""  # noqa: S608 - our own names
CLOSING_S = 1.0
"""How long `distribute` waits for connections that are closing, in seconds."""
REPAIR = "hashtext('usage_billing.rebuild')"
"""The advisory lock of transactions that compare calls with rollups. On Citus, writers share it."""


class UnfinishedCommitError(OperationalError):
    """Raised while a commit is finished on some nodes only, because one of them failed."""


@dataclass
class _Known:
    """What is known for as long as a database connection lives. shards: organisation → the shard of its calls."""

    driver: Any
    is_distributed: bool
    shards: dict[int, int] = field(default_factory=dict)


_KNOWN = "usage_distribution"
"""The connection's attribute with what is known about it."""


def is_distributed() -> bool:
    """Whether the ledger's tables are distributed. Asked once per database connection of a writer.

    The answer cannot change meanwhile: the connection holds a lock that `distribute` and `undistribute` wait for.
    """
    return connection.vendor == "postgresql" and _known().is_distributed


def _known() -> _Known:
    connection.ensure_connection()
    known: _Known | None = getattr(connection, _KNOWN, None)
    if known is None or known.driver is not connection.connection:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_advisory_lock_shared({WRITERS})")
            known = _Known(connection.connection, are_distributed(cursor))
        setattr(connection, _KNOWN, known)
    return known


def stop_writers(cursor: Any) -> list[str]:
    """Keep other connections from writing until `let_writers_go_on`. Returns those that write, and then stops none.

    It waits `CLOSING_S` for them: PostgreSQL ends the session of a process a moment after the process.
    """
    until = time.monotonic() + CLOSING_S
    while True:
        cursor.execute(f"SELECT pg_try_advisory_lock({WRITERS})")
        if cursor.fetchone()[0]:
            return []
        cursor.execute(_WRITING)
        writing = [name for (name,) in cursor.fetchall()]
        if writing and time.monotonic() > until:
            return writing
        time.sleep(0.05)


def let_writers_go_on() -> None:
    """End what `stop_writers` began. This connection asks anew whether the tables are distributed."""
    setattr(connection, _KNOWN, None)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_advisory_unlock({WRITERS})")


def are_distributed(cursor: Any) -> bool:
    """Read from PostgreSQL whether the ledger's tables are distributed."""
    cursor.execute("SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL")
    if not cursor.fetchone()[0]:
        return False
    cursor.execute(
        "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = ANY (%s::regclass[]) AND partmethod = 'h'",
        [list(TABLES)],
    )
    return int(cursor.fetchone()[0]) == len(TABLES)


# ── One moment on all nodes ──────────────────────────────────────────────────────────────────────────────────────


def begin_write() -> None:
    """Let no repair run beside this transaction, which writes calls and rollups.

    Citus has no snapshot of all nodes: a repair could read a commit's calls and not yet its rollups.
    """
    if is_distributed():
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_advisory_xact_lock_shared({REPAIR})")


def begin_comparison() -> None:
    """Let no writer run beside this transaction, which compares calls with rollups. Only Citus needs it.

    Raises `UnfinishedCommitError` if a node failed within a commit: Citus finishes it a minute after the node is back.
    """
    if not is_distributed():
        return
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_advisory_xact_lock({REPAIR})")
        cursor.execute(
            "SELECT nodename, nodeport, success, result FROM run_command_on_workers("
            "$$SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database() AND gid LIKE 'citus\\_%'$$)"
        )
        for host, port, success, result in cursor.fetchall():
            if not success or result != "0":
                reason = f"{result} transactions are not finished there" if success else result
                raise UnfinishedCommitError(
                    f"The node {host}:{port} may lack parts of a commit: {reason}. Citus finishes it about a minute"
                    " after the node is back (citus.recover_2pc_interval). Then run this again."
                )


@contextmanager
def comparing() -> Iterator[None]:
    """Compare calls with rollups in this block. On Citus it is a transaction beside which no writer runs.

    Raises `UnfinishedCommitError`.
    """
    if not is_distributed():
        yield
        return
    with atomic():
        begin_comparison()
        yield


# ── Shards ───────────────────────────────────────────────────────────────────────────────────────────────────────


def by_shard(org_ids: Iterable[int]) -> list[list[int]]:
    """Group organisations by the shard of their calls, in the order in which all writers write the shards.

    Writers that keep to it cannot deadlock. The shard of organisation 0 comes last: every writer adds to its totals,
    and holds them until its commit.
    """
    known, wanted = _known().shards, {*org_ids}
    if new := sorted({ALL_ORGANIZATIONS, *wanted} - known.keys()):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT org_id, get_shard_id_for_distribution_column(%s, org_id) FROM unnest(%s::bigint[]) AS org_id",
                [TABLES[0], new],
            )
            known.update(cursor.fetchall())
    groups: dict[int, list[int]] = {}
    for org_id in sorted(wanted):
        groups.setdefault(known[org_id], []).append(org_id)
    return [groups[shard] for shard in sorted(groups, key=lambda shard: (shard == known[ALL_ORGANIZATIONS], shard))]
