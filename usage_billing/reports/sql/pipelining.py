"""Questions that go to the database together, so that nobody waits between them.

PostgreSQL works on one while the next is written and while the rows of an earlier one are read. SQLite, which is in the
process, answers each when it is asked.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Generic, ParamSpec, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet

from usage_billing.models.database import connection
from usage_billing.models.fields import as_sqlite_keeps

P = ParamSpec("P")
T = TypeVar("T")
Later = Callable[[], T]
"""Waits for the answer to what has been asked, and gives it."""
Rows = list[tuple[Any, ...]]


class Report(Generic[P, T]):
    """What can be asked: as a call, which is answered; or by `ask`, which sends the statements and is answered later.

    Made of a function that does the latter.
    """

    def __init__(self, ask: Callable[P, Later[T]]) -> None:
        functools.update_wrapper(self, ask)
        self._ask = ask

    def ask(self, *args: P.args, **kwargs: P.kwargs) -> Later[T]:
        """The answer is read once, however often it is called for."""
        return functools.cache(self._ask(*args, **kwargs))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._ask(*args, **kwargs)()


@contextmanager
def together() -> Iterator[None]:
    """Within it, what is asked does not wait for the answers to what was asked before."""
    if connection.vendor != "postgresql":
        yield
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def send(statement: str, values: Sequence[Any] = ()) -> Later[Rows]:
    cursor = connection.cursor()
    cursor.execute(statement, values)
    return functools.cache(cursor.fetchall)


def send_for(columns: Sequence[str], statement: str, values: Sequence[Any]) -> Later[list[dict[str, Any]]]:
    """The rows, each column → value, of a statement that is written out; `columns` are those that it gives."""
    found = send(statement, values)
    return lambda: _typed([dict(zip(columns, row, strict=True)) for row in found()])


def _typed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """SQLite knows neither dates nor decimals: texts come back, moments without their zone, floats of 15 digits."""
    for row in rows if connection.vendor == "sqlite" else ():
        for name, value in row.items():
            if isinstance(value, float):
                row[name] = as_sqlite_keeps(value)
            elif name == "usage_date" and isinstance(value, str):
                row[name] = date.fromisoformat(value)
            elif name.endswith("_at"):
                row[name] = (datetime.fromisoformat(value) if isinstance(value, str) else value).replace(tzinfo=UTC)
            elif name.endswith(("cost_usd", "cost_rub")) and isinstance(value, int):
                row[name] = Decimal(value)
    return rows


def send_queryset(queryset: QuerySet[Any, tuple[Any, ...]]) -> Later[Rows]:
    """The rows of a `values_list`."""
    compiler = queryset.query.get_compiler(connection=connection)
    try:
        statement, values = compiler.as_sql()
    except EmptyResultSet:  # a scope of no organisation
        return list
    found = send(statement, values)
    return lambda: list(compiler.results_iter([found()], tuple_expected=True))
