"""PostgreSQL: as which role, and for whom, the statements of a transaction run.

The web's own role sees the rows of the scope that is set, the superadmin's role all of them, the ledger's role writes.
They are set with `SET LOCAL`, so they end with the transaction. A scope carries a seal (`seal`): a statement that
somebody else has sent can set none. On other databases nothing here does anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import DataError, OperationalError, ProgrammingError

from usage_billing.conf import conf
from usage_billing.models.database import atomic, connection
from usage_billing.tenancy import seal

WEB = f"{conf.ROLE_PREFIX}_web"
"""The role that the web connects as: owns nothing, bypasses nothing, sees nothing without a scope."""
SUPERADMIN = f"{conf.ROLE_PREFIX}_superadmin"
"""All rows of all tenants, while the scope is of everything; the ledger's tables to read only."""
LEDGER = f"{conf.ROLE_PREFIX}_ledger"
"""Writes the ledger's tables, and reads what it needs to cost and to charge a call. The web cannot take it."""
DRAIN = f"{conf.ROLE_PREFIX}_drain"
"""The role that the drain and the jobs connect as: may take each of the three before."""
ANALYST = f"{conf.ROLE_PREFIX}_analyst"
"""The role of people who work in SQL: reads the ledger's tables, all organisations, and writes nothing."""


@dataclass(frozen=True)
class Setting:
    """A role, and the scope of its policies; `none` is the role that the connection was opened with."""

    role: str = "none"
    user_id: Any = None
    owned_org_ids: Iterable[int] = ()
    member_org_ids: Iterable[int] = ()

    def sealed_scope(self, *, now: float) -> str:
        """As `usage_set_scope` takes it; the empty text for a role without a scope. `now`: epoch seconds."""
        if self.role not in (WEB, SUPERADMIN):
            return ""
        return seal.sealed(
            user_id=self.user_id,
            owned_org_ids=self.owned_org_ids,
            member_org_ids=self.member_org_ids,
            everything=self.role == SUPERADMIN,
            until=seal.until(now),
        )


AS_LEDGER = Setting(LEDGER)


def is_enforced() -> bool:
    """Whether the database enforces who sees what."""
    return bool(conf.ROW_LEVEL_SECURITY) and connection.vendor == "postgresql"


@contextmanager
def applied(setting: Setting) -> Iterator[None]:
    """A transaction in that role and scope; within another one, that one's come back afterwards."""
    with atomic():
        if not is_enforced():
            yield
            return
        _set_local(setting)
        with _remembered(setting):
            yield


@contextmanager
def entered(user_id: Any) -> Iterator[list[tuple[int, str, str]]]:
    """A transaction in the web's role, in the scope of that user's memberships: organisation's id, role, zone of each.

    Beginning it, reading them and setting the scope take one round trip.
    """
    until = seal.until(time.time())
    with atomic():
        memberships: list[tuple[int, str, str]] = _in_one_round_trip(
            ("SELECT set_config('role', %s, true)", [WEB]),
            (
                "SELECT org_id, role, timezone FROM usage_enter_scope(%s, %s, %s)",
                [user_id, until, seal.proof(user_id, until)],
            ),
        )
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
    with _explained():
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
            _set_local(before)
    finally:
        setattr(connection, _CURRENT, before)


def _set_local(setting: Setting) -> None:
    _in_one_round_trip(
        (
            "SELECT set_config('role', %s, true), usage_set_scope(%s)",
            [setting.role, setting.sealed_scope(now=time.time())],
        )
    )


def _in_one_round_trip(*statements: tuple[str, Sequence[Any]]) -> list[Any]:
    """Run the statements, after `BEGIN` where the transaction has not begun; returns the rows of the last one.

    `BEGIN` goes to the server together with them; psycopg, left to itself, awaits it before that. The values go beside
    the statement and not in it, as they would with Django's cursors: all sessions of a role see each other's
    statements in pg_stat_activity, and another session's seal would be good for its scope.
    """
    import psycopg  # here, because only projects on PostgreSQL have it

    connection.ensure_connection()
    driver: psycopg.Connection[Any] = connection.connection
    cursors = [psycopg.Cursor(driver) for _ in statements]
    with _explained(), connection.wrap_database_errors:
        begins = driver.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        if begins:
            # Django ends the transaction as it would have; until then psycopg must not begin one itself.
            driver.autocommit = True
        with driver.pipeline():
            if begins:
                driver.execute("BEGIN")
            for cursor, (statement, values) in zip(cursors, statements, strict=True):
                cursor.execute(statement, values)
        return cursors[-1].fetchall()


MAY_NOT = "42501"
"""SQLSTATE insufficient_privilege."""


@contextmanager
def _explained() -> Iterator[None]:
    """Nothing is wrong with anybody's data: whoever waits for the database waits for these errors' end too."""
    try:
        yield
    except (DataError, ProgrammingError) as error:
        if getattr(error.__cause__, "sqlstate", None) == MAY_NOT:
            what_to_do = (
                f"The ledger is written by those who log in as {DRAIN}: the service of `manage.py drain_usage --follow`"
                " and the jobs. Elsewhere, set USAGE_DRAIN=off."
            )
        else:
            what_to_do = "Run `manage.py migrate` as the owner of the tables."
        raise OperationalError(f"{error} {what_to_do}") from error
