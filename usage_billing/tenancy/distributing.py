"""Spreads the calls and their rollups over the workers of a Citus cluster, and brings them back."""

from __future__ import annotations

import copy
from typing import Any, cast

from django.db import models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from usage_billing.models import UsageRecord
from usage_billing.tenancy.distribution import COLUMN, TABLES
from usage_billing.tenancy.row_level_security import ROLES


def shard_count(cursor: Any) -> int:
    """Return how many shards each of the tables has; 0 if they are not distributed."""
    cursor.execute("SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = %s::regclass", [TABLES[0]])
    return int(cursor.fetchone()[0])


def share_roles(connection: BaseDatabaseWrapper) -> None:
    """Let Citus make the roles on the workers. It does so with the first table that grants them something.

    Later, it would take back the LOGIN that they need there and do not have here.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_dist_object WHERE classid = 'pg_authid'::regclass"
            " AND objid IN (SELECT oid FROM pg_roles WHERE rolname = ANY (%s))",
            [list(ROLES)],
        )
        if cursor.fetchone()[0] < len(ROLES):
            cursor.execute("CREATE TABLE usage_roles (org_id bigint)")
            cursor.execute(f"GRANT SELECT ON usage_roles TO {', '.join(ROLES)}")
            cursor.execute("SELECT create_distributed_table('usage_roles', 'org_id', shard_count => 1)")
            cursor.execute("DROP TABLE usage_roles")


def distribute(connection: BaseDatabaseWrapper, shards: int | None) -> None:
    """Move the tables' rows into shards on the workers. `shards`: how many each table gets; None: Citus's default.

    One transaction, which locks the tables. Until `share_policies` the shards show no row to anybody but their owner.
    """
    calls, rollups = TABLES
    with transaction.atomic(using=connection.alias):
        _set_foreign_key(connection, wanted=False)
        with connection.cursor() as cursor:
            for table, policy in _policies(cursor):
                cursor.execute(f'DROP POLICY "{policy}" ON "{table}"')
            count = "current_setting('citus.shard_count')::int" if shards is None else str(int(shards))
            cursor.execute(
                f"SELECT create_distributed_table(%s, %s, colocate_with => 'none', shard_count => {count})",
                [calls, COLUMN],
            )
            cursor.execute("SELECT create_distributed_table(%s, %s, colocate_with => %s)", [rollups, COLUMN, calls])
    clear(connection)


def clear(connection: BaseDatabaseWrapper) -> None:
    """Free the disk of the rows that were moved, and let the planners know the shards."""
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute("SELECT truncate_local_data_after_distributing_table(%s)", [table])
            cursor.execute(f'ANALYZE "{table}"')


def _policies(cursor: Any) -> list[tuple[str, str]]:
    cursor.execute(
        "SELECT relname, polname FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid"
        " WHERE polrelid = ANY (%s::regclass[]) ORDER BY 1, 2",
        [list(TABLES)],
    )
    return list(cursor.fetchall())


def _set_foreign_key(connection: BaseDatabaseWrapper, *, wanted: bool) -> None:
    """Add or drop the key of organisations, which are not distributed. Django itself goes on protecting them."""
    field = cast("models.ForeignKey[Any, Any]", UsageRecord._meta.get_field("org"))
    without = copy.copy(field)
    without.db_constraint = False  # type: ignore[attr-defined]  # django-stubs leaves it out
    with connection.schema_editor() as editor:
        if wanted:
            editor.alter_field(UsageRecord, without, field)
        else:
            editor.alter_field(UsageRecord, field, without)


# ── Back to one PostgreSQL ───────────────────────────────────────────────────────────────────────────────────────


def undistribute(connection: BaseDatabaseWrapper) -> None:
    """Bring the rows back into tables of the coordinator, with the same indexes and constraints.

    One transaction, which locks the tables. Citus's own `undistribute_table` refuses a table with an identity column.
    The view and the policies are to be made again.
    """
    with transaction.atomic(using=connection.alias):
        with connection.cursor() as cursor:
            for table in TABLES:
                _bring_back(cursor, table)
        _set_foreign_key(connection, wanted=True)


def _bring_back(cursor: Any, table: str) -> None:
    # All shards over one connection a worker: Citus drops no shard that several connections have just read.
    cursor.execute("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
    cursor.execute(f'LOCK TABLE "{table}" IN ACCESS EXCLUSIVE MODE')
    cursor.execute(_INDEXES_AND_CONSTRAINTS, {"table": table})
    definitions = [definition for (definition,) in cursor.fetchall()]
    cursor.execute("SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = %s::regclass", [table])
    (owner,) = cursor.fetchone()
    new = f"{table}_local"
    cursor.execute(f'CREATE TABLE "{new}" (LIKE "{table}" INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS)')
    cursor.execute(f'ALTER TABLE "{new}" OWNER TO {owner}')
    cursor.execute(f'INSERT INTO "{new}" SELECT * FROM "{table}"')  # noqa: S608 - our own names
    cursor.execute("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attidentity <> ''", [table])
    identities = [(column, *_sequence(cursor, table, column)) for (column,) in cursor.fetchall()]
    cursor.execute(f'DROP TABLE "{table}"')
    cursor.execute(f'ALTER TABLE "{new}" RENAME TO "{table}"')
    for column, name, last_value, is_called in identities:
        copied, _, _ = _sequence(cursor, table, column)
        cursor.execute(f"ALTER SEQUENCE {copied} RENAME TO {name.rpartition('.')[2]}")
        cursor.execute("SELECT setval(%s::regclass, %s, %s)", [name, last_value, is_called])
    for definition in definitions:
        cursor.execute(definition)
    cursor.execute(f'ANALYZE "{table}"')


def _sequence(cursor: Any, table: str, column: str) -> tuple[str, int, bool]:
    """Return the name of an identity column's sequence, its last value, and whether that has been used."""
    cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [table, column])
    (name,) = cursor.fetchone()
    cursor.execute(f"SELECT last_value, is_called FROM {name}")  # noqa: S608 - the database's own name
    last_value, is_called = cursor.fetchone()
    return name, last_value, is_called


_INDEXES_AND_CONSTRAINTS = """
SELECT format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE conrelid = %(table)s::regclass AND contype IN ('p', 'u')
UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid = %(table)s::regclass AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
UNION ALL SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext WHERE stxrelid = %(table)s::regclass
"""
"""The statements that make what `LIKE` would copy under other names."""
