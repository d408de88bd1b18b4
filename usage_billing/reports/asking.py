"""Questions that go to the database together, so that nobody waits between them.

PostgreSQL works on one while the next is written and while the rows of an earlier one are read. SQLite, which is in the
process, answers each when it is asked.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, ParamSpec, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

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


def send_queryset(queryset: QuerySet[Any, tuple[Any, ...]]) -> Later[Rows]:
    """The rows of a `values_list`."""
    compiler = queryset.query.get_compiler(connection=connection)
    try:
        statement, values = compiler.as_sql()
    except EmptyResultSet:  # a scope of no organisation
        return list
    found = send(statement, values)
    return lambda: list(compiler.results_iter([found()], tuple_expected=True))
