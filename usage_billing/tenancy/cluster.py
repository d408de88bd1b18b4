"""Looks at a Citus cluster: what is missing before the ledger can be distributed, and which settings are weak."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from usage_billing.conf import conf
from usage_billing.tenancy.distribution import TABLES
from usage_billing.tenancy.row_level_security import TAKEN
from usage_billing.tenancy.workers import on_workers, run_on_workers, workers

OLDEST = (14, 0)
"""The oldest version of Citus that this was tried with."""
SET_COMMANDS = "citus.propagate_set_commands"
_ON_THIS_NODE = "citus.enable_alter_role_propagation", "citus.enable_create_role_propagation"
"""Settings of Citus that pass on statements about roles. The roles of the service log in on the workers only."""


@dataclass(frozen=True)
class Missing:
    """Something without which the ledger cannot be distributed. `remedy`: what to run or do, and where.

    statement: what this user may run instead, on each of the `workers`, or here if there are none.
    """

    what: str
    remedy: str
    statement: str = ""
    workers: tuple[str, ...] = ()


def missing_nodes(connection: BaseDatabaseWrapper) -> list[Missing]:
    """Return which parts of a cluster are missing, as far as it can be seen: without the extension it has no nodes."""
    with connection.cursor() as cursor:
        if lacking := _extension(cursor):
            return [lacking]
        if lacking := _coordinator(cursor):
            return [lacking]
        return [*_tables(cursor), *_nodes(cursor)]


def missing_access(connection: BaseDatabaseWrapper) -> list[Missing]:
    """Return what keeps the service's roles from reading the workers of a complete cluster."""
    with connection.cursor() as cursor:
        return [*(list(roles(cursor)) or _logins(cursor)), *settings(cursor)]


def _extension(cursor: Any) -> Missing | None:
    cursor.execute("SELECT name FROM pg_available_extensions WHERE name = 'citus'")
    if cursor.fetchone() is None:
        cursor.execute("SHOW server_version")
        version = cursor.fetchone()[0].partition(" ")[0]
        return Missing(
            f"This is one PostgreSQL {version} without Citus.",
            f"On this machine and on each worker: install Citus {OLDEST[0]} or newer for PostgreSQL {version}, add"
            " `shared_preload_libraries = 'citus'` to postgresql.conf, restart, and run CREATE EXTENSION citus; in"
            " this database. Then join the workers here: SELECT citus_set_coordinator_host('HOST');"
            " SELECT citus_add_node('WORKER', 5432);",
        )
    cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'citus'")
    if (row := cursor.fetchone()) is None:
        return Missing(
            "Citus is installed, and this database does not use it.",
            "As a superuser, in this database and in that of the same name on each worker: CREATE EXTENSION citus;"
            " (postgresql.conf needs shared_preload_libraries = 'citus'.) Then join the workers here:"
            " SELECT citus_set_coordinator_host('HOST'); SELECT citus_add_node('WORKER', 5432);",
        )
    if tuple(int(part) for part in row[0].partition("-")[0].split(".")) < OLDEST:
        return Missing(
            f"Citus is version {row[0]}; this needs {OLDEST[0]}.{OLDEST[1]} or newer.",
            "Install it on all nodes, restart them, and run ALTER EXTENSION citus UPDATE; in this database of each.",
        )
    return None


def _coordinator(cursor: Any) -> Missing | None:
    cursor.execute("SELECT groupid FROM pg_dist_local_group")
    if (row := cursor.fetchone()) and row[0] != 0:
        return Missing("This is a worker, and not the coordinator.", "Set DATABASE_URL to the coordinator.")
    return None


def _tables(cursor: Any) -> Iterator[Missing]:
    cursor.execute(
        "SELECT relname, pg_get_userbyid(relowner), pg_has_role(relowner, 'USAGE') FROM pg_class"
        " WHERE oid = ANY (%s::regclass[]) ORDER BY relname",
        [list(TABLES)],
    )
    for name, owner, is_ours in cursor.fetchall():
        if not is_ours:
            yield Missing(f"{name} belongs to {owner}.", f"Run this command as {owner}.")


def _nodes(cursor: Any) -> Iterator[Missing]:
    cursor.execute("SELECT EXISTS (SELECT FROM pg_dist_node WHERE groupid = 0)")
    if not cursor.fetchone()[0]:
        yield Missing(
            "The workers do not know the coordinator's address.",
            "As a superuser: SELECT citus_set_coordinator_host('HOST');",
        )
    if not workers(cursor):
        yield Missing(
            "The coordinator has no worker.",
            "As a superuser, for each worker: SELECT citus_add_node('WORKER', 5432);",
        )
    for name, success, result in on_workers(cursor, "SELECT 1"):
        if not success:
            yield Missing(f"The worker {name} does not answer: {result}", "Start it, or let this node connect to it.")


def roles(cursor: Any) -> Iterator[Missing]:
    """Find the roles that cannot log in on each worker: Citus connects as the role that asks."""
    if not conf.ROW_LEVEL_SECURITY:
        return
    cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    (is_superuser,) = cursor.fetchone()
    for role in TAKEN:
        found = on_workers(cursor, f"SELECT max(rolcanlogin::text) FROM pg_roles WHERE rolname = '{role}'")  # noqa: S608 - our own names
        lacking = [(name, result) for name, success, result in found if not success or result != "true"]
        for verb, names in (
            ("ALTER", tuple(name for name, result in lacking if result)),
            ("CREATE", tuple(name for name, result in lacking if not result)),
        ):
            statement = f"{verb} ROLE {role} {'NOINHERIT ' if verb == 'CREATE' else ''}LOGIN;"
            off = " ".join(f"SET LOCAL {name} = off;" for name in _ON_THIS_NODE)
            if names:
                yield Missing(
                    f"{role} may not log in on {', '.join(names)}, where Citus connects as the role that asks.",
                    f"As a superuser on each of them: BEGIN; {off} {statement} COMMIT;",
                    f"DO $$ BEGIN {off} {statement} END $$" if is_superuser else "",
                    names,
                )


def _logins(cursor: Any) -> Iterator[Missing]:
    """Find the roles that the coordinator cannot connect to a worker as."""
    if not conf.ROW_LEVEL_SECURITY:
        return
    for role in TAKEN:
        cursor.execute("SELECT set_config('role', %s, false)", [role])
        try:
            found = on_workers(cursor, "SELECT 1")
        finally:
            cursor.execute("SELECT set_config('role', 'none', false)")
        for name, success, result in found:
            if not success:
                yield Missing(
                    f"The coordinator cannot connect to {name} as {role}: {result}",
                    f"Let it: a line for {role} in pg_hba.conf there, and a password in .pgpass or pg_dist_authinfo, or"
                    " a certificate, here (docs/scale.md).",
                )


def settings(cursor: Any) -> Iterator[Missing]:
    cursor.execute(
        "SELECT current_setting(%s) = 'local' OR EXISTS (SELECT FROM pg_db_role_setting JOIN pg_database"
        " ON pg_database.oid = setdatabase WHERE datname = current_database() AND setrole = 0"
        " AND %s = ANY (setconfig))",
        [SET_COMMANDS, f"{SET_COMMANDS}=local"],
    )
    if not cursor.fetchone()[0]:
        cursor.execute(
            "SELECT quote_ident(datname), pg_has_role(datdba, 'USAGE') FROM pg_database"
            " WHERE datname = current_database()"
        )
        database, is_owner = cursor.fetchone()
        statement = f"ALTER DATABASE {database} SET {SET_COMMANDS} = 'local'"
        yield Missing(
            f"{SET_COMMANDS} is not “local”: no worker would know whose rows it may show.",
            f"As the database's owner: {statement};",
            statement if is_owner else "",
        )


def supply(cursor: Any, lacking: Missing) -> None:
    """Run the statement of something that is missing. Raises `ClusterError`."""
    if lacking.workers:
        run_on_workers(cursor, lacking.statement, lacking.workers)
    else:
        cursor.execute(lacking.statement)
        cursor.execute("SELECT set_config(%s, 'local', false)", [SET_COMMANDS])
