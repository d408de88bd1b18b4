"""Many rows in one statement, handed over in the form that each database takes quickest.

PostgreSQL gets a JSON text for each column: a parameter for each value costs the driver and the server more than the
insert itself, and an object for each row has its names read again for every value. SQLite gets its parameters, for
which it is made.
"""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from usage_billing.models import user_keys
from usage_billing.models.database import alias

Row = Sequence[Any]
"""The values of a row's columns, in the order in which the columns are named."""

SQLITE_PARAMETERS = 32_766
"""The most that one statement of SQLite takes."""
ROWS_A_STATEMENT = 1_000
"""A statement's text stays within a megabyte; and the server has something to do while the next is made."""


def insert(model: type[models.Model], columns: Sequence[str], rows: Iterable[Row], then: str) -> list[Any]:
    """Insert the rows; `then` follows, such as `ON CONFLICT …`. Returns what the statements return."""
    with inserting(model, columns, rows, then) as returned:
        pass
    return returned


@contextlib.contextmanager
def inserting(model: type[models.Model], columns: Sequence[str], rows: Iterable[Row], then: str) -> Iterator[list[Any]]:
    """Insert the rows as `insert` does. The list has what the statements return once the `with` is left.

    PostgreSQL inserts while `rows` are worked out, if that is when they are asked for, and while the `with` lasts;
    nothing else may be asked of the database in both.
    """
    connection = connections[alias()]
    connection.ensure_connection()
    with connection.wrap_database_errors:
        if connection.vendor == "postgresql":
            with _inserting_arrays(model, columns, rows, then, connection) as returned:
                yield returned
        else:
            yield _insert_values(model, columns, rows, then, connection)


def update(model: type[models.Model], columns: Sequence[str], key: Sequence[str], rows: Sequence[Row]) -> None:
    """Write these columns of the rows that have the values of the `key` columns, which come after them in each row."""
    connection = connections[alias()]
    table, both = model._meta.db_table, [*columns, *key]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            assigned = ", ".join(f"{name} = changed.{name}" for name in columns)
            found = " AND ".join(f"{table}.{name} = changed.{name}" for name in key)
            source = f"({_from_arrays(model, both, connection)}) AS changed"
            statement = f"UPDATE {table} SET {assigned} FROM {source} WHERE {found}"  # noqa: S608 - our own names
            for some in _slices(rows, ROWS_A_STATEMENT):
                cursor.execute(statement, _arrays(some))
        else:
            assigned = ", ".join(f"{name} = %s" for name in columns)
            found = " AND ".join(f"{name} = %s" for name in key)
            statement = f"UPDATE {table} SET {assigned} WHERE {found}"  # noqa: S608 - our own names
            cursor.executemany(statement, list(_prepared(model, both, rows, connection)))


def _slices(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    left = iter(rows)
    while some := list(itertools.islice(left, most)):
        yield some


def _fields(model: type[models.Model], columns: Sequence[str]) -> list[models.Field[Any, Any]]:
    by_name = {field.attname: field for field in model._meta.concrete_fields}
    return [by_name[name] for name in columns]


# ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _inserting_arrays(
    model: type[models.Model], columns: Sequence[str], rows: Iterable[Row], then: str, connection: BaseDatabaseWrapper
) -> Iterator[list[Any]]:
    names, source = ", ".join(columns), _from_arrays(model, columns, connection)
    statement = f"INSERT INTO {model._meta.db_table} ({names}) {source} {then}"
    returned: list[Any] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(connection.connection.pipeline())
        cursors = []
        for some in _slices(rows, ROWS_A_STATEMENT):
            cursor = stack.enter_context(connection.cursor())
            cursor.execute(statement, _arrays(some))
            cursors.append(cursor)
        yield returned
        returned += [row for cursor in cursors if "RETURNING" in then for row in cursor.fetchall()]


def _from_arrays(model: type[models.Model], columns: Sequence[str], connection: BaseDatabaseWrapper) -> str:
    """The `SELECT` that makes rows of one JSON array a column (`_arrays`), with the model's own types.

    Words stay text until they are assigned: a cast to `varchar(100)` would cut them in silence.
    """
    typed = ", ".join(
        name if isinstance(field, models.CharField) else f"{name}::{field.rel_db_type(connection)}"
        for name, field in zip(columns, _fields(model, columns), strict=True)
    )
    arrays = ", ".join(["json_array_elements_text(%s::json)"] * len(columns))
    return f"SELECT {typed} FROM ROWS FROM ({arrays}) AS given ({', '.join(columns)})"  # noqa: S608 - our own names


def _arrays(rows: Sequence[Row]) -> list[str]:
    return [_encode(values).decode() for values in zip(*rows, strict=True)]


_encode = msgspec.json.Encoder(decimal_format="string").encode
"""Decimals as text, so with all their digits; moments in ISO 8601 with their zone."""


# ── SQLite ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _insert_values(
    model: type[models.Model], columns: Sequence[str], rows: Iterable[Row], then: str, connection: BaseDatabaseWrapper
) -> list[Any]:
    """By the driver itself: Django would search each statement for its tens of thousands of placeholders."""
    returned: list[Any] = []
    row = f"({', '.join('?' * len(columns))})"
    start = f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) VALUES "  # noqa: S608 - our own names
    for some in _slices(rows, SQLITE_PARAMETERS // len(columns)):
        values = [value for each in _prepared(model, columns, some, connection) for value in each]
        statement = f"{start}{', '.join([row] * len(some))} {then}"
        returned += connection.connection.execute(statement, values).fetchall()
    return returned


def _prepared(
    model: type[models.Model], columns: Sequence[str], rows: Iterable[Row], connection: BaseDatabaseWrapper
) -> Iterator[list[Any]]:
    """The values of each row as the driver takes them. Django's own way checks and converts each of them anew."""
    ways = [_way(field, connection) for field in _fields(model, columns)]
    return (
        [way(value) if way and value is not None else value for way, value in zip(ways, row, strict=True)]
        for row in rows
    )


def _way(field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> Callable[[Any], Any] | None:
    """How a value of the field is written; None: as it is."""
    match field:
        case models.DecimalField() | models.DateField() if not isinstance(field, models.DateTimeField):
            return str
        case models.ForeignKey() if isinstance(user_keys.nobody(), uuid.UUID):
            return lambda value: value.hex if isinstance(value, uuid.UUID) else value
        case models.DateTimeField():
            return connection.ops.adapt_datetimefield_value
        case models.JSONField():
            return lambda value: connection.ops.adapt_json_value(value, field.encoder)
        case _:
            return None
