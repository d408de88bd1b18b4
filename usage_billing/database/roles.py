"""PostgreSQL: as which role, and for whom, the statements of a transaction run.

The web's own role sees the rows of the scope that is set, the superadmin's role all of them, the ledger's role writes.
They are set with `SET LOCAL`, so they end with the transaction. On other databases nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DataError, OperationalError, connection, transaction
from psycopg.pq import TransactionStatus

WEB = f"{settings.USAGE_ROLE_PREFIX}_web"
"""The role that the web connects as: owns nothing, bypasses nothing, sees nothing without a scope."""
SUPERADMIN = f"{settings.USAGE_ROLE_PREFIX}_superadmin"
"""All rows of all tenants; the ledger's tables to read only."""
LEDGER = f"{settings.USAGE_ROLE_PREFIX}_ledger"
"""Writes the ledger's tables, and reads what it needs to cost and to charge a call."""

USER_ID, OWNED_ORG_IDS, MEMBER_ORG_IDS = "app.user_id", "app.owned_org_ids", "app.member_org_ids"
"""The settings that the policies compare with: a number, and two arrays of numbers."""


@dataclass(frozen=True)
class Setting:
    """A role, and the scope of its policies; `none` is the role that the connection was opened with."""

    role: str = "none"
    user_id: int | None = None
    owned_org_ids: Iterable[int] = ()
    member_org_ids: Iterable[int] = ()

    def values(self) -> dict[str, str]:
        return {
            "role": self.role,
            USER_ID: "" if self.user_id is None else str(self.user_id),
            OWNED_ORG_IDS: _array(self.owned_org_ids),
            MEMBER_ORG_IDS: _array(self.member_org_ids),
        }


def _array(ids: Iterable[int]) -> str:
    return "{" + ",".join(map(str, sorted(ids))) + "}"


AS_LEDGER = Setting(LEDGER)


def is_enforced() -> bool:
    """Whether the database has row-level security."""
    return connection.vendor == "postgresql"


@contextmanager
def applied(setting: Setting) -> Iterator[None]:
    """A transaction in that role and scope; within another one, that one's come back afterwards."""
    with transaction.atomic():
        if not is_enforced():
            yield
            return
        try:
            with connection.cursor() as cursor, _one_round_trip():
                cursor.execute(*_set_local(setting))
        except DataError as error:
            # Nothing is wrong with anybody's data: whoever waits for the database waits for this too.
            raise OperationalError(f"{error} Run `manage.py migrate` as the owner of the tables.") from error
        with _remembered(setting):
            yield


@contextmanager
def entered(user_id: int) -> Iterator[list[tuple[int, str, str]]]:
    """A transaction in the web's role, in the scope of that user's memberships: organisation's id, role, zone of each.

    Beginning it, reading them and setting the scope take one round trip.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            with _one_round_trip():
                cursor.execute("SELECT org_id, role, timezone FROM usage_enter_scope(%s)", [user_id])
            memberships: list[tuple[int, str, str]] = cursor.fetchall()
        owned = [org_id for org_id, role, _ in memberships if role == "owner"]
        member = [org_id for org_id, role, _ in memberships if role == "member"]
        with _remembered(Setting(WEB, user_id, owned, member)):
            yield memberships


@contextmanager
def for_the_session(role: str) -> Iterator[None]:
    """Every statement of this connection in that role: for commands, which take many transactions."""
    if not is_enforced():
        yield
        return
    before: Setting = getattr(connection, _CURRENT, Setting())
    _set_role(role)
    try:
        with _remembered(Setting(role), restore=False):
            yield
    finally:
        # A connection that broke has no role to give back, and its own error is the one to see.
        if connection.connection is not None and not connection.connection.closed and not connection.needs_rollback:
            _set_role(before.role)


def _set_role(role: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('role', %s, false)", [role])


_CURRENT = "usage_setting"
"""The connection's attribute that remembers what is set now: a released savepoint would leak it outward."""


@contextmanager
def _remembered(setting: Setting, *, restore: bool = True) -> Iterator[None]:
    before: Setting = getattr(connection, _CURRENT, Setting())
    setattr(connection, _CURRENT, setting)
    try:
        yield
        if restore and connection.savepoint_ids and not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute(*_set_local(before))
    finally:
        setattr(connection, _CURRENT, before)


def _set_local(setting: Setting) -> tuple[str, list[Any]]:
    values = setting.values()
    settings_ = ", ".join(["set_config(%s, %s, true)"] * len(values))
    return f"SELECT {settings_}", [each for pair in values.items() for each in pair]


@contextmanager
def _one_round_trip() -> Iterator[None]:
    """`BEGIN` goes to the server together with the first statement. psycopg, left to itself, awaits it before that."""
    connection.ensure_connection()
    driver = connection.connection
    with connection.wrap_database_errors:
        if driver.info.transaction_status != TransactionStatus.IDLE:
            yield
            return
        # Django ends the transaction as it would have; until then psycopg must not begin one itself.
        driver.autocommit = True
        with driver.pipeline():
            driver.execute("BEGIN")
            yield
