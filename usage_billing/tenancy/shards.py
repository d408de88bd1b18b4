"""Lets the shards enforce row-level security: gives the workers the keys of scopes, and the shards the policies.

The policies contain sub-selects without a table, for the reasons that `seal` tells. Citus refuses sub-selects, because
a worker may lack their tables. So the policies are made on the coordinator's table without Citus, and copied to the
shards; Citus itself copies them with a shard that moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from usage_billing.tenancy.distribution import TABLES
from usage_billing.tenancy.seal import KEY_TABLE
from usage_billing.tenancy.workers import ClusterError, run_on_workers


def share_key(cursor: Any) -> None:
    """Give each worker the keys of scopes: its policies check their seals. Raises `ClusterError`.

    It has the keys of a later `migrate` too: `apps` calls this again.
    """
    cursor.execute(
        "SELECT quote_ident(relnamespace::regnamespace::text), quote_ident(pg_get_userbyid(relowner))"
        " FROM pg_class WHERE oid = %s::regclass",
        [KEY_TABLE],
    )
    schema, owner = cursor.fetchone()
    table = f"{schema}.{KEY_TABLE}"
    cursor.execute(f"SELECT format('(%L, %L, %L)', inner_pad, outer_pad, valid_until) FROM {KEY_TABLE}")  # noqa: S608 - our own names
    keys = [key for (key,) in cursor.fetchall()]
    insert = f"INSERT INTO {table} VALUES {', '.join(keys)};" if keys else ""  # noqa: S608 - our own names
    run_on_workers(
        cursor,
        f"DO $do$ BEGIN CREATE TABLE IF NOT EXISTS {table} (inner_pad bytea NOT NULL, outer_pad bytea NOT NULL,"  # noqa: S608 - our own names
        f" valid_until timestamptz NOT NULL); ALTER TABLE {table} OWNER TO {owner}; DELETE FROM {table}; {insert}"
        " END $do$",
    )


def forget_key(cursor: Any) -> None:
    """Take the keys from the workers again. Raises `ClusterError`."""
    run_on_workers(cursor, f"DROP TABLE IF EXISTS {KEY_TABLE}")


@contextmanager
def on_coordinator(cursor: Any) -> Iterator[None]:
    """Let Citus pass no statement on that changes the coordinator's tables. In a transaction."""
    cursor.execute("SET LOCAL citus.enable_ddl_propagation = off")
    yield
    cursor.execute("SET LOCAL citus.enable_ddl_propagation = on")


def share_policies(cursor: Any) -> int:
    """Give the shards the policies of the coordinator's tables. Returns how many tables lacked some.

    Not in a transaction that has locked the shards, because each of them is changed over a connection of its own.
    Raises `ClusterError`.
    """
    changed = 0
    for table in TABLES:
        cursor.execute(_DESCRIBE % f'"{table}"')
        (wanted,) = cursor.fetchone()
        cursor.execute(
            "SELECT bool_and(success AND result = %s) FROM run_command_on_shards(%s, %s)", [wanted, table, _DESCRIBE]
        )
        if cursor.fetchone()[0]:
            continue
        changed += 1
        cursor.execute(_CREATE_POLICIES, [table])
        create = " ".join(statement for (statement,) in cursor.fetchall())
        cursor.execute(
            "SELECT shardid, result FROM run_command_on_shards(%s, %s) WHERE NOT success LIMIT 1",
            [table, _REPLACE_POLICIES.replace("…", create)],
        )
        if failed := cursor.fetchone():
            raise ClusterError(f"The shard {failed[0]} of {table} got no policies: {failed[1]}")
    return changed


_DESCRIBE = """
SELECT concat(c.relrowsecurity, string_agg(concat_ws(' ', p.polname, p.polcmd, p.polroles::regrole[],
    pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)), ' ' ORDER BY p.polname))
FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid WHERE c.oid = '%s'::regclass GROUP BY c.relrowsecurity
"""
"""The policies of a table as one text."""

_CREATE_POLICIES = """
SELECT format('CREATE POLICY %%I ON %%%%1$s FOR %%s TO %%s USING (%%s);', polname,
    CASE polcmd WHEN 'r' THEN 'SELECT' ELSE 'ALL' END,
    (SELECT string_agg(role::regrole::text, ', ') FROM unnest(polroles) AS role),
    replace(pg_get_expr(polqual, polrelid), '%%', '%%%%'))
FROM pg_policy WHERE polrelid = %s::regclass ORDER BY polname
"""
"""The statements that make a table's policies, with `%1$s` for the name of a shard."""

_REPLACE_POLICIES = """
DO $do$ DECLARE name text; BEGIN
    FOR name IN SELECT polname FROM pg_policy WHERE polrelid = '%1$s'::regclass LOOP
        EXECUTE format('DROP POLICY %%I ON %1$s', name);
    END LOOP;
    … ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY;
END $do$
"""
