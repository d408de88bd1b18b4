"""`check --deploy --database default` reports where row-level security does not apply."""

from __future__ import annotations

import psycopg
import pytest
from django.core.checks import CheckMessage
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from pytest_django import Settings

from tests.support.configure import configure
from tests.usage_billing.tenancy.conftest import World
from usage_billing.tenancy import seal
from usage_billing.tenancy.checks import web_login_is_restricted
from usage_billing.tenancy.roles import DRAIN, LEDGER, WEB

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def found() -> list[CheckMessage]:
    return web_login_is_restricted(databases=["default"])


def ids() -> list[str | None]:
    return [message.id for message in found()]


def test_an_owner_of_the_tables_bypasses_row_level_security(world: World) -> None:
    assert ids() == ["usage_billing.W001"]


def test_the_webs_user_passes(as_web: World) -> None:
    assert found() == []


def test_a_web_that_is_configured_to_drain_is_reported(as_web: World, settings: Settings) -> None:
    configure(settings, DRAIN="thread")
    (message,) = found()
    assert message.id == "usage_billing.W012"
    assert f"as {DRAIN}" in str(message.hint)


def test_a_web_that_logs_in_as_the_drain_is_reported(as_drain: World) -> None:
    assert ids() == ["usage_billing.W011"]


def test_a_web_that_can_still_take_the_ledgers_role_is_reported(
    tables_owner: psycopg.Connection, as_web: World
) -> None:
    tables_owner.execute(f"GRANT {LEDGER} TO {WEB} WITH INHERIT FALSE, SET TRUE")
    try:
        (message,) = found()
        assert message.id == "usage_billing.W011"
        assert f"REVOKE {LEDGER} FROM {WEB};" in str(message.hint)
    finally:
        tables_owner.execute(f"REVOKE {LEDGER} FROM {WEB}")


@pytest.mark.parametrize("grant", ["TEMPORARY ON DATABASE {database}", "CREATE ON SCHEMA public"])
def test_a_web_that_may_create_tables_is_reported(tables_owner: psycopg.Connection, as_web: World, grant: str) -> None:
    what = grant.format(database=connection.settings_dict["NAME"])
    tables_owner.execute(f"GRANT {what} TO PUBLIC")
    try:
        assert ids() == ["usage_billing.W013"]
    finally:
        tables_owner.execute(f"REVOKE {what} FROM PUBLIC")


@pytest.mark.parametrize("key", ["another one", ""])
def test_a_key_that_the_database_does_not_have_is_an_error(as_web: World, settings: Settings, key: str) -> None:
    configure(settings, SCOPE_KEY=key)
    (message,) = found()
    assert message.id == "usage_billing.E011"
    assert "manage.py migrate" in str(message.hint)


def test_a_database_without_a_key_is_an_error(tables_owner: psycopg.Connection, as_web: World) -> None:
    tables_owner.execute(f"UPDATE {seal.KEY_TABLE} SET valid_until = '-infinity'")
    try:
        assert ids() == ["usage_billing.E011"]
    finally:
        tables_owner.execute(f"UPDATE {seal.KEY_TABLE} SET valid_until = 'infinity'")


def test_the_command_runs_the_check(as_web: World, settings: Settings) -> None:
    configure(settings, SCOPE_KEY="another one")
    with pytest.raises(SystemCheckError, match="E011"):
        call_command("check", deploy=True, databases=["default"])
