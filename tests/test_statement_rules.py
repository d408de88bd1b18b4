"""The rules for statements find what Citus cannot run, and fail the test whose code sends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, models

from tests import conftest
from tests.support import statement_watch
from tests.support.statement_rules import (
    LATERAL_LIMIT,
    LOCK_WITHOUT_ORG,
    SET_CONFIG,
    SQL_FUNCTION,
    UNIQUE_KEY,
    UNREADABLE,
    WITHOUT_ORG,
    broken,
)
from tests.support.statement_watch import BROAD, TWO_ROLES
from usage_billing.models import DailyUsage, UsageRecord
from usage_billing.models.database import atomic
from usage_billing.tenancy import roles
from usage_billing.tenancy.scope import EVERYTHING, of_organization, within

GOOD = {
    "equal": "SELECT * FROM token_usage WHERE org_id = %s AND usage_date > %s",
    "one of many": "SELECT * FROM token_usage AS u WHERE u.org_id IN (%s, %s, %s, %s)",
    "one of an array": "SELECT * FROM token_usage_daily WHERE org_id = ANY (%s::bigint[])",
    "in each alternative": "SELECT 1 FROM token_usage WHERE org_id = %s OR (org_id IN (%s) AND user_id = %s)",
    "in a join": "SELECT 1 FROM usage_organization o JOIN token_usage u ON u.org_id = %s AND o.id = u.org_id",
    "among given values": "SELECT 1 FROM token_usage JOIN (SELECT %s AS org_id, %s AS id) AS given USING (org_id, id)",
    "as a row": "SELECT 1 FROM token_usage WHERE (org_id, request_id) IN ((%s, %s), (%s, %s))",
    "other tables": "SELECT * FROM usage_organization, token_usage_tag_daily",
    "locked": "SELECT * FROM token_usage WHERE org_id = %s ORDER BY id FOR UPDATE",
    "update from values": "UPDATE token_usage SET cost_usd = c.usd FROM (SELECT 1 AS org_id, 2 AS usd) AS c"
    " WHERE token_usage.org_id = c.org_id",
    "delete": "DELETE FROM token_usage_daily WHERE org_id IN (%s, %s) AND requests_count = 0",
    "upsert": "INSERT INTO token_usage (org_id, id) VALUES (%s, %s) ON CONFLICT (org_id, request_id) DO NOTHING",
    "lateral of one organisation's calls, without a limit": "SELECT 1 FROM usage_organization o"
    " CROSS JOIN LATERAL (SELECT 1 FROM token_usage WHERE org_id = %s) AS calls",
    "lateral of another table": "SELECT 1 FROM usage_organization o"
    " CROSS JOIN LATERAL (SELECT 1 FROM usage_membership m WHERE m.org_id = o.id LIMIT 1) AS first",
    "function in plpgsql": "CREATE FUNCTION f(day date) RETURNS bigint LANGUAGE plpgsql AS"
    " $$ BEGIN RETURN (SELECT count(*) FROM token_usage); END $$",
    "function without parameters": "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS"
    " $$ SELECT count(*) FROM token_usage $$",
    "view": "CREATE VIEW v AS SELECT * FROM token_usage",
    "role": "SELECT set_config('role', %s, true)",
    "percent sign": "SELECT 1 FROM token_usage WHERE org_id = %s AND price_source LIKE 'unpriced:%%'",
}
BAD = {
    "all calls": ("SELECT * FROM token_usage", {WITHOUT_ORG}),
    "by id": ("SELECT * FROM token_usage WHERE id IN (%s, %s)", {WITHOUT_ORG}),
    "totals": ("SELECT sum(cost_usd) FROM token_usage_daily WHERE grain = %s", {WITHOUT_ORG}),
    "another alternative": ("SELECT 1 FROM token_usage WHERE org_id = %s OR user_id = %s", {WITHOUT_ORG}),
    "denied": ("SELECT 1 FROM token_usage WHERE NOT (org_id = %s)", {WITHOUT_ORG}),
    "range": ("SELECT 1 FROM token_usage WHERE org_id > %s", {WITHOUT_ORG}),
    "another table's column": ("SELECT 1 FROM token_usage u, usage_budget b WHERE b.org_id = %s", {WITHOUT_ORG}),
    "joined to a table": (
        "SELECT 1 FROM usage_organization o JOIN token_usage u ON u.org_id = o.id WHERE o.slug = %s",
        {WITHOUT_ORG},
    ),
    "one part of a union": (
        "SELECT id FROM token_usage WHERE org_id = %s UNION ALL SELECT id FROM token_usage",
        {WITHOUT_ORG},
    ),
    "within": ("SELECT 1 FROM (SELECT * FROM token_usage) AS calls WHERE org_id = %s", {WITHOUT_ORG}),
    "WITH": ("WITH calls AS (SELECT * FROM token_usage) SELECT * FROM calls WHERE org_id = %s", {WITHOUT_ORG}),
    "update": ("UPDATE token_usage SET cost_usd = 0 WHERE id = %s", {WITHOUT_ORG}),
    "delete": ("DELETE FROM token_usage WHERE request_id = %s", {WITHOUT_ORG}),
    "insert from": ("INSERT INTO usage_copy SELECT * FROM token_usage", {WITHOUT_ORG}),
    "locked": ("SELECT * FROM token_usage WHERE id = %s FOR UPDATE", {WITHOUT_ORG, LOCK_WITHOUT_ORG}),
    "shared lock": ("SELECT * FROM token_usage WHERE id = %s FOR KEY SHARE", {WITHOUT_ORG, LOCK_WITHOUT_ORG}),
    "upsert": ("INSERT INTO token_usage_daily (grain) VALUES (%s) ON CONFLICT (grain) DO NOTHING", {UNIQUE_KEY}),
    "unique index": ("CREATE UNIQUE INDEX i ON token_usage (request_id)", {UNIQUE_KEY}),
    "lateral": (
        "SELECT 1 FROM unnest(%s) AS day CROSS JOIN LATERAL"
        " (SELECT 1 FROM token_usage WHERE org_id = %s AND usage_date = day ORDER BY cost_usd LIMIT 5) AS first",
        {LATERAL_LIMIT},
    ),
    "lateral, deeper": (
        "SELECT 1 FROM unnest(%s) AS day, LATERAL (SELECT 1 FROM"
        " (SELECT 1 FROM token_usage WHERE org_id = %s AND usage_date = day LIMIT 5) AS few) AS first",
        {LATERAL_LIMIT},
    ),
    "function": (
        "CREATE FUNCTION f(day date) RETURNS bigint LANGUAGE sql AS"
        " $$ SELECT count(*) FROM token_usage_daily WHERE usage_date = day $$",
        {SQL_FUNCTION},
    ),
    "setting": ("SELECT set_config('app.scope', %s, true)", {SET_CONFIG}),
    "setting in a function": (
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM set_config( 'app.scope', '', true); END $$",
        {SET_CONFIG},
    ),
    "no statement": ("SELECT FROM WHERE token_usage", {UNREADABLE}),
}


@pytest.mark.parametrize("statement", GOOD.values(), ids=GOOD)
def test_a_statement_that_citus_runs_breaks_no_rule(statement: str) -> None:
    assert broken(statement) == set()


@pytest.mark.parametrize(("statement", "rules"), BAD.values(), ids=BAD)
def test_a_statement_breaks_these_rules(statement: str, rules: set[str]) -> None:
    assert broken(statement) == rules


def test_the_name_of_a_setting_may_be_a_value() -> None:
    statement = "SELECT set_config(%s, %s, true)"
    assert broken(statement, ["app.scope", "x"]) == {SET_CONFIG}
    assert broken(statement, ["role", "x"]) == set()


def test_unique_keys_contain_the_organisation() -> None:
    """All but the key that Django needs, which `distribute` replaces by one with the organisation."""
    for model in (UsageRecord, DailyUsage):
        keys = [each.fields for each in model._meta.constraints if isinstance(each, models.UniqueConstraint)]
        if isinstance(model._meta.pk, models.CompositePrimaryKey):
            keys.append(model._meta.pk.field_names)
        assert keys
        for key in keys:
            assert {"org", "org_id"} & {*key}, (model, key)


def test_each_broad_place_exists() -> None:
    for place in BROAD:
        file, _, function = place.partition(" ")
        path = statement_watch.ROOT / file
        assert path.exists(), place
        assert not function or f"def {function}(" in path.read_text(), place


# ── While tests run ──────────────────────────────────────────────────────────────────────────────────────────────────

SENDER = """
def send(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
"""
SENDER_OF_COPY = """
def send(statement):
    with connection.cursor() as cursor, cursor.copy(statement) as copied:
        list(copied)
"""
ALL_CALLS = "SELECT id FROM token_usage"
NEW_ROLLUP = "UPDATE token_usage_daily SET requests_count = 0 WHERE org_id = -1"


def sender(file: str, source: str = SENDER) -> Callable[..., None]:
    """Return a function that sends a statement, and whose code seems to be in that file of ours."""
    names: dict[str, Any] = {"connection": connection}
    exec(compile(source, str(statement_watch.ROOT / file), "exec"), names)  # noqa: S102
    send: Callable[..., None] = names["send"]
    return send


@pytest.fixture
def send() -> Iterator[Callable[..., None]]:
    """A function of ours that sends statements, whose notes do not fail this test."""
    yield sender("usage_billing/pages/invented.py")
    statement_watch.taken_notes()


watched = [pytest.mark.postgres, pytest.mark.django_db]


class TestWatch:
    pytestmark = watched

    def test_tells_the_rule_the_place_and_the_statement(self, send: Callable[..., None]) -> None:
        send(ALL_CALLS)
        (told,) = statement_watch.taken_notes()
        rule, place, statement = told.split("\n")
        assert rule == f"{WITHOUT_ORG}."
        assert place == "  sent by usage_billing/pages/invented.py:4 send as none"
        assert statement == f"  {ALL_CALLS}"
        assert statement_watch.taken_notes() == []

    def test_a_broken_rule_fails_the_test_that_sent_the_statement(self, send: Callable[..., None]) -> None:
        ending = conftest.pytest_runtest_teardown()
        next(ending)
        send(ALL_CALLS)
        with pytest.raises(pytest.fail.Exception, match="org_id IN"):
            next(ending)

    def test_a_statement_of_a_test_is_free(self, send: Callable[..., None]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(ALL_CALLS)
        assert statement_watch.taken_notes() == []

    def test_a_copy_is_a_statement(self, send: Callable[..., None]) -> None:
        sender("usage_billing/pages/invented.py", SENDER_OF_COPY)(f"COPY ({ALL_CALLS}) TO STDOUT")
        assert len(statement_watch.taken_notes()) == 1

    def test_values_are_read(self, send: Callable[..., None]) -> None:
        send("SELECT set_config(%s, '', true)", "app.scope")
        (told,) = statement_watch.taken_notes()
        assert told.startswith(SET_CONFIG)

    def test_a_report_may_read_all_organisations_except_in_the_webs_role(self, send: Callable[..., None]) -> None:
        report = sender("usage_billing/reports/invented.py")
        with within(EVERYTHING):
            report(ALL_CALLS)
            assert statement_watch.taken_notes() == []
            send(ALL_CALLS)
            assert len(statement_watch.taken_notes()) == 1
        with within(of_organization(1)):
            report(ALL_CALLS)
            assert len(statement_watch.taken_notes()) == 1

    def test_one_transaction_writes_the_tables_in_one_role(self, send: Callable[..., None]) -> None:
        with roles.applied(roles.AS_LEDGER):
            send(NEW_ROLLUP)
            send(f"{ALL_CALLS} WHERE org_id = 1")
        with within(EVERYTHING):
            send(f"{ALL_CALLS} WHERE org_id = 1")
        assert statement_watch.taken_notes() == []
        with atomic():
            with within(EVERYTHING):
                send(f"{ALL_CALLS} WHERE org_id = 1")
            with within(of_organization(1)):
                send(f"{ALL_CALLS} WHERE org_id = 1")
            assert statement_watch.taken_notes() == []  # nothing was written
            with roles.applied(roles.AS_LEDGER):
                send(NEW_ROLLUP)
        (told,) = statement_watch.taken_notes()
        assert told.startswith(TWO_ROLES)
