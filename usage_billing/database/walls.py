"""PostgreSQL: roles, grants and row-level security, derived from the models.

A table carries tenant rows if it has an `org_id`, or is the organisations' own. Each of them is walled: a role that no
policy names sees no row. Policies are plain comparisons without sub-selects, so that they hold on Citus too. Applied
after each `migrate`; only what differs is changed, so that a server at work is not held up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import ProgrammingError, models
from django.db.backends.base.base import BaseDatabaseWrapper

from usage_billing.database.roles import LEDGER, MEMBER_ORG_IDS, OWNED_ORG_IDS, SUPERADMIN, USER_ID, WEB
from usage_billing.models import (
    ArchiveFile,
    DailyUsage,
    ExchangeRate,
    Membership,
    Organization,
    PriceOverride,
    RepriceRun,
    UsageRecord,
)

# ── What is wanted ───────────────────────────────────────────────────────────────────────────────────────────────

READ = frozenset({"SELECT"})
WRITE = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})

_USER_ID = f"nullif(current_setting('{USER_ID}', true), '')::bigint"
_OWNED = f"nullif(current_setting('{OWNED_ORG_IDS}', true), '')::bigint[]"
_MEMBER = f"nullif(current_setting('{MEMBER_ORG_IDS}', true), '')::bigint[]"

OWN_CALLS = f"CASE WHEN org_id = ANY ({_OWNED}) THEN true ELSE org_id = ANY ({_MEMBER}) AND user_id = {_USER_ID} END"
"""An owner sees all calls of the organisation, a member their own.

A CASE, so that the planner takes it for what it is, a check of rows that the query has found by its own conditions. As
an OR it was taken for a way to find them, and for one that leaves a few: an index too many, and sorts of all calls.
"""
OF_OWN_ORGANIZATIONS = f"org_id = ANY ({_OWNED}) OR org_id = ANY ({_MEMBER})"
"""What an organisation's people share."""
OWN_ORGANIZATIONS = f"id = ANY ({_OWNED}) OR id = ANY ({_MEMBER})"
OWN_MEMBERSHIPS = f"user_id = {_USER_ID} OR org_id = ANY ({_OWNED})"
"""One's own, and an owner sees who else is in the organisation."""


@dataclass(frozen=True)
class Access:
    """Of one table: what each role may do, and the rows on which the web's role may do it (None: no row)."""

    web: frozenset[str]
    superadmin: frozenset[str] = WRITE
    ledger: frozenset[str] = frozenset()
    web_rows: str | None = None


OF_OUR_OWN: dict[str, Access] = {
    UsageRecord._meta.db_table: Access(READ, READ, WRITE, OWN_CALLS),
    DailyUsage._meta.db_table: Access(READ, READ, WRITE, OWN_CALLS),
    RepriceRun._meta.db_table: Access(READ, READ, WRITE),
    ArchiveFile._meta.db_table: Access(READ, READ, WRITE),
    Organization._meta.db_table: Access(READ, WRITE, READ | {"INSERT"}, OWN_ORGANIZATIONS),
    Membership._meta.db_table: Access(READ, WRITE, READ, OWN_MEMBERSHIPS),
    PriceOverride._meta.db_table: Access(READ, WRITE, READ),
    ExchangeRate._meta.db_table: Access(READ, WRITE, WRITE),
    "django_migrations": Access(READ, READ, READ),
}
"""The tables of this app, and Django's own log of migrations. Only the ledger's role writes calls and totals."""


def is_tenants(model: type[models.Model]) -> bool:
    """Whether its rows belong to organisations."""
    return model is Organization or any(field.column == "org_id" for field in model._meta.concrete_fields)


def wanted(existing: Iterable[str]) -> dict[str, Access]:
    """Table → access, of every model's table that is there. Tables of other apps with an `org_id` are walled alike."""
    there = set(existing)
    tables = {name: access for name, access in OF_OUR_OWN.items() if name in there}
    caches = {cache["LOCATION"] for cache in settings.CACHES.values() if cache["BACKEND"].endswith(".DatabaseCache")}
    tables |= {name: Access(WRITE, ledger=WRITE) for name in caches & there}
    for model in apps.get_models(include_auto_created=True):
        name = model._meta.db_table
        if name in there and model._meta.managed and name not in tables:
            tables[name] = Access(WRITE, web_rows=OF_OWN_ORGANIZATIONS if is_tenants(model) else None)
    return tables


def walled(tables: Iterable[str]) -> set[str]:
    """Those of the tables that carry tenant rows."""
    return {model._meta.db_table for model in apps.get_models(include_auto_created=True) if is_tenants(model)} & {
        *tables
    }


# ── How it comes about ───────────────────────────────────────────────────────────────────────────────────────────


class RolesMissing(Exception):
    """The roles are not there, and this user may not create them."""


def build(connection: BaseDatabaseWrapper) -> list[str]:
    """Make roles, grants and policies what they should be. Returns the statements that it took; none if all was well.

    Raises `RolesMissing`, which says what an administrator of the server has to run.
    """
    done: list[str] = []
    with connection.cursor() as cursor:
        # Two migrations at once would alter the same rows of the catalogue.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('usage_billing.walls'))")
        for statement in _roles(cursor):
            _administer(cursor, statement)
            done.append(statement)
        tables = wanted(connection.introspection.table_names(cursor))
        for statement in [*_grants(cursor, tables), *_policies(cursor, walled(tables), tables)]:
            cursor.execute(statement)
            done.append(statement)
    return done


ROLES = (WEB, SUPERADMIN, LEDGER)


def _roles(cursor: Any) -> Iterator[str]:
    """The roles, the web's way into the other two, and this user's into all three: by `SET ROLE`, never inherited."""
    cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [list(ROLES)])
    there = {name for (name,) in cursor.fetchall()}
    yield from (f"CREATE ROLE {role} NOLOGIN NOINHERIT" for role in ROLES if role not in there)
    memberships = [(role, WEB) for role in (SUPERADMIN, LEDGER)]
    cursor.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
    user, is_superuser = cursor.fetchone()
    if not is_superuser and user not in ROLES:
        memberships += [(role, user) for role in ROLES]
    cursor.execute("SHOW server_version_num")
    # Before PostgreSQL 16 a role inherits from all that it belongs to, or from none: `NOINHERIT`.
    how, member = (" WITH INHERIT FALSE, SET TRUE", "SET") if int(cursor.fetchone()[0]) >= 160000 else ("", "MEMBER")
    for role, to in memberships:
        is_member = False
        if {role, to} <= there | {user}:
            cursor.execute("SELECT pg_has_role(%s, %s, %s)", [to, role, member])
            (is_member,) = cursor.fetchone()
        if not is_member:
            yield f'GRANT {role} TO "{to}"{how}'


def _administer(cursor: Any, statement: str) -> None:
    try:
        cursor.execute(statement)
    except ProgrammingError as error:
        if getattr(error.__cause__, "sqlstate", None) != "42501":  # insufficient_privilege
            raise
        cursor.connection.rollback()
        cursor.execute("SELECT quote_ident(current_user)")
        (user,) = cursor.fetchone()
        raise RolesMissing(
            "The database needs three roles, and this user may not create them. Have an administrator run, once:\n"
            + "".join(f"    CREATE ROLE {role} NOLOGIN NOINHERIT;\n" for role in ROLES)
            + f"    GRANT {SUPERADMIN}, {LEDGER} TO {WEB};\n"
            + f"    GRANT {WEB}, {SUPERADMIN}, {LEDGER} TO {user};\n"
            + "and then migrate again."
        ) from error


def _grants(cursor: Any, tables: dict[str, Access]) -> Iterator[str]:
    schema = "current_schema()"
    cursor.execute(
        f"SELECT grantee.rolname FROM unnest(%s::text[]) AS grantee (rolname)"  # noqa: S608 - no value in it
        f" WHERE NOT has_schema_privilege(grantee.rolname, {schema}, 'USAGE')",
        [list(ROLES)],
    )
    lacking = [name for (name,) in cursor.fetchall()]
    cursor.execute(
        "SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee = ANY (%s) AND table_schema = current_schema()",
        [list(ROLES)],
    )
    there = set(cursor.fetchall())
    cursor.execute(f"SELECT quote_ident({schema})")
    (schema_name,) = cursor.fetchone()
    yield from (f"GRANT USAGE ON SCHEMA {schema_name} TO {role}" for role in lacking)
    wanted_ = {
        (role, table, privilege)
        for table, access in tables.items()
        for role, privileges in ((WEB, access.web), (SUPERADMIN, access.superadmin), (LEDGER, access.ledger))
        for privilege in privileges
    }
    for role, table, privilege in sorted(wanted_ - there):
        yield f'GRANT {privilege} ON "{table}" TO {role}'
    for role, table, privilege in sorted(there - wanted_):
        if table in tables:
            yield f'REVOKE {privilege} ON "{table}" FROM {role}'


def _policies(cursor: Any, tenants: set[str], tables: dict[str, Access]) -> Iterator[str]:
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relrowsecurity"
    )
    enabled = {name for (name,) in cursor.fetchall()}
    yield from (f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY' for table in sorted(tenants - enabled))
    # PostgreSQL writes a policy's condition in its own words; ours is kept beside it, to be compared with.
    cursor.execute(
        "SELECT relname, polname, obj_description(pg_policy.oid, 'pg_policy') FROM pg_policy"
        " JOIN pg_class ON pg_class.oid = polrelid WHERE relnamespace = current_schema()::regnamespace"
    )
    there = {(table, name): comment for table, name, comment in cursor.fetchall()}
    wanted_ = {(table, name): text for table in tenants for name, text in _of_access(tables[table])}
    for (table, name), comment in sorted(there.items()):
        if table in tenants and (comment is None or wanted_.get((table, name)) != comment):
            yield f'DROP POLICY "{name}" ON "{table}"'
    for (table, name), text in sorted(wanted_.items()):
        if there.get((table, name)) != text:
            yield f'CREATE POLICY {name} ON "{table}" {text}'
            quoted = text.replace("'", "''")
            yield f"COMMENT ON POLICY {name} ON \"{table}\" IS '{quoted}'"


def _of_access(access: Access) -> Iterator[tuple[str, str]]:
    """Name and text of each policy. One a role: `OR is_superadmin` in one policy would cost the index."""
    for role, privileges, rows in (
        (WEB, access.web, access.web_rows),
        (SUPERADMIN, access.superadmin, "true"),
        (LEDGER, access.ledger, "true"),
    ):
        if privileges and rows:
            yield role, f"TO {role} USING ({rows})"
