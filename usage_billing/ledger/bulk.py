"""Inserts and updates many rows with few statements, in the form that each database takes fastest.

PostgreSQL gets one JSON array per column: 20,000 usage records a second, against 3,600 by psycopg's
`executemany(returning=True)` and 2,000 by multi-row `VALUES`. SQLite gets multi-row `VALUES` without Django's cursor,
which would rewrite thousands of placeholders in each statement: 22,000 records a second, against 12,000.
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
from usage_billing.tenancy import distribution

Row = Sequence[Any]
"""Values of the columns, in the order of the column names."""

SQLITE_PARAMETERS = 32_766
"""SQLite's limit for one statement."""
ROWS_A_STATEMENT = 1_000
"""Keeps a statement's parameters within about a megabyte."""


def insert(model: type[models.Model], columns: Sequence[str], rows: Iterable[Row], then: str) -> list[Any]:
    """Insert the rows; `then` ends each statement (`ON CONFLICT …`). Returns the rows that `RETURNING` gives."""
    connection = connections[alias()]
    if connection.vendor == "postgresql":
        return _insert_arrays(model, columns, rows, then, connection)
    return _insert_values(model, columns, rows, then, connection)


def update(model: type[models.Model], columns: Sequence[str], key: Sequence[str], rows: Sequence[Row]) -> None:
    """Update `columns` of the rows found by the `key` columns; each row holds the columns' values, then the key's."""
    connection = connections[alias()]
    table, both = model._meta.db_table, [*columns, *key]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            assigned = ", ".join(f"{name} = changed.{name}" for name in columns)
            found = " AND ".join(f"{table}.{name} = changed.{name}" for name in key)
            if _is_distributed(model):
                update = f"UPDATE {table} SET {assigned} FROM"  # noqa: S608 - our own names
                _update_shards(cursor, model, both, rows, update, found, connection)
                return
            source = f"({_from_arrays(model, both, connection)}) AS changed"
            statement = f"UPDATE {table} SET {assigned} FROM {source} WHERE {found}"  # noqa: S608 - our own names
            for some in _slices(rows, ROWS_A_STATEMENT):
                cursor.execute(statement, _arrays(some))
        else:
            assigned = ", ".join(f"{name} = %s" for name in columns)
            found = " AND ".join(f"{name} = %s" for name in key)
            statement = f"UPDATE {table} SET {assigned} WHERE {found}"  # noqa: S608 - our own names
            cursor.executemany(statement, list(_prepared(model, both, rows, connection)))


def existing(model: type[models.Model], columns: Sequence[str], rows: Sequence[Row]) -> Iterator[Any]:
    """Yield those of the rows, given by the values of some columns, that the table has; each as a tuple."""
    connection = connections[alias()]
    names = ", ".join(columns)
    start = f"SELECT {names} FROM {model._meta.db_table} JOIN "  # noqa: S608 - our own names
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            statement = f"{start}({_from_arrays(model, columns, connection)}) AS sought USING ({names})"
            for some in _slices(rows, ROWS_A_STATEMENT):
                cursor.execute(statement, _arrays(some))
                yield from cursor.fetchall()
        else:
            row = f"({', '.join(['%s'] * len(columns))})"
            for some in _slices(rows, ROWS_A_STATEMENT):
                values = [value for each in _prepared(model, columns, some, connection) for value in each]
                sought = f"WITH sought ({names}) AS (VALUES {', '.join([row] * len(some))}) "
                cursor.execute(f"{sought}{start}sought USING ({names})", values)
                yield from cursor.fetchall()


def _slices(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    left = iter(rows)
    while some := list(itertools.islice(left, most)):
        yield some


def _fields(model: type[models.Model], columns: Sequence[str]) -> list[models.Field[Any, Any]]:
    by_name = {field.attname: field for field in model._meta.concrete_fields}
    return [by_name[name] for name in columns]


# ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────────────────────────


def _insert_arrays(
    model: type[models.Model], columns: Sequence[str], rows: Iterable[Row], then: str, connection: BaseDatabaseWrapper
) -> list[Any]:
    names, source = ", ".join(columns), _from_arrays(model, columns, connection)
    statement = f"INSERT INTO {model._meta.db_table} ({names}) {source} {then}"
    returned: list[Any] = []
    connection.ensure_connection()
    slices = _of_shards(columns, rows) if _is_distributed(model) else _slices(rows, ROWS_A_STATEMENT)
    with connection.wrap_database_errors, _pipeline(connection), contextlib.ExitStack() as open_cursors:
        cursors = []
        for some in slices:
            cursor = open_cursors.enter_context(connection.cursor())
            cursor.execute(statement, _arrays(some))
            cursors.append(cursor)
        for cursor in cursors if "RETURNING" in then else ():
            returned += cursor.fetchall()
    return returned


def _pipeline(connection: BaseDatabaseWrapper) -> contextlib.AbstractContextManager[Any]:
    """Let the server execute a statement while Python makes the rows of the next. libpq 14 can."""
    import psycopg

    is_supported = psycopg.Pipeline.is_supported()
    return connection.connection.pipeline() if is_supported else contextlib.nullcontext()


def source(model: type[models.Model], columns: Sequence[str], rows: Sequence[Row]) -> tuple[str, list[str]]:
    """Return PostgreSQL's `SELECT` of these rows with the model's types, and its values."""
    return _from_arrays(model, columns, connections[alias()]), _arrays(rows)


def _from_arrays(model: type[models.Model], columns: Sequence[str], connection: BaseDatabaseWrapper) -> str:
    """Build the `SELECT` that turns one JSON array per column (`_arrays`) into rows with the model's types.

    Strings stay `text`: a cast to `varchar(100)` would cut them silently, an assignment refuses them.
    """
    typed = ", ".join(
        name if isinstance(field, models.CharField) else f"{name}::{field.rel_db_type(connection)}"
        for name, field in zip(columns, _fields(model, columns), strict=True)
    )
    arrays = ", ".join(["json_array_elements_text(%s::json)"] * len(columns))
    return f"SELECT {typed} FROM ROWS FROM ({arrays}) AS given ({', '.join(columns)})"  # noqa: S608 - our own names


# ── Citus ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_distributed(model: type[models.Model]) -> bool:
    return model._meta.db_table in distribution.TABLES and distribution.is_distributed()


def _of_shards(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield slices of the rows, each of one shard, in the order in which all writers write the shards."""
    at = columns.index(distribution.COLUMN)
    of_org: dict[int, list[Row]] = {}
    for row in rows:
        of_org.setdefault(row[at], []).append(row)
    for org_ids in distribution.by_shard(of_org):
        yield from _slices(itertools.chain.from_iterable(of_org[org_id] for org_id in org_ids), ROWS_A_STATEMENT)


def _update_shards(
    cursor: Any,
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Row],
    update: str,
    found: str,
    connection: BaseDatabaseWrapper,
) -> None:
    """Update one shard a statement. Citus casts the whole arrays: it hands on no cast that depends on the session."""
    at, table = columns.index(distribution.COLUMN), model._meta.db_table
    types = (field.rel_db_type(connection) or "" for field in _fields(model, columns))
    arrays = ", ".join(f"%s::text[]::{'text' if 'char' in each else each}[]" for each in types)
    start = f"{update} unnest({arrays}) AS changed ({', '.join(columns)}) WHERE {found}"
    for some in _of_shards(columns, rows):
        org_ids = ", ".join(str(int(org_id)) for org_id in {row[at] for row in some})
        texts = [[_text(value) for value in values] for values in zip(*some, strict=True)]
        cursor.execute(f"{start} AND {table}.{distribution.COLUMN} IN ({org_ids})", texts)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else _encode(value).decode().strip('"')


def _arrays(rows: Sequence[Row]) -> list[str]:
    return [_encode(values).decode() for values in zip(*rows, strict=True)]


_encode = msgspec.json.Encoder(decimal_format="string").encode
"""Encodes decimals as text, to keep every digit, and moments in ISO 8601 with their zone."""


# ── SQLite ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _insert_values(
    model: type[models.Model], columns: Sequence[str], rows: Iterable[Row], then: str, connection: BaseDatabaseWrapper
) -> list[Any]:
    connection.ensure_connection()
    returned: list[Any] = []
    row = f"({', '.join('?' * len(columns))})"
    start = f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) VALUES "  # noqa: S608 - our own names
    for some in _slices(rows, SQLITE_PARAMETERS // len(columns)):
        values = [value for each in _prepared(model, columns, some, connection) for value in each]
        statement = f"{start}{', '.join([row] * len(some))} {then}"
        with connection.wrap_database_errors:
            returned += connection.connection.execute(statement, values).fetchall()
    return returned


def _prepared(
    model: type[models.Model], columns: Sequence[str], rows: Iterable[Row], connection: BaseDatabaseWrapper
) -> Iterator[list[Any]]:
    """Convert values for the driver. `Field.get_db_prep_save` validates too, and takes twice as long per insert."""
    converters = [_converter(field, connection) for field in _fields(model, columns)]
    return (
        [
            convert(value) if convert and value is not None else value
            for convert, value in zip(converters, row, strict=True)
        ]
        for row in rows
    )


def _converter(field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> Callable[[Any], Any] | None:
    """Return the conversion of the field's values; None if they need none."""
    match field:
        case models.DecimalField() | models.DateField() if not isinstance(field, models.DateTimeField):
            return str
        case models.ForeignKey() if isinstance(user_keys.nobody(), uuid.UUID):
            return lambda value: value.hex if isinstance(value, uuid.UUID) else value
        case models.DateTimeField():
            return connection.ops.adapt_datetimefield_value
        case models.JSONField():
            return lambda value: connection.ops.adapt_json_value(value, field.encoder) if value != {} else "{}"
        case _:
            return None
