"""PostgreSQL keeps tenants apart, even if the web's user sends arbitrary SQL."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models
from django.test.utils import isolate_apps
from pytest_django import Settings

from tests.support import factories
from tests.support.configure import configure
from tests.usage_billing.tenancy.conftest import PASSWORD, Rows, World
from usage_billing.models import SavedView
from usage_billing.reports.sql import functions
from usage_billing.tenancy import row_level_security
from usage_billing.tenancy.roles import ANALYST, DRAIN, LEDGER, SUPERADMIN, WEB

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

VIEWS = (functions.VIEW,)
OF_THE_LEDGER = {"usage_reported_call"}
"""Tables with an organisation that the ledger's role alone may read."""


def catalogue(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def tenants() -> dict[str, str]:
    """Map each table and view of the catalogue that has an organisation to the column of the organisation's id."""
    found = catalogue(
        "SELECT table_name, 'org_id' FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND column_name = 'org_id'"
    )
    return {"usage_organization": "id", **dict(found)}


# ── The catalogue ────────────────────────────────────────────────────────────────────────────────────────────────


def test_our_roles_own_nothing_and_bypass_nothing() -> None:
    roles = catalogue(
        "SELECT rolname, rolinherit, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles"
        f" WHERE rolname = ANY ('{{{', '.join(row_level_security.ROLES)}}}')"
    )
    assert {name for name, *_ in roles} == {WEB, SUPERADMIN, LEDGER, DRAIN, ANALYST}
    assert {name for name, inherits, *_ in roles if inherits} == {DRAIN}
    assert all(not any(attributes) for _, _, *attributes in roles)
    owned = catalogue(
        "SELECT relname FROM pg_class JOIN pg_roles ON pg_roles.oid = relowner WHERE rolname LIKE 'usage\\_%'"
        " UNION ALL SELECT proname FROM pg_proc JOIN pg_roles ON pg_roles.oid = proowner"
        " WHERE rolname LIKE 'usage\\_%'"
    )
    assert owned == []


def test_every_table_with_an_organisation_is_secured() -> None:
    """The test reads the catalogue, not the models, so it covers tables that are added later."""
    secured = {name for (name,) in catalogue("SELECT relname FROM pg_class WHERE relrowsecurity")}
    # Rates belong to no organisation, but only superadmins write them, and their role must need its scope.
    assert {name for name in tenants() if name not in VIEWS} | {"usage_exchange_rate"} == secured
    assert {"token_usage", "token_usage_daily", "usage_organization", "usage_membership"} < secured


def test_the_superadmins_role_needs_its_scope_to_write_more_than_the_web() -> None:
    """Injected SQL can take that role."""
    open_to_it = catalogue(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        f" AND has_table_privilege('{SUPERADMIN}', oid, 'INSERT, UPDATE, DELETE')"
        f" AND NOT has_table_privilege('{WEB}', oid, 'INSERT, UPDATE, DELETE') AND NOT relrowsecurity"
    )
    assert open_to_it == []
    gates = catalogue(f"SELECT DISTINCT qual FROM pg_policies WHERE roles = '{{{SUPERADMIN}}}'")
    assert gates == [("( SELECT (usage_scope()).everything AS everything)",)]


def test_every_table_that_refers_to_a_secured_table_has_an_organisation() -> None:
    """Without an `org_id` it would not be secured."""
    references = catalogue(
        "SELECT DISTINCT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
    )
    names = tenants()
    assert [(table, to) for table, to in references if to in names and table not in names] == []


def test_policies_are_plain_comparisons_for_our_roles_alone() -> None:
    policies = catalogue("SELECT tablename, policyname, roles::text, permissive, qual, with_check FROM pg_policies")
    assert {roles for _, _, roles, *_ in policies} == {f"{{{role}}}" for role in (WEB, SUPERADMIN, LEDGER, ANALYST)}
    for _, _, _roles, permissive, condition, check in policies:
        assert permissive == "PERMISSIVE"
        # A policy reads only the scope, and only once per statement.
        rest = re.sub(r"\( SELECT \(usage_scope\(\)\)\.\w+ AS \w+\)", "", condition)
        assert "SELECT" not in rest.upper()
        assert "usage_scope" not in rest
        assert "current_setting" not in rest
        assert check is None  # the condition applies to writes too


def test_views_read_with_the_callers_rights() -> None:
    views = catalogue(
        "SELECT relname, reloptions::text FROM pg_class"
        " WHERE relkind = 'v' AND relnamespace = current_schema()::regnamespace"
    )
    assert dict(views) == dict.fromkeys(VIEWS, "{security_invoker=true}")
    definers = catalogue(
        "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = current_schema()::regnamespace"
    )
    # They resolve names in pg_catalog, so a caller cannot make them read other objects.
    assert set(definers) == {("usage_scope",), ("usage_enter_scope",)}
    open_paths = catalogue(
        "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = current_schema()::regnamespace"
        " AND proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp']"
    )
    assert open_paths == []


def test_each_role_may_take_only_its_roles() -> None:
    taken = catalogue(
        "SELECT member.rolname, role.rolname FROM pg_roles member, pg_roles role WHERE member.oid <> role.oid"
        f" AND member.rolname = ANY ('{{{', '.join(row_level_security.ROLES)}}}')"
        " AND pg_has_role(member.oid, role.oid, 'MEMBER') ORDER BY 1, 2"
    )
    assert taken == [(DRAIN, LEDGER), (DRAIN, SUPERADMIN), (DRAIN, WEB), (WEB, SUPERADMIN)]


def test_an_upgrade_takes_the_ledgers_role_from_the_web() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"GRANT {LEDGER} TO {WEB} WITH INHERIT FALSE, SET TRUE")
    assert [statement.split(" GRANTED")[0] for statement in row_level_security.build(connection)] == [
        f"REVOKE {LEDGER} FROM {WEB}"
    ]
    test_each_role_may_take_only_its_roles()


def test_migrating_leaves_nothing_to_do() -> None:
    assert row_level_security.build(connection) == []


def test_manual_changes_are_reverted() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP POLICY {WEB} ON token_usage")
        cursor.execute(f"CREATE POLICY loophole ON token_usage TO {WEB} USING (true)")
        cursor.execute(f"GRANT DELETE ON token_usage TO {WEB}")
        cursor.execute("ALTER TABLE usage_membership DISABLE ROW LEVEL SECURITY")
    done = row_level_security.build(connection)
    assert [statement.split(" USING")[0] for statement in done if "COMMENT" not in statement] == [
        f'REVOKE DELETE ON "token_usage" FROM {WEB}',
        'ALTER TABLE "usage_membership" ENABLE ROW LEVEL SECURITY',
        'DROP POLICY "loophole" ON "token_usage"',
        f'CREATE POLICY {WEB} ON "token_usage" TO {WEB}',
    ]
    assert row_level_security.build(connection) == []


@isolate_apps("tests.usage_billing.tenancy")
def test_a_tenants_table_of_another_app_is_secured_only_if_the_project_says_so(
    monkeypatch: pytest.MonkeyPatch, raw: Callable[..., Rows], settings: Settings
) -> None:
    class Later(models.Model):  # noqa: DJ008 - never shown
        org = models.ForeignKey("usage_billing.Organization", models.CASCADE)

        class Meta:
            app_label = "database"
            db_table = "added_later"

    world = World()
    known = list(apps.get_models(include_auto_created=True))
    monkeypatch.setattr(apps, "get_models", lambda **_options: [*known, Later])
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE added_later (id bigserial PRIMARY KEY, org_id bigint NOT NULL)")
        cursor.execute("INSERT INTO added_later (org_id) VALUES (%s), (%s)", [world.org.pk, world.other.pk])
    try:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw("SELECT * FROM added_later")
        configure(settings, GRANT_ALL_TABLES=False)
        row_level_security.build(connection)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw("SELECT * FROM added_later")
        configure(settings, SECURED_APPS=["database"])
        row_level_security.build(connection)
        assert raw("SELECT org_id FROM added_later") == []
        assert raw("SELECT org_id FROM added_later", who=world.member.pk) == [(world.org.pk,)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE added_later")


@pytest.mark.timeout(600)  # it makes, migrates and drops a database, which waits for a busy disk
def test_a_user_who_may_not_create_roles_can_migrate_and_is_told_how_to_secure_the_database() -> None:
    """An administrator needs to run only the statements of the message."""
    config, prefix, name = connection.settings_dict, "elsewhere", "migrating_user"
    mine = (f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'", f"CREATE DATABASE {name} OWNER {name}")
    url = f"postgres://{name}:{PASSWORD}@{config['HOST']}:{config['PORT']}/{name}"

    def manage(*command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DATABASE_URL": url, "USAGE_ROLE_PREFIX": prefix, "DEBUG": "1"}
        return subprocess.run(
            [sys.executable, "manage.py", *command], env=environment, capture_output=True, text=True, check=False
        )

    with connection.cursor() as cursor:
        for statement in mine:
            cursor.execute(statement)
        try:
            migrated = manage("migrate", "--verbosity=0")
            assert migrated.returncode == 0
            assert "secure_database" in migrated.stderr
            refused = manage("secure_database")
            assert refused.returncode == 1
            told = [line.strip() for line in refused.stderr.splitlines() if line.startswith("    ")]
            assert len(told) == 5 + 4 + 3  # roles, their memberships, memberships of this user
            for statement in told:
                cursor.execute(statement)
            again = manage("secure_database")
            assert (again.returncode, again.stderr) == (0, "")
            assert manage("secure_database").stdout == "0 statements were executed.\n"
        finally:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
            for role in (name, *(f"{prefix}_{each}" for each in ("web", "superadmin", "ledger", "drain", "analyst"))):
                cursor.execute(f"DROP ROLE IF EXISTS {role}")


def test_the_web_may_use_a_cache_in_the_database(settings: Settings, raw: Callable[..., Rows]) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "counted"}}
    call_command("createcachetable", verbosity=0)
    try:
        row_level_security.build(connection)
        assert raw("SELECT count(*) FROM counted") == [(0,)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE counted")


# ── Raw SQL as the web's user ────────────────────────────────────────────────────────────────────────────────────


def test_without_a_scope_no_row_is_visible(world: World, raw: Callable[..., Rows]) -> None:
    for table in tenants():
        count = f'SELECT count(*) FROM "{table}"'
        assert catalogue(count) != [(0,)], f"no rows to hide in {table}"
        if table in OF_THE_LEDGER:
            for who in (0, world.owner.pk):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    raw(count, who=who)
        else:
            assert raw(count) == [(0,)], table
    for function in ("get_ai_cost_summary", "get_openai_cost_summary"):
        assert raw(f"SELECT total_requests, by_request_type FROM {function}(NULL, 9999)") == [(0, {})]
        assert raw(f"SELECT total_requests FROM {function}({world.org.pk}, 9999)") == [(0,)]


def test_with_a_scope_only_the_tenants_rows_are_visible(world: World, raw: Callable[..., Rows]) -> None:
    not_for_tenants = {"usage_price_override", "usage_reprice_run"}
    for table, column in tenants().items():
        if table in OF_THE_LEDGER:
            continue
        seen = raw(f'SELECT DISTINCT {column} FROM "{table}"', who=world.owner.pk)
        assert seen == ([] if table in not_for_tenants else [(world.org.pk,)]), table


def test_an_owner_sees_all_calls_of_the_organisation(world: World, raw: Callable[..., Rows]) -> None:
    for table in (
        "token_usage", "token_usage_daily", "token_usage_tag_daily", "usage_tag_value", "usage_membership",
        functions.VIEW,
    ):  # fmt: skip
        everything = catalogue(f"SELECT count(*) FROM {table} WHERE org_id = {world.org.pk}")
        assert raw(f"SELECT count(*) FROM {table}", who=world.owner.pk) == everything


def test_a_member_sees_only_their_own_calls(world: World, raw: Callable[..., Rows]) -> None:
    for table in ("token_usage", "token_usage_daily", "token_usage_tag_daily", "usage_membership"):
        assert raw(f"SELECT DISTINCT org_id, user_id FROM {table}", who=world.member.pk) == [
            (world.org.pk, world.member.pk)
        ]
    assert raw("SELECT count(*) FROM token_usage", who=world.member.pk) == [(2,)]
    own_tags = "SELECT DISTINCT grain, tag_key, tag_value FROM token_usage_tag_daily"
    assert raw(own_tags, who=world.member.pk) == [("tag_cube", "env", "test")]


def test_tags_of_others_are_hidden_from_members_and_from_other_organisations(
    world: World, raw: Callable[..., Rows]
) -> None:
    for table in ("token_usage_tag_daily", "usage_tag_value"):
        prod = f"SELECT count(*) FROM {table} WHERE tag_value = 'prod' AND org_id = "
        assert catalogue(f"{prod}{world.org.pk}") != [(0,)]
        assert raw(f"{prod}{world.org.pk}", who=world.owner.pk) == catalogue(f"{prod}{world.org.pk}")
        for hidden_from in (world.member.pk, world.stranger.pk):
            assert raw(f"{prod}{world.org.pk}", who=hidden_from) == [(0,)]


@pytest.mark.parametrize("statement", [
    "INSERT INTO token_usage SELECT * FROM token_usage",
    "UPDATE token_usage SET cost_usd = 0",
    "DELETE FROM token_usage",
    "UPDATE token_usage_daily SET cost_usd = 0",
    "DELETE FROM token_usage_daily",
    "UPDATE token_usage_tag_daily SET cost_usd = 0",
    "DELETE FROM usage_tag_value",
    "INSERT INTO usage_tag_value (org_id, tag_key, tag_value) VALUES (1, 'mine', 'too')",
    "TRUNCATE token_usage",
    "UPDATE usage_membership SET role = 'owner'",
    "INSERT INTO usage_membership (org_id, user_id, role) VALUES (1, 1, 'owner')",
    "UPDATE usage_organization SET name = 'mine'",
    "UPDATE usage_exchange_rate SET usd_rub = 1",
    "DELETE FROM usage_price_override",
    "SELECT refresh_token_usage_daily('2026-01-01', '2026-12-31')",
    "ALTER TABLE token_usage DISABLE ROW LEVEL SECURITY",
    "CREATE TABLE mine (id int)",
    # The next request on the connection would read this table.
    "CREATE TEMPORARY TABLE usage_membership AS SELECT 1 AS org_id, 1 AS user_id, 'owner' AS role",
])  # fmt: skip
def test_the_web_cannot_write_the_ledger(world: World, raw: Callable[..., Rows], statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw(statement, who=world.owner.pk)


def test_the_scope_ends_with_its_transaction(world: World, raw: Callable[..., Rows]) -> None:
    assert raw("SELECT count(*) FROM token_usage", who=world.owner.pk) == [(4,)]
    assert raw("SELECT count(*) FROM token_usage") == [(0,)]
    assert raw("SELECT current_user, current_setting('app.scope', true)") == [(WEB, "")]


def test_a_unique_key_reveals_no_row_of_another_tenant(world: World) -> None:
    """Every unique key of a secured table that the web may write contains the organisation, a UUID or a digest.

    Otherwise a conflict would reveal a hidden row. A UUID or a digest of 256 random bits cannot be guessed. A key of
    rows without an organisation conflicts with none that the web may write.
    """
    keys = catalogue(
        "SELECT indrelid::regclass::text, indexrelid::regclass::text, array_agg(attname::text),"
        " bool_or(typname = 'uuid')"
        " FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)"
        " JOIN pg_type ON pg_type.oid = atttypid"
        f" WHERE indisunique AND has_table_privilege('{WEB}', indrelid, 'INSERT')"
        " AND coalesce(pg_get_expr(indpred, indrelid) NOT LIKE '%(org_id IS NULL)%', true)"
        " GROUP BY indrelid, indexrelid"
    )
    names = tenants()
    # The database generates these numbers, so a tenant's insert cannot choose one; a digest is of 256 random bits.
    given_out = {("id",), ("digest",)}
    without = [
        (table, key)
        for table, key, columns, has_uuid in keys
        if table in names and "org_id" not in columns and not has_uuid and tuple(columns) not in given_out
    ]
    assert without == []


# ── Saved views ──────────────────────────────────────────────────────────────────────────────────────────────────


def views(raw: Callable[..., Rows], person: Any) -> set[tuple[int, str]]:
    return {(org_id, name) for org_id, name in raw("SELECT org_id, name FROM usage_saved_view", who=person.pk)}


def test_people_see_their_own_views_and_those_shared_with_their_organisation(
    world: World, raw: Callable[..., Rows]
) -> None:
    SavedView.objects.create(user=world.admin, name="superadmins'", page="explore", is_shared=True)
    # A superadmin who has become an owner does not see what they saved as one.
    SavedView.objects.create(user=world.owner, name="of before", page="explore")
    org = world.org.pk
    assert views(raw, world.owner) == {(org, "shared"), (org, "private")}
    assert views(raw, world.member) == {(org, "shared"), (org, "own")}
    assert views(raw, world.stranger) == {(world.other.pk, "shared"), (world.other.pk, "private")}


def test_people_change_their_own_views_and_owners_those_that_are_shared(world: World, raw: Callable[..., Rows]) -> None:
    SavedView.objects.create(org=world.org, user=world.member, name="a member's", page="calls", is_shared=True)
    changed = "UPDATE usage_saved_view SET query = 'days=7' RETURNING name"
    assert {name for (name,) in raw(changed, who=world.member.pk)} == {"own", "a member's"}
    assert {name for (name,) in raw(changed, who=world.owner.pk)} == {"shared", "private", "a member's"}
    deleted = "DELETE FROM usage_saved_view WHERE name = 'shared' RETURNING name"
    assert raw(deleted, who=world.member.pk) == []
    assert raw(deleted, who=world.owner.pk) == [("shared",)]


@pytest.mark.parametrize("org", ["theirs", "none"])
def test_nobody_saves_a_view_for_another_organisation_or_for_superadmins(
    world: World, raw: Callable[..., Rows], org: str
) -> None:
    insert = (
        "INSERT INTO usage_saved_view (org_id, user_id, name, page, query, is_shared, is_start, created_at)"
        " VALUES (%s, %s, 'mine', 'calls', '', true, false, now())"
    )
    raw(insert, world.org.pk, world.owner.pk, who=world.owner.pk)
    elsewhere = world.other.pk if org == "theirs" else None
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw(insert, elsewhere, world.owner.pk, who=world.owner.pk)
    # Nor is one given away.
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw("UPDATE usage_saved_view SET org_id = %s WHERE name = 'mine'", elsewhere, who=world.owner.pk)


# ── Subscriptions to the digest ──────────────────────────────────────────────────────────────────────────────────

SUBSCRIBE = "INSERT INTO ai_digest_subscription (org_id, user_id) VALUES (%s, %s)"


def test_an_owner_sees_the_subscriptions_of_the_organisation_and_others_none(
    world: World, raw: Callable[..., Rows]
) -> None:
    seen = "SELECT user_id FROM ai_digest_subscription"
    assert raw(seen, who=world.owner.pk) == [(world.owner.pk,)]
    assert raw(seen, who=world.member.pk) == raw(seen) == []


def test_an_owner_subscribes_nobody_but_themselves(world: World, raw: Callable[..., Rows]) -> None:
    assert raw("DELETE FROM ai_digest_subscription RETURNING user_id", who=world.owner.pk) == [(world.owner.pk,)]
    raw(SUBSCRIBE, world.org.pk, world.owner.pk, who=world.owner.pk)
    for who, org, user in (
        (world.owner, world.org, world.member),
        (world.owner, world.other, world.owner),
        (world.member, world.org, world.member),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw(SUBSCRIBE, org.pk, user.pk, who=who.pk)
    another = factories.owner(world.org)
    assert raw("DELETE FROM ai_digest_subscription RETURNING user_id", who=another.pk) == []


# ── People who work in SQL ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def anna(tables_owner: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A session of an analyst whose login was created as the README describes."""
    tables_owner.execute(f"CREATE ROLE anna LOGIN PASSWORD '{PASSWORD}' IN ROLE {ANALYST}")
    config = connection.settings_dict
    address = {"host": config["HOST"], "port": config["PORT"], "dbname": config["NAME"]}
    try:
        with psycopg.connect(**address, user="anna", password=PASSWORD, autocommit=True) as session:
            yield session
    finally:
        tables_owner.execute("DROP ROLE anna")


def test_an_analyst_reads_all_calls_and_no_personal_data(world: World, anna: psycopg.Connection) -> None:
    readable = {
        "token_usage", "token_usage_daily", "usage_organization", "usage_exchange_rate", "usage_price_override",
        "usage_reprice_run",
        "usage_archive_file", "usage_archived_usage", "token_usage_tag_daily", "usage_tag_value", "usage_budget",
            "usage_budget_lease", "usage_settled_hold", *VIEWS,
    }  # fmt: skip
    tables = {
        name
        for (name,) in catalogue(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace = current_schema()::regnamespace"
        )
    }
    assert readable < tables
    for table in tables:
        if table in readable:
            assert anna.execute(f'SELECT count(*) FROM "{table}"').fetchall() == catalogue(
                f'SELECT count(*) FROM "{table}"'
            )
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                anna.execute(f'SELECT count(*) FROM "{table}"')
    for function in ("get_ai_cost_summary", "get_openai_cost_summary"):
        summary = f"SELECT total_requests, total_cost_usd FROM {function}(NULL, 9999)"
        (total,) = anna.execute(summary).fetchall()
        assert total == catalogue(summary)[0]
        assert total[0] > 0


@pytest.mark.parametrize("statement", [
    "UPDATE token_usage SET cost_usd = 0",
    "DELETE FROM token_usage_daily",
    "INSERT INTO usage_exchange_rate SELECT * FROM usage_exchange_rate",
    "UPDATE usage_organization SET name = 'mine'",
    f"SET ROLE {LEDGER}",
    f"SET ROLE {SUPERADMIN}",
    "SELECT refresh_token_usage_daily('2026-01-01', '2026-12-31')",
])  # fmt: skip
def test_an_analyst_cannot_write(world: World, anna: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        anna.execute(statement)
