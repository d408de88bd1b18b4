"""Many rows in one statement, handed over in the form that each database takes quickest.

PostgreSQL gets them as one JSON text: a parameter for each value costs the driver and the server more than the insert
itself. SQLite gets its parameters, for which it is made.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

Row = Mapping[str, Any]

SQLITE_PARAMETERS = 32_766
"""The most that one statement of SQLite takes."""
ROWS_A_STATEMENT = 1_000
"""A statement's text stays within a megabyte; and the server has something to do while the next is made."""


def insert(model: type[models.Model], columns: Sequence[str], rows: Iterable[Row], then: str) -> list[Any]:
    """Insert the rows, each a column → value with all of `columns`; `then` follows, such as `ON CONFLICT …`.

    Returns what the statements return. `rows` may be worked out as they are asked for: PostgreSQL inserts some
    meanwhile. Nothing else may be asked of the database for that.
    """
    connection = connections["default"]
    connection.ensure_connection()
    with connection.wrap_database_errors:
        if connection.vendor == "postgresql":
            return _insert_json(model, columns, rows, then, connection)
        return _insert_values(model, columns, rows, then, connection)


def update(model: type[models.Model], columns: Sequence[str], key: Sequence[str], rows: Sequence[Row]) -> None:
    """Write these columns of the rows that have the values of the `key` columns."""
    connection = connections["default"]
    table, both = model._meta.db_table, [*columns, *key]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            assigned = ", ".join(f"{name} = changed.{name}" for name in columns)
            found = " AND ".join(f"{table}.{name} = changed.{name}" for name in key)
            source = _recordset(model, both, connection, "changed")
            statement = f"UPDATE {table} SET {assigned} FROM {source} WHERE {found}"  # noqa: S608 - our own names
            for some in _slices(rows, ROWS_A_STATEMENT):
                changed = [{name: row[name] for name in both} for row in some]
                cursor.execute(statement, [_encode(changed).decode()])
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


def _insert_json(
    model: type[models.Model], columns: Sequence[str], rows: Iterable[Row], then: str, connection: BaseDatabaseWrapper
) -> list[Any]:
    names = ", ".join(columns)
    source = f"SELECT {names} FROM {_recordset(model, columns, connection)}"  # noqa: S608 - our own names
    statement = f"INSERT INTO {model._meta.db_table} ({names}) {source} {then}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(connection.connection.pipeline())
        cursors = []
        for some in _slices(rows, ROWS_A_STATEMENT):
            cursor = stack.enter_context(connection.cursor())
            cursor.execute(statement, [_encode(some).decode()])
            cursors.append(cursor)
        return [row for cursor in cursors if "RETURNING" in then for row in cursor.fetchall()]


def _recordset(
    model: type[models.Model], columns: Sequence[str], connection: BaseDatabaseWrapper, name: str = "given"
) -> str:
    """The rows of a JSON text as a table with the model's own types."""
    fields = zip(columns, _fields(model, columns), strict=True)
    types = ", ".join(f"{column} {field.rel_db_type(connection)}" for column, field in fields)
    return f"json_to_recordset(%s::json) AS {name} ({types})"


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
    """The values of each row as the driver takes them. Django's own way asks each field, even of a plain number."""
    ways = [(name, _way(field, connection)) for name, field in zip(columns, _fields(model, columns), strict=True)]
    return ([way(row[name]) if way else row[name] for name, way in ways] for row in rows)


_CONVERTED = (models.DecimalField, models.DateField, models.JSONField)


def _way(field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> Callable[[Any], Any] | None:
    """How a value of the field is written; None: as it is."""
    if not isinstance(field, _CONVERTED):
        return None
    return lambda value: field.get_db_prep_save(value, connection)
