"""PostgreSQL itself keeps tenants apart, whatever SQL the web's user sends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models
from django.test.utils import isolate_apps
from pytest_django import Settings

from tests.usage_billing.database.conftest import PASSWORD, Rows, World
from usage_billing.database import functions, walls
from usage_billing.database.roles import LEDGER, SUPERADMIN, WEB

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

ENTER = "SELECT usage_enter_scope(%s)"
VIEWS = (functions.VIEW,)


def catalogue(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def tenants() -> dict[str, str]:
    """Every table and view that has an organisation, by the catalogue: name → the column of the organisation's id."""
    found = catalogue(
        "SELECT table_name, 'org_id' FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND column_name = 'org_id'"
    )
    return {"organization": "id", **dict(found)}


# ── The catalogue ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_webs_role_owns_nothing_and_bypasses_nothing() -> None:
    roles = catalogue(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolinherit, rolreplication FROM pg_roles"
        f" WHERE rolname IN ('{WEB}', '{SUPERADMIN}', '{LEDGER}')"
    )
    assert len(roles) == 3
    assert all(not any(attributes) for _, *attributes in roles)
    owned = catalogue(
        "SELECT relname FROM pg_class JOIN pg_roles ON pg_roles.oid = relowner WHERE rolname LIKE 'usage\\_%'"
        " UNION ALL SELECT proname FROM pg_proc JOIN pg_roles ON pg_roles.oid = proowner"
        " WHERE rolname LIKE 'usage\\_%'"
    )
    assert owned == []


def test_every_table_with_an_organisation_is_walled() -> None:
    """Tables that are added later too: this asks the catalogue, not the models."""
    walled = {name for (name,) in catalogue("SELECT relname FROM pg_class WHERE relrowsecurity")}
    assert {name for name in tenants() if name not in VIEWS} == walled
    assert {"token_usage", "token_usage_daily", "organization", "membership"} < walled


def test_what_hangs_on_a_walled_table_has_an_organisation_of_its_own() -> None:
    """A table that refers to a tenant's row and has no `org_id` would have no wall."""
    references = catalogue(
        "SELECT DISTINCT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
    )
    names = tenants()
    assert [(table, to) for table, to in references if to in names and table not in names] == []


def test_policies_are_plain_comparisons_for_our_roles_alone() -> None:
    policies = catalogue("SELECT tablename, policyname, roles::text, permissive, qual, with_check FROM pg_policies")
    assert {roles for _, _, roles, *_ in policies} == {f"{{{WEB}}}", f"{{{SUPERADMIN}}}", f"{{{LEDGER}}}"}
    for _, _, _, permissive, condition, check in policies:
        assert permissive == "PERMISSIVE"
        assert "SELECT" not in condition.upper()
        assert check is None  # as the condition


def test_views_read_with_the_callers_rights() -> None:
    views = catalogue(
        "SELECT relname, reloptions::text FROM pg_class"
        " WHERE relkind = 'v' AND relnamespace = current_schema()::regnamespace"
    )
    assert dict(views) == dict.fromkeys(VIEWS, "{security_invoker=true}")
    definers = catalogue(
        "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = current_schema()::regnamespace"
    )
    assert definers == []


def test_nothing_is_left_to_do_after_migrating() -> None:
    assert walls.build(connection) == []


def test_what_somebody_changed_by_hand_is_put_right() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP POLICY {WEB} ON token_usage")
        cursor.execute(f"CREATE POLICY loophole ON token_usage TO {WEB} USING (true)")
        cursor.execute(f"GRANT DELETE ON token_usage TO {WEB}")
        cursor.execute("ALTER TABLE membership DISABLE ROW LEVEL SECURITY")
    done = walls.build(connection)
    assert [statement.split(" USING")[0] for statement in done if "COMMENT" not in statement] == [
        f'REVOKE DELETE ON "token_usage" FROM {WEB}',
        'ALTER TABLE "membership" ENABLE ROW LEVEL SECURITY',
        'DROP POLICY "loophole" ON "token_usage"',
        f'CREATE POLICY {WEB} ON "token_usage" TO {WEB}',
    ]
    assert walls.build(connection) == []


@isolate_apps("tests.usage_billing.database")
def test_a_tenants_table_of_another_app_is_walled(monkeypatch: pytest.MonkeyPatch, raw: Callable[..., Rows]) -> None:
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
        walls.build(connection)
        assert raw("SELECT org_id FROM added_later") == []
        assert raw("SELECT org_id FROM added_later", scope=ENTER, who=world.member.pk) == [(world.org.pk,)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE added_later")


def test_a_migrating_user_who_may_not_create_roles_is_told_what_to_do() -> None:
    """The statements of the message, run by an administrator, are all that it takes."""
    config, prefix, name = connection.settings_dict, "elsewhere", "migrating_user"
    mine = (f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'", f"CREATE DATABASE {name} OWNER {name}")
    url = f"postgres://{name}:{PASSWORD}@{config['HOST']}:{config['PORT']}/{name}"

    def migrate() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DATABASE_URL": url, "USAGE_ROLE_PREFIX": prefix, "DEBUG": "1"}
        command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    with connection.cursor() as cursor:
        for statement in mine:
            cursor.execute(statement)
        try:
            refused = migrate()
            assert refused.returncode == 1
            told = [line.strip() for line in refused.stderr.splitlines() if line.startswith("    ")]
            assert len(told) == 5
            for statement in told:
                cursor.execute(statement)
            again = migrate()
            assert (again.returncode, again.stderr) == (0, "")
        finally:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
            for role in (name, *(f"{prefix}_{each}" for each in ("web", "superadmin", "ledger"))):
                cursor.execute(f"DROP ROLE IF EXISTS {role}")


def test_the_web_may_use_a_cache_in_the_database(settings: Settings, raw: Callable[..., Rows]) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "counted"}}
    call_command("createcachetable", verbosity=0)
    try:
        walls.build(connection)
        assert raw("SELECT count(*) FROM counted") == [(0,)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE counted")


# ── Raw SQL as the web's user ────────────────────────────────────────────────────────────────────────────────────


def test_without_a_scope_there_is_nothing(world: World, raw: Callable[..., Rows]) -> None:
    for table in tenants():
        assert catalogue(f'SELECT count(*) FROM "{table}"') != [(0,)], f"no rows to hide in {table}"
        assert raw(f'SELECT count(*) FROM "{table}"') == [(0,)], table
    for function in ("get_ai_cost_summary", "get_openai_cost_summary"):
        assert raw(f"SELECT total_requests, by_request_type FROM {function}(NULL, 9999)") == [(0, {})]
        assert raw(f"SELECT total_requests FROM {function}({world.org.pk}, 9999)") == [(0,)]


def test_with_a_scope_there_are_the_tenants_rows_alone(world: World, raw: Callable[..., Rows]) -> None:
    not_for_tenants = {"price_override", "reprice_run"}
    for table, column in tenants().items():
        seen = raw(f'SELECT DISTINCT {column} FROM "{table}"', scope=ENTER, who=world.owner.pk)
        assert seen == ([] if table in not_for_tenants else [(world.org.pk,)]), table


def test_an_owner_sees_all_calls_of_the_organisation(world: World, raw: Callable[..., Rows]) -> None:
    for table in ("token_usage", "token_usage_daily", "membership", functions.VIEW):
        everything = catalogue(f"SELECT count(*) FROM {table} WHERE org_id = {world.org.pk}")
        assert raw(f"SELECT count(*) FROM {table}", scope=ENTER, who=world.owner.pk) == everything


def test_a_member_sees_their_own_calls_alone(world: World, raw: Callable[..., Rows]) -> None:
    for table in ("token_usage", "token_usage_daily", "membership"):
        assert raw(f"SELECT DISTINCT org_id, user_id FROM {table}", scope=ENTER, who=world.member.pk) == [
            (world.org.pk, world.member.pk)
        ]
    assert raw("SELECT count(*) FROM token_usage", scope=ENTER, who=world.member.pk) == [(2,)]


@pytest.mark.parametrize("statement", [
    "INSERT INTO token_usage SELECT * FROM token_usage",
    "UPDATE token_usage SET cost_usd = 0",
    "DELETE FROM token_usage",
    "UPDATE token_usage_daily SET cost_usd = 0",
    "DELETE FROM token_usage_daily",
    "TRUNCATE token_usage",
    "UPDATE membership SET role = 'owner'",
    "INSERT INTO membership (org_id, user_id, role) VALUES (1, 1, 'owner')",
    "UPDATE organization SET name = 'mine'",
    "UPDATE exchange_rate SET usd_rub = 1",
    "DELETE FROM price_override",
    "SELECT refresh_token_usage_daily('2026-01-01', '2026-12-31')",
    "ALTER TABLE token_usage DISABLE ROW LEVEL SECURITY",
    "CREATE TABLE mine (id int)",
])  # fmt: skip
def test_the_web_writes_nothing_of_the_ledger(world: World, raw: Callable[..., Rows], statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw(statement, scope=ENTER, who=world.owner.pk)


def test_the_scope_ends_with_its_transaction(world: World, raw: Callable[..., Rows]) -> None:
    assert raw("SELECT count(*) FROM token_usage", scope=ENTER, who=world.owner.pk) == [(4,)]
    assert raw("SELECT count(*) FROM token_usage") == [(0,)]
    settings = [f"current_setting('app.{name}', true)" for name in ("user_id", "owned_org_ids", "member_org_ids")]
    assert raw(f"SELECT current_user, {', '.join(settings)}") == [(WEB, "", "", "")]


def test_the_superadmins_role_is_not_inherited(world: World, raw: Callable[..., Rows]) -> None:
    assert raw("SELECT count(*) FROM token_usage", scope=f"SET LOCAL ROLE {SUPERADMIN}") == [(8,)]
    assert raw("SELECT count(*) FROM token_usage") == [(0,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw("UPDATE token_usage SET cost_usd = 0", scope=f"SET LOCAL ROLE {SUPERADMIN}")


def test_a_request_id_tells_nothing_of_another_tenants_row(world: World) -> None:
    """Each unique key of a walled table that the web writes has the organisation in it: a conflict would tell.

    A uuid cannot be guessed.
    """
    keys = catalogue(
        "SELECT indrelid::regclass::text, indexrelid::regclass::text, array_agg(attname::text),"
        " bool_or(typname = 'uuid')"
        " FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)"
        " JOIN pg_type ON pg_type.oid = atttypid"
        f" WHERE indisunique AND has_table_privilege('{WEB}', indrelid, 'INSERT') GROUP BY indrelid, indexrelid"
    )
    names = tenants()
    # A number that the database gives out itself cannot be asked for by an insert of a tenant's.
    given_out = {("id",)}
    without = [
        (table, key)
        for table, key, columns, has_uuid in keys
        if table in names and "org_id" not in columns and not has_uuid and tuple(columns) not in given_out
    ]
    assert without == []
