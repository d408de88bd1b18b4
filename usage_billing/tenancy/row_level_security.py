"""Derives PostgreSQL's roles, grants and row-level security from the models.

Only the tables of the apps in `secured_apps` and `AI_COSTS["SECURED_APPS"]` are secured. A table carries tenant rows if
it has an `org_id`, or is the table of organisations: a role without a policy sees none of its rows. Tables that only
superadmins write are secured too, so that their role does nothing without its scope. Policies are plain comparisons
with the sealed scope (`seal`). `secure_database` and each later `migrate` execute only the statements that are needed,
so they do not lock the tables of a running server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import ProgrammingError, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from usage_billing.conf import conf
from usage_billing.models import (
    AlertChannel,
    AlertDelivery,
    AlertFiring,
    AlertRoute,
    AlertRule,
    ArchivedUsage,
    ArchiveFile,
    Budget,
    BudgetChange,
    BudgetLease,
    BudgetLock,
    BudgetRequest,
    DailyTagUsage,
    DailyUsage,
    DeletedUser,
    ExchangeRate,
    Installation,
    JobPart,
    Membership,
    Organization,
    PriceOverride,
    ProviderKey,
    ReportedCall,
    RepriceRun,
    SavedView,
    ServiceToken,
    ServiceTokenChange,
    SettledHold,
    TagValue,
    UsageRecord,
)
from usage_billing.tenancy import distribution, shards
from usage_billing.tenancy.roles import ANALYST, DRAIN, LEDGER, MAY_NOT, SUPERADMIN, WEB
from usage_billing.tenancy.seal import EVERYTHING, KEY_TABLE, MEMBER_ORG_IDS, OWNED_ORG_IDS, USER_ID

# ── The wanted state ─────────────────────────────────────────────────────────────────────────────────────────────

READ = frozenset({"SELECT"})
WRITE = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})

OWN_CALLS = (
    f"CASE WHEN org_id = ANY ({OWNED_ORG_IDS}) THEN true"
    f" ELSE org_id = ANY ({MEMBER_ORG_IDS}) AND user_id = {USER_ID} END"
)
"""An owner sees all calls of the organisation, a member their own.

CASE keeps the planner from using the condition to find rows. With OR it expected few rows to pass: it read one more
index and sorted all calls.
"""
OF_OWN_ORGANIZATIONS = f"org_id = ANY ({OWNED_ORG_IDS}) OR org_id = ANY ({MEMBER_ORG_IDS})"
"""Rows that all members of an organisation share."""
OF_OWNED_ORGANIZATIONS = f"org_id = ANY ({OWNED_ORG_IDS})"
"""Rows about all calls of an organisation, without their users: for its owners."""
OWN_ORGANIZATIONS = f"id = ANY ({OWNED_ORG_IDS}) OR id = ANY ({MEMBER_ORG_IDS})"
OWN_MEMBERSHIPS = f"user_id = {USER_ID} OR org_id = ANY ({OWNED_ORG_IDS})"
"""Everybody sees their own memberships; an owner sees all memberships of the organisation."""
OWN_VIEWS = f"({OF_OWN_ORGANIZATIONS}) AND (is_shared OR user_id = {USER_ID})"
"""Saved views of the person's organisations: the shared ones, and their own. Those without an organisation are of
superadmins: a comparison with NULL is never true."""
CHANGEABLE_VIEWS = f"({OF_OWN_ORGANIZATIONS}) AND (user_id = {USER_ID} OR is_shared AND {OF_OWNED_ORGANIZATIONS})"
"""A person changes their own views. An owner also removes those that others have shared with the organisation."""

BUDGETS = (
    f"CASE WHEN {OF_OWNED_ORGANIZATIONS} THEN true"
    f" ELSE org_id = ANY ({MEMBER_ORG_IDS}) AND coalesce(user_id = {USER_ID}, true) END"
)
"""A member sees the budgets that may count their calls: not those of other users."""
OWN_BUDGETS = f"{OF_OWNED_ORGANIZATIONS} AND NOT is_superadmins"
"""An owner changes the budgets that owners have set."""
OPEN_REQUESTS = (
    f"CASE WHEN {OF_OWNED_ORGANIZATIONS} THEN true"
    f" ELSE org_id = ANY ({MEMBER_ORG_IDS}) AND user_id = {USER_ID} AND state = 'open' END"
)
"""A member asks for themselves; only an owner answers."""


@dataclass(frozen=True)
class Access:
    """The privileges of each role on one table, and the rows that the web's role may reach (None: no row).

    web_writes: the rows that the web's role may write, where they are fewer than those it may read.
    """

    web: frozenset[str]
    superadmin: frozenset[str] = WRITE
    ledger: frozenset[str] = frozenset()
    web_rows: str | None = None
    analyst: frozenset[str] = frozenset()
    web_writes: str | None = None

    def of_roles(self) -> Iterator[tuple[str, frozenset[str], str | None]]:
        """Yield each role, its privileges and the condition on its rows."""
        yield WEB, self.web, self.web_rows
        yield SUPERADMIN, self.superadmin, EVERYTHING
        yield LEDGER, self.ledger, "true"
        yield ANALYST, self.analyst, "true"


OF_OUR_OWN: dict[str, Access] = {
    UsageRecord._meta.db_table: Access(READ, READ, WRITE, OWN_CALLS, READ),
    DailyUsage._meta.db_table: Access(READ, READ, WRITE, OWN_CALLS, READ),
    DailyTagUsage._meta.db_table: Access(READ, READ, WRITE, OWN_CALLS, READ),
    TagValue._meta.db_table: Access(READ, READ | {"DELETE"}, READ | {"INSERT"}, OF_OWNED_ORGANIZATIONS, READ),
    # Superadmins request runs in the admin; the ledger's role does the work and writes the figures.
    RepriceRun._meta.db_table: Access(READ, READ | {"INSERT"}, WRITE, None, READ),
    ArchiveFile._meta.db_table: Access(READ, READ, WRITE, None, READ),
    Organization._meta.db_table: Access(READ, WRITE, READ | {"INSERT"}, OWN_ORGANIZATIONS, READ),
    Membership._meta.db_table: Access(READ, WRITE, READ, OWN_MEMBERSHIPS),
    PriceOverride._meta.db_table: Access(READ, WRITE, READ, None, READ),
    ExchangeRate._meta.db_table: Access(READ, WRITE, WRITE, "true", READ),
    ArchivedUsage._meta.db_table: Access(READ, READ, WRITE, OWN_CALLS, READ),
    DeletedUser._meta.db_table: Access(READ, WRITE, READ | {"INSERT"}, OWN_CALLS),
    SavedView._meta.db_table: Access(WRITE, WRITE, web_rows=OWN_VIEWS, web_writes=CHANGEABLE_VIEWS),
    Budget._meta.db_table: Access(WRITE, WRITE, READ, BUDGETS, READ, OWN_BUDGETS),
    # A process leases parts of a budget within the scope of its organisation; the ledger settles holds.
    BudgetLock._meta.db_table: Access(WRITE, WRITE, web_rows=OF_OWNED_ORGANIZATIONS),
    BudgetLease._meta.db_table: Access(WRITE, WRITE, READ, OF_OWNED_ORGANIZATIONS, READ),
    SettledHold._meta.db_table: Access(
        READ | {"DELETE"}, READ | {"DELETE"}, READ | {"INSERT", "DELETE"}, OF_OWNED_ORGANIZATIONS, READ
    ),
    # The history goes with its organisation.
    BudgetChange._meta.db_table: Access(
        READ | {"INSERT"}, READ | {"INSERT", "DELETE"}, web_rows=OF_OWNED_ORGANIZATIONS
    ),
    BudgetRequest._meta.db_table: Access(WRITE, WRITE, web_rows=OWN_CALLS, web_writes=OPEN_REQUESTS),
    AlertChannel._meta.db_table: Access(WRITE, WRITE, web_rows=OF_OWNED_ORGANIZATIONS),
    AlertRule._meta.db_table: Access(WRITE, WRITE, web_rows=OF_OWNED_ORGANIZATIONS),
    AlertRoute._meta.db_table: Access(WRITE, WRITE, web_rows=OF_OWNED_ORGANIZATIONS),
    # Alerts are raised within the scope of everything; a person only sends a test.
    AlertFiring._meta.db_table: Access(READ, WRITE, web_rows=OF_OWNED_ORGANIZATIONS),
    AlertDelivery._meta.db_table: Access(READ | {"INSERT"}, WRITE, web_rows=OF_OWNED_ORGANIZATIONS),
    Installation._meta.db_table: Access(frozenset(), frozenset(), READ | {"INSERT"}),
    JobPart._meta.db_table: Access(frozenset(), frozenset(), WRITE),
    ReportedCall._meta.db_table: Access(frozenset(), frozenset(), WRITE),
    # A token is looked up, and used by the proxy with a key, within the scope of everything. The history only grows.
    ServiceToken._meta.db_table: Access(WRITE, WRITE, web_rows=OF_OWNED_ORGANIZATIONS),
    ServiceTokenChange._meta.db_table: Access(
        READ | {"INSERT"}, READ | {"INSERT", "DELETE"}, web_rows=OF_OWNED_ORGANIZATIONS
    ),
    ProviderKey._meta.db_table: Access(WRITE, WRITE, web_rows=OF_OWNED_ORGANIZATIONS),
    KEY_TABLE: Access(frozenset(), frozenset()),
}
"""The tables of this app that some role may not write, or not all of whose rows people share. Only the ledger's role
writes calls and rollups."""

secured_apps = ["usage_billing"]
"""Labels of the apps whose tables are secured. `ai_clients.assistants` adds its own when it is installed."""

access_of_apps: dict[str, Access] = {}
"""The access to tables of these apps that not all people of an organisation may read and write, by the table's name."""

READ_BY_VIEWS = ("auth.Group", "auth.Permission", "contenttypes.ContentType", "sessions.Session")
"""Models that Django reads within a view to find the user's permissions, besides the user model itself."""


def is_tenants(model: type[models.Model]) -> bool:
    """Whether the model's rows belong to organisations."""
    return model is Organization or any(field.column == "org_id" for field in model._meta.concrete_fields)


def wanted(existing: Iterable[str]) -> dict[str, Access]:
    """Map each existing table that one of our roles needs to its access."""
    there = set(existing)
    tables = {name: access for name, access in {**OF_OUR_OWN, **access_of_apps}.items() if name in there}
    if conf.GRANT_ALL_TABLES:
        tables |= {name: Access(READ, READ, READ) for name in there & {"django_migrations"}}
        stores = [cache for cache in settings.CACHES.values() if cache["BACKEND"].endswith(".DatabaseCache")]
        tables |= {cache["LOCATION"]: Access(WRITE, ledger=WRITE) for cache in stores if cache["LOCATION"] in there}
    for model in apps.get_models(include_auto_created=True):
        name = model._meta.db_table
        if name not in there or not model._meta.managed or name in tables:
            continue
        if is_secured(model):
            tables[name] = Access(WRITE, web_rows=OF_OWN_ORGANIZATIONS if is_tenants(model) else None)
        elif conf.GRANT_ALL_TABLES:
            tables[name] = Access(WRITE)
        elif _is_read_by_views(model):
            tables[name] = Access(READ, READ)
    return tables


def is_secured(model: type[models.Model]) -> bool:
    """Whether the tables of the model's app are secured."""
    return model._meta.app_label in (*secured_apps, *conf.SECURED_APPS)


def _is_read_by_views(model: type[models.Model]) -> bool:
    user = get_user_model()
    owner = next((each for each in (user, *READ_BY_VIEWS) if each is model or each == model._meta.label), None)
    through: Any = model._meta.auto_created
    of_user = through and through._meta.label in (user._meta.label, "auth.Group")
    return owner is not None or bool(of_user)


def secured(tables: Mapping[str, Access]) -> set[str]:
    """The tables that carry tenant rows, and those that the superadmin's role may write but the web's may not."""
    models_ = apps.get_models(include_auto_created=True)
    tenants = {model._meta.db_table for model in models_ if is_tenants(model) and is_secured(model)}
    return {name for name, access in tables.items() if name in tenants or access.superadmin - access.web}


# ── Reaching that state ──────────────────────────────────────────────────────────────────────────────────────────


class RolesMissingError(Exception):
    """The roles are missing, and this user may not create them. `statements`: SQL for an administrator."""

    def __init__(self, statements: Sequence[str]) -> None:
        super().__init__("The database needs roles that this user may not create.")
        self.statements = statements


def secure(connection: BaseDatabaseWrapper) -> list[str]:
    """Bring roles, grants and policies up to date, including the view's. Returns the statements that it executed.

    Raises `RolesMissingError` with the statements that an administrator of the server must run.
    """
    done = build(connection)
    with connection.cursor() as cursor:
        for role in (WEB, SUPERADMIN, ANALYST):
            cursor.execute("SELECT has_table_privilege(%s, %s, 'SELECT')", [role, VIEW])
            if not cursor.fetchone()[0]:
                done.append(f"GRANT SELECT ON {VIEW} TO {role}")
                cursor.execute(done[-1])
    return done


VIEW = "openai_api_logs"
"""The public view (`reports.sql.functions`). It reads with its caller's rights."""


def build(connection: BaseDatabaseWrapper) -> list[str]:
    """Bring roles, grants and policies up to date. Returns the statements that it executed.

    Raises `RolesMissingError` with the statements that an administrator of the server must run.
    """
    done: list[str] = []
    with connection.cursor() as cursor:
        # Two concurrent migrations would alter the same rows of the catalogue.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('usage_billing.row_level_security'))")
        roles = list(_roles(cursor))
        for number, statement in enumerate(roles):
            _administer(cursor, statement, roles[number:])
        done += roles
        tables = wanted(connection.introspection.table_names(cursor))
        for statement in [*_temporary(cursor), *_grants(cursor, tables)]:
            cursor.execute(statement)
            done.append(statement)
        policies = list(_policies(cursor, secured(tables), tables))
        if distribution.are_distributed(cursor):
            with shards.on_coordinator(cursor):
                _execute(cursor, policies)
            transaction.on_commit(partial(_share_policies, connection), using=connection.alias)
        else:
            _execute(cursor, policies)
    return [*done, *policies]


def _execute(cursor: Any, statements: Iterable[str]) -> None:
    for statement in statements:
        cursor.execute(statement)


def _share_policies(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        shards.share_policies(cursor)


TAKEN = (WEB, SUPERADMIN, LEDGER)
"""The roles that the service takes for a transaction or a command."""
ROLES = (*TAKEN, DRAIN, ANALYST)


def _roles(cursor: Any) -> Iterator[str]:
    """Yield the statements for roles and their memberships. Only the drain has the web's rights without `SET ROLE`."""
    cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [list(ROLES)])
    there = {name for (name,) in cursor.fetchall()}
    for role in ROLES:
        if role not in there:
            yield f"CREATE ROLE {role} NOLOGIN {'INHERIT' if role == DRAIN else 'NOINHERIT'}"
    memberships = [(SUPERADMIN, WEB), *((role, DRAIN) for role in TAKEN)]
    cursor.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
    user, is_superuser = cursor.fetchone()
    if not is_superuser and user not in ROLES:
        memberships += [(role, user) for role in TAKEN]
    cursor.execute("SHOW server_version_num")
    # Before PostgreSQL 16 a role inherits either from all its roles or, with `NOINHERIT`, from none.
    knows_options = int(cursor.fetchone()[0]) >= 160000
    for role, to in memberships:
        is_member = False
        if {role, to} <= there | {user}:
            cursor.execute("SELECT pg_has_role(%s, %s, %s)", [to, role, "SET" if knows_options else "MEMBER"])
            (is_member,) = cursor.fetchone()
        if not is_member:
            inherits = "TRUE" if (role, to) == (WEB, DRAIN) else "FALSE"
            yield f'GRANT {role} TO "{to}"' + (f" WITH INHERIT {inherits}, SET TRUE" if knows_options else "")
    # Earlier versions of AI Costs let the web drain.
    cursor.execute(
        "SELECT quote_ident(grantor.rolname) FROM pg_auth_members JOIN pg_roles grantor ON grantor.oid = grantor"
        " WHERE roleid = to_regrole(%s) AND member = to_regrole(%s)",
        [LEDGER, WEB],
    )
    for (grantor,) in cursor.fetchall():
        yield f"REVOKE {LEDGER} FROM {WEB}" + (f" GRANTED BY {grantor}" if knows_options else "")


def _temporary(cursor: Any) -> Iterator[str]:
    """Forbid temporary tables: the next request on the connection would read one in place of ours, in its own scope."""
    cursor.execute(
        "SELECT quote_ident(datname) FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) privilege"
        " WHERE datname = current_database() AND pg_has_role(datdba, 'USAGE')"
        " AND privilege.grantee = 0 AND privilege.privilege_type = 'TEMPORARY'"
    )
    yield from (f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC" for (database,) in cursor.fetchall())


def _administer(cursor: Any, statement: str, remaining: Sequence[str]) -> None:
    try:
        cursor.execute(statement)
    except ProgrammingError as error:
        if getattr(error.__cause__, "sqlstate", None) != MAY_NOT:
            raise
        raise RolesMissingError(remaining) from error


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
        for role, privileges, _ in access.of_roles()
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
    # PostgreSQL rewrites a policy's condition, so our text is kept in the comment for the next comparison.
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
    """Yield name and text of each policy, one per role: `OR is_superadmin` in a common policy would cost the index."""
    for role, privileges, rows in access.of_roles():
        if privileges and rows:
            only = "FOR SELECT " if role == WEB and access.web_writes else ""
            yield role, f"{only}TO {role} USING ({rows})"
    if access.web_writes:
        yield f"{WEB}_writes", f"TO {WEB} USING ({access.web_writes})"
