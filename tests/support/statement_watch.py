"""Applies `statement_rules` to every statement that our code sends to PostgreSQL while tests run.

A broken rule is noted, and fails the test when it ends: the code that sent the statement might swallow an exception. A
test's own statements are free. Statements of other processes are not seen.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import Atomic

from tests.support import statement_rules
from tests.support.statement_rules import WITHOUT_ORG
from usage_billing.models.database import alias
from usage_billing.tenancy import roles

BROAD = {
    "usage_billing/reports/": "a superadmin's reports are over all organisations",
    "usage_billing/admin/": "a superadmin's lists and look-ups by id",
    "usage_billing/api/views.py": "a superadmin finds a call by its id",
    "usage_billing/tenancy/views.py answered_in_scope": "a superadmin's page is rendered",
    "usage_billing/ledger/consistency.py": "check_usage compares whole days",
    "usage_billing/ledger/writer.py rebuild_day": "rebuilds whole days",
    "usage_billing/ledger/writer.py preview_changes": "rehearses the repricing of records by their ids",
    "usage_billing/ledger/repricing.py": "reprices whole days",
    "usage_billing/archive/": "archives whole months",
    "usage_billing/ledger/records.py locked": "asks which organisations have these calls, before it locks them",
    "usage_billing/ledger/copying.py records": "the same",
    "usage_billing/costing/containers.py": "two organisations may use one container of a provider",
    "usage_billing/management/commands/update_prices.py": "looks for unpriced calls of any organisation",
    "ai_clients/assistants/admin/recorded.py": "a superadmin sees the calls of a workflow",
    "ai_clients/assistants/content/costs.py": "a superadmin sees what a piece of content cost",
    "ai_clients/assistants/management/commands/demo.py": "counts the new calls of a demo",
    "usage_billing/migrations/": "a migration, before the tables are distributed",
}
"""The places, a file or a function of it, that may read all organisations' rows, and why. Never in the web's role."""

TWO_ROLES = "A transaction uses the ledger's tables in two roles and writes them: Citus cannot run that"

ROOT = Path(__file__).resolve().parents[2]
OURS = tuple(f"{ROOT / package}/" for package in ("usage_billing", "ai_clients", "config"))
TESTS = f"{ROOT / 'tests'}/"

Send = Callable[[str, Any, bool, dict[str, Any]], Any]


class Place(NamedTuple):
    """A line of our code."""

    file: str
    function: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}"

    def is_in(self, name: str) -> bool:
        """Return whether it is in a folder, a file or a function."""
        return f"{self.file} {self.function}".startswith(name)


_noted: dict[str, None] = {}
_roles: WeakKeyDictionary[Atomic, dict[str, bool]] = WeakKeyDictionary()
"""Transaction → the roles in which it has used the ledger's tables, and whether it has written them in each."""


def watch(connection: BaseDatabaseWrapper, **_options: Any) -> None:
    """Apply the rules to all statements of the connection. A receiver of Django's `connection_created`."""
    if connection.vendor == "postgresql" and connection.alias == alias() and _check not in connection.execute_wrappers:
        # First, because `connection.execute_wrapper` removes the last one.
        connection.execute_wrappers.insert(0, _check)
        _watch_copies()


def taken_notes() -> list[str]:
    """Return the broken rules since the last time, each with its statement and the places that led to it."""
    found = list(_noted)
    _noted.clear()
    return found


def _check(execute: Send, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    _judge(sql, params if isinstance(params, list | tuple) and not many else (), context["connection"])
    return execute(sql, params, many, context)


@cache
def _watch_copies() -> None:
    """Apply the rules to `COPY` too, which Django's wrappers do not see."""
    from psycopg import Cursor  # here, because only PostgreSQL's tests need it

    send = Cursor.copy

    @wraps(send)
    def copy(cursor: Any, statement: Any, *args: Any, **options: Any) -> Any:
        _judge(str(statement), (), connections[alias()])
        return send(cursor, statement, *args, **options)

    Cursor.copy = copy  # type: ignore[assignment, method-assign]


def _judge(sql: str, values: Sequence[Any], connection: Any) -> None:
    if statement_rules.concerns(sql):
        broken = statement_rules.broken(sql, values)
        if statement_rules.uses_ledger(sql) and _is_second_role(sql, connection):
            broken |= {TWO_ROLES}
        if broken:
            _note(broken, sql, _role(connection))


def _note(broken: frozenset[str], sql: str, role: str) -> None:
    places = list(_places())
    is_broad = role != roles.WEB and any(place.is_in(name) for place in places for name in BROAD)
    if places:
        for rule in sorted(broken - {WITHOUT_ORG} if is_broad else broken):
            sent_by = " < ".join(map(str, places[:4]))
            _noted.setdefault(f"{rule}.\n  sent by {sent_by} as {role}\n  {' '.join(sql.split())[:2000]}")


def _is_second_role(sql: str, connection: Any) -> bool:
    blocks = [block for block in connection.atomic_blocks if not block._from_testcase]
    if not blocks:
        return False
    used = _roles.setdefault(blocks[0], {})
    role = _role(connection)
    used[role] = used.get(role, False) or statement_rules.writes(sql)
    return len(used) > 1 and any(used.values())


def _role(connection: Any) -> str:
    setting: roles.Setting = getattr(connection, roles._CURRENT, roles.Setting())
    return setting.role


def _places() -> Iterator[Place]:
    """Yield the lines of our code that led to the statement, the innermost first; none if a test sent it itself."""
    frame: Any = sys._getframe(1)
    is_innermost = True
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(OURS):
            is_innermost = False
            yield Place(file.removeprefix(f"{ROOT}/"), frame.f_code.co_name, frame.f_lineno)
        elif is_innermost and file.startswith(TESTS) and file != __file__:
            return
        frame = frame.f_back
