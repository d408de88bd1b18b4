"""Sets the PostgreSQL role and the scope of a transaction.

The web's role sees the rows of the current scope, the superadmin's role sees all rows, the ledger's role writes.
`SET LOCAL` sets them, so they end with the transaction. A scope carries a seal (`seal`), so injected SQL cannot set
one. On other databases this module does nothing.
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
"""The role that the web connects as. It owns nothing, bypasses nothing and sees nothing without a scope."""
SUPERADMIN = f"{conf.ROLE_PREFIX}_superadmin"
"""Sees all rows of all tenants while the scope covers everything. Reads the ledger's tables, but cannot write them."""
LEDGER = f"{conf.ROLE_PREFIX}_ledger"
"""Writes the ledger's tables, and reads the tables needed to price and attribute a call. The web cannot take it."""
DRAIN = f"{conf.ROLE_PREFIX}_drain"
"""The role that the drain and the jobs connect as. It may take each of the three roles above."""
ANALYST = f"{conf.ROLE_PREFIX}_analyst"
"""The role of people who work in SQL. It reads the ledger's tables for all organisations, and writes nothing."""


@dataclass(frozen=True)
class Setting:
    """A role and the scope for its policies. `none` is the role that the connection was opened with."""

    role: str = "none"
    user_id: Any = None
    owned_org_ids: Iterable[int] = ()
    member_org_ids: Iterable[int] = ()

    def sealed_scope(self, *, now: float) -> str:
        """The argument of `usage_set_scope`; empty for a role without a scope. `now`: epoch seconds."""
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
    """Whether the database enforces row-level security."""
    return bool(conf.ROW_LEVEL_SECURITY) and connection.vendor == "postgresql"


@contextmanager
def applied(setting: Setting) -> Iterator[None]:
    """Run a transaction in that role and scope. A nested one restores the outer role and scope when it ends."""
    with atomic():
        if not is_enforced():
            yield
            return
        _set_local(setting)
        with _remembered(setting):
            yield


@contextmanager
def entered(user_id: Any) -> Iterator[list[tuple[int, str, str]]]:
    """Run a transaction in the web's role and the user's scope. Yields (organisation id, role, zone) per membership.

    One round trip begins the transaction, reads the memberships and sets the scope.
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
    """Run every statement of this connection in that role, for commands that need many transactions."""
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
        # A broken connection has no role to restore, and must not hide its own error.
        if connection.connection is not None and not connection.connection.closed and not connection.needs_rollback:
            _set_role(before.role)


def _set_role(role: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('role', %s, false)", [role])


_CURRENT = "usage_setting"
"""The connection's attribute with the current setting. Needed because a released savepoint leaks the inner setting."""


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
    """Run the statements, after `BEGIN` if no transaction is open. Returns the rows of the last one.

    `BEGIN` is sent together with the statements; psycopg by default waits for its answer first. The values are bound
    on the server, while Django's cursors would put them into the text: in pg_stat_activity all sessions of a role see
    each other's statements, and could copy a seal from there.
    """
    import psycopg  # here, because only projects on PostgreSQL have it

    connection.ensure_connection()
    driver: psycopg.Connection[Any] = connection.connection
    cursors = [psycopg.Cursor(driver) for _ in statements]
    with _explained(), connection.wrap_database_errors:
        begins = driver.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        if begins:
            # Keep psycopg from sending a BEGIN of its own. Django ends the transaction as usual.
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
    """Raise a missing role or grant as `OperationalError`: the drain then retries instead of rejecting events."""
    try:
        yield
    except (DataError, ProgrammingError) as error:
        if getattr(error.__cause__, "sqlstate", None) == MAY_NOT:
            what_to_do = (
                f"Only processes that log in as {DRAIN} may write the ledger: the service that runs"
                " `manage.py drain_usage --follow`, and the jobs. In other processes, set USAGE_DRAIN=off."
            )
        else:
            what_to_do = "Run `manage.py migrate` as the owner of the tables."
        raise OperationalError(f"{error} {what_to_do}") from error
