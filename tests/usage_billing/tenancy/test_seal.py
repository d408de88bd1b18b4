"""SQL that is injected into a request neither reads nor changes rows of another tenant."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction
from pytest_django import Settings

from tests.support.configure import configure
from tests.support.factories import event
from tests.usage_billing.tenancy.conftest import World
from usage_billing.conf import conf
from usage_billing.ledger import writer
from usage_billing.models import UsageRecord
from usage_billing.tenancy import seal
from usage_billing.tenancy.roles import ANALYST, DRAIN, LEDGER, SUPERADMIN, WEB
from usage_billing.tenancy.scope import EVERYTHING, scoped, within

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

THEIRS = "their_agent"
"""The agent of the other tenant's calls. No injected statement may return it."""
FORGED = "'{stranger}|{{{org},{other}}}|{{{org},{other}}}|t|9999999999|" + "0" * 64 + "'"
"""A scope over everything, with an invalid seal."""
WIDENED = (
    "set_config('app.scope', regexp_replace(current_setting('app.scope', true), '[{{][^|]*[}}]', '{{{org},{other}}}'),"
    " true), set_config('app.owned_org_ids', '{{{org},{other}}}', true), set_config('app.user_id', '{stranger}', true)"
)
"""Replaces the organisations in the current scope, also in the settings of earlier versions."""
ROLES = (SUPERADMIN, LEDGER, DRAIN, ANALYST, WEB, "postgres", "NONE")

ATTACKS: dict[str, Sequence[str]] = {
    "set_config": [f"SELECT {WIDENED}"],
    "set_config for the session": [f"SELECT {WIDENED}".replace("true)", "false)")],
    "SET": [f"SET app.scope = {FORGED}", "SET app.owned_org_ids = '{{{org},{other}}}'"],
    "SET LOCAL": [f"SET LOCAL app.scope = {FORGED}", "SET LOCAL app.owned_org_ids = '{{{org},{other}}}'"],
    "no seal": ["SET LOCAL app.scope = '{stranger}|{{{other}}}|{{}}|t|9999999999'"],
    "odd scopes": [f"SET LOCAL app.scope = '{scope}'" for scope in ("|", "|||||", "enter|1|2|3|4", "|{{}}|{{}}|t|")],
    "RESET": ["RESET app.scope", "RESET ALL", "DISCARD ALL"],
    "SET ROLE": [f"SET ROLE {role}" for role in ROLES],
    "set_config of the role": [f"SELECT set_config('role', '{role}', true)" for role in ROLES],
    "SET SESSION AUTHORIZATION": [f"SET SESSION AUTHORIZATION {role}" for role in ROLES[:-1]],
    "the superadmin's role and a scope": [f"SET ROLE {SUPERADMIN}", f"SET LOCAL app.scope = {FORGED}"],
    "the superadmin's role and the current scope": [
        f"SET ROLE {SUPERADMIN}",
        "SELECT set_config('app.scope', replace(current_setting('app.scope', true), '|f|', '|t|'), true)",
    ],
    "settings of the database": ["SET row_security = off", "SET session_replication_role = replica"],
    "our functions": [
        "SELECT usage_enter_scope({stranger})",
        "SELECT usage_enter_scope({stranger}, 9999999999, NULL)",
        "SELECT usage_enter_scope({stranger}, 9999999999, '')",
        "SELECT usage_enter_scope({stranger}, 9999999999, right(current_setting('app.scope', true), 64))",
        "SELECT usage_enter_scope({admin}, NULL, '')",
        f"SELECT usage_set_scope({FORGED})",
        "SELECT usage_scope()",
        "SELECT * FROM get_ai_cost_summary({other}, 9999)",
        "SELECT * FROM get_openai_cost_summary({other}, 9999)",
        "SELECT refresh_token_usage_daily('2026-01-01', '2027-01-01')",
    ],
    "the proof of a user as a seal": [
        "SELECT set_config('app.scope', '{stranger}|{{{other}}}|{{}}|t|9999999999|' ||"
        " right(current_setting('app.scope', true), 64), true)",
    ],
    "while rows come": [f"SELECT agent_id, {WIDENED} FROM token_usage"],
    "while rows come, by a join": [
        f"SELECT b.agent_id FROM (SELECT {WIDENED} FROM token_usage OFFSET 0) a, token_usage b",
        f"SELECT u.agent_id FROM usage_organization o, LATERAL (SELECT o.id, {WIDENED}) s, token_usage u",
    ],
    "while rows come, in a condition": [
        f"SELECT agent_id FROM token_usage WHERE (SELECT count(*) FROM (SELECT {WIDENED}) a) > 0"
    ],
    "a cursor": [
        "DECLARE c CURSOR FOR SELECT agent_id FROM token_usage",
        "FETCH 1 FROM c",
        f"SELECT {WIDENED}",
        "FETCH ALL FROM c",
    ],
    "a cursor of another role": [
        "DECLARE c CURSOR FOR SELECT agent_id FROM token_usage",
        f"SET ROLE {SUPERADMIN}",
        "FETCH ALL FROM c",
    ],
    "a prepared statement": [
        "PREPARE p AS SELECT agent_id FROM token_usage",
        "EXECUTE p",
        f"SELECT {WIDENED}",
        "EXECUTE p",
        f"SET ROLE {SUPERADMIN}",
        "EXECUTE p",
    ],
    "a block": [
        "DO $$ DECLARE r record; t text := ''; BEGIN"
        f" FOR r IN SELECT agent_id FROM token_usage LOOP PERFORM {WIDENED}; t := t || r.agent_id; END LOOP;"
        " FOR r IN SELECT agent_id FROM token_usage LOOP t := t || r.agent_id; END LOOP;"
        " PERFORM set_config('app.found', t, true); END $$",
        "SELECT current_setting('app.found', true)",
    ],
    "a savepoint": [
        "SAVEPOINT a",
        f"SELECT {WIDENED}",
        "RELEASE SAVEPOINT a",
        "SAVEPOINT b",
        f"SET LOCAL app.scope = {FORGED}",
        "ROLLBACK TO SAVEPOINT b",
    ],
    "the key": [
        f"SELECT * FROM {seal.KEY_TABLE}",
        f"SET ROLE {SUPERADMIN}",
        f"SELECT * FROM {seal.KEY_TABLE}",
        f"INSERT INTO {seal.KEY_TABLE} VALUES ('', '', 'infinity')",
    ],
    "objects of the attacker": [
        "CREATE TEMPORARY TABLE usage_membership AS SELECT {org} AS org_id, {owner} AS user_id, 'owner' AS role",
        "CREATE TEMPORARY VIEW token_usage AS SELECT 1 AS id",
        "CREATE FUNCTION pg_temp.peek() RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION peek() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT agent_id FROM token_usage'",
        "CREATE FUNCTION usage_scope(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "CREATE TABLE mine (id int)",
    ],
    "row-level security itself": [
        "ALTER TABLE token_usage DISABLE ROW LEVEL SECURITY",
        f"DROP POLICY {WEB} ON token_usage",
        f"CREATE POLICY mine ON token_usage TO {WEB} USING (true)",
        "CREATE OR REPLACE FUNCTION usage_scope(OUT user_id bigint, OUT owned_org_ids bigint[],"
        " OUT member_org_ids bigint[], OUT everything boolean) LANGUAGE sql AS 'SELECT 1, NULL, NULL, true'",
        "ALTER FUNCTION usage_scope() SECURITY INVOKER",
        f"GRANT {LEDGER} TO {WEB}",
        f"GRANT {SUPERADMIN} TO {WEB} WITH INHERIT TRUE",
        f"ALTER ROLE {WEB} BYPASSRLS",
        "CREATE ROLE mine SUPERUSER",
        f"GRANT ALL ON token_usage TO {WEB}",
    ],
    "the login's own defaults": [
        f"ALTER ROLE {WEB} SET role = {SUPERADMIN}",
        f"ALTER ROLE {WEB} SET app.scope = {FORGED}",
    ],
    "files": ["COPY token_usage TO PROGRAM 'cat'", "SELECT pg_read_file('postgresql.conf')"],
    "statistics": ["SELECT most_common_vals FROM pg_stats WHERE tablename = 'token_usage'"],
    "a membership": [
        f"SET ROLE {SUPERADMIN}",
        "INSERT INTO usage_membership (org_id, user_id, role) VALUES ({other}, {owner}, 'owner')",
        "UPDATE usage_membership SET user_id = {owner} WHERE org_id = {other}",
    ],
    "tables that superadmins write": [
        f"SET ROLE {SUPERADMIN}",
        f"SELECT {WIDENED}",
        "UPDATE usage_organization SET name = 'mine'",
        "DELETE FROM usage_price_override",
        "UPDATE usage_exchange_rate SET usd_rub = 1",
        "INSERT INTO usage_exchange_rate SELECT * FROM usage_exchange_rate",
        "DELETE FROM usage_exchange_rate",
    ],
    "tables that the ledger writes": [
        f"SET ROLE {LEDGER}",
        "UPDATE token_usage SET cost_usd = 0",
        "DELETE FROM token_usage_daily",
    ],
    "another tenant's rows": [
        f"SELECT {WIDENED}",
        "UPDATE ai_content_piece SET text = 'mine' WHERE org_id = {other}",
        "DELETE FROM ai_content_piece WHERE org_id = {other}",
        "UPDATE ai_content_piece SET org_id = {other}",
    ],
}  # fmt: skip


@pytest.fixture
def theirs(world: World) -> World:
    """The other tenant has rows that a test can tell from ours."""
    writer.add([event(org=world.other, user=world.stranger, attribution={"agent_id": THEIRS, "request_type": "x"})])
    return world


@contextmanager
def in_scope_of(user: Any) -> Iterator[None]:
    with nullcontext() if user is None else scoped(user), transaction.atomic():
        yield


def injected(statements: Sequence[str], ids: dict[str, int]) -> list[Any]:
    """Run all statements, even after one is refused, and return their rows."""
    found: list[Any] = []
    for statement in statements:
        try:
            # A plain psycopg cursor, because a savepoint of Django would interfere with those of the attack.
            with psycopg.Cursor(connection.connection) as cursor:
                cursor.execute("SAVEPOINT injected")
                cursor.execute(statement.format(**ids))
                found += cursor.fetchall() if cursor.description else []
        except psycopg.Error:
            connection.connection.execute("ROLLBACK TO SAVEPOINT injected")
    return found


def tenants(owner: psycopg.Connection) -> list[str]:
    found = owner.execute(
        "SELECT relname FROM pg_class WHERE relrowsecurity AND relnamespace = current_schema()::regnamespace ORDER BY 1"
    )
    return [name for (name,) in found.fetchall()]


def state(owner: psycopg.Connection) -> dict[str, Any]:
    """All rows of all secured tables, the memberships of our roles, and the policies."""
    rows = {table: owner.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tenants(owner)}
    # Only our roles: other workers of pytest-xdist have theirs on the same server.
    memberships = "SELECT roleid, member FROM pg_auth_members WHERE member::regrole::text = ANY (%s) ORDER BY 1, 2"
    rows["pg_auth_members"] = owner.execute(memberships, [[WEB, SUPERADMIN, LEDGER, DRAIN]]).fetchall()
    rows["pg_policy"] = owner.execute("SELECT * FROM pg_policies ORDER BY 1, 2, 3").fetchall()
    return rows


@pytest.mark.parametrize("who", ["owner", "member", None])
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_injected_statement_neither_reads_nor_changes_another_tenants_rows(
    tables_owner: psycopg.Connection, theirs: World, as_web: World, attack: str, who: str | None
) -> None:
    world = as_web
    ids = {name: getattr(world, name).pk for name in ("org", "other", "owner", "stranger", "admin")}
    before = state(tables_owner)
    assert THEIRS in str(before["token_usage"])
    assert "Theirs" in str(before["usage_organization"])
    roles = [f"SET ROLE {role}" for role in ("NONE", SUPERADMIN, LEDGER, DRAIN)]
    look = [f"SELECT * FROM {table}" for table in tenants(tables_owner)]
    with in_scope_of(who and getattr(world, who)):
        found = injected(ATTACKS[attack], ids)
        for role in roles:
            found += injected([role, *look], ids)
    # Settings that the attack left on the connection have no effect.
    with transaction.atomic():
        for role in roles:
            found += injected([role, *look], ids)
    assert THEIRS not in str(found)
    assert "Theirs" not in str(found)
    assert state(tables_owner) == before
    # The next user of the connection sees exactly their rows.
    connection.close()
    with scoped(world.stranger):
        assert UsageRecord.objects.count() == 5


def test_a_superadmin_cannot_write_the_ledger(as_web: World) -> None:
    with within(EVERYTHING), connection.cursor() as cursor:
        assert UsageRecord.objects.count() == 8
        with pytest.raises(OperationalError, match="USAGE_DRAIN=off"):
            writer.add([event(org=as_web.org)])
        assert cursor is not None


def test_an_expired_scope_shows_no_rows(as_web: World) -> None:
    def count(until: int) -> int:
        ids = {"owned_org_ids": [as_web.org.pk], "member_org_ids": []}
        with transaction.atomic(), connection.cursor() as cursor:
            scope = seal.sealed(user_id=None, everything=False, until=until, **ids)
            cursor.execute("SELECT set_config('app.scope', %s, true)", [scope])
            return UsageRecord.objects.count()

    now = int(time.time())
    assert (count(now + 60), count(now - 60)) == (4, 0)


def test_a_proof_is_valid_only_for_its_user_and_its_time(as_web: World) -> None:
    owner, stranger, now = as_web.owner.pk, as_web.stranger.pk, int(time.time())

    def enter(who: int, until: int, proof: str) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT usage_enter_scope(%s, %s, %s)", [who, until, proof])

    enter(owner, now + 60, seal.proof(owner, now + 60))
    for who, until, proof in (
        (stranger, now + 60, seal.proof(owner, now + 60)),
        (owner, now + 90, seal.proof(owner, now + 60)),
        (owner, now - 60, seal.proof(owner, now - 60)),
    ):
        with pytest.raises(OperationalError, match="wrong, or too old"):
            enter(who, until, proof)


def test_other_sessions_see_no_seal_or_proof(as_web: World, web_login: Any) -> None:
    """All sessions of a role see each other's statements, but not the bound values."""
    with psycopg.connect(**web_login, autocommit=True) as other:

        def seen() -> str:
            return str(other.execute("SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()").fetchall())

        with scoped(as_web.owner):
            assert "usage_enter_scope" in seen()
            assert not re.search("[0-9a-f]{64}", seen())
        with within(EVERYTHING):
            assert "usage_set_scope" in seen()
            assert not re.search("[0-9a-f]{64}", seen())
            # A nested scope is a savepoint and restores the outer scope.
            with within(EVERYTHING):
                pass
            assert not re.search("[0-9a-f]{64}", seen())


# ── The key ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_that_the_database_does_not_know_raises_an_error(as_web: World, settings: Settings) -> None:
    configure(settings, SCOPE_KEY="another one")
    for scope in (scoped(as_web.owner), within(EVERYTHING)):
        with pytest.raises(OperationalError, match=r"manage\.py migrate"), scope:
            pytest.fail("a scope was entered with an unknown key")


def test_a_replaced_key_holds_until_the_servers_are_restarted(world: World, settings: Settings) -> None:
    before = conf.SCOPE_KEY
    try:
        for key in ("the second", "the third"):
            configure(settings, SCOPE_KEY=key)
            seal.create(connection)
        for key, holds in ((before, True), ("the second", True), ("the third", True), ("the fourth", False)):
            configure(settings, SCOPE_KEY=key)
            with nullcontext() if holds else pytest.raises(OperationalError), scoped(world.owner):
                assert UsageRecord.objects.count() == 4
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {seal.KEY_TABLE} SET valid_until = now() WHERE valid_until <> 'infinity'")
        configure(settings, SCOPE_KEY=before)
        with pytest.raises(OperationalError), scoped(world.owner):
            pytest.fail("a scope was entered with an expired key")
    finally:
        configure(settings, SCOPE_KEY=before)
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {seal.KEY_TABLE}")
        seal.create(connection)
