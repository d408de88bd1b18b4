"""Keys of the project's user model: numbers, UUIDs or text.

Every row of a rollup holds a key. It is `nobody()` if there is no user, or if the grain leaves users out.
"""

from __future__ import annotations

import functools
import sqlite3
import uuid
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

# SQLite has no UUID type. Django stores UUIDs as 32 hexadecimal digits, and our own statements do the same.
sqlite3.register_adapter(uuid.UUID, lambda value: value.hex)


@functools.cache
def key_field() -> models.Field[Any, Any]:
    """The primary key field of the user model."""
    field = get_user_model()._meta.pk
    while field.remote_field:
        field = field.remote_field.model._meta.pk
    return field


@functools.cache
def nobody() -> Any:
    """The key that stands for no user: 0, the zero UUID, or the empty text."""
    field = key_field()
    if isinstance(field, models.UUIDField):
        return uuid.UUID(int=0)
    return 0 if isinstance(field, models.IntegerField) else ""


def is_user(key: Any) -> bool:
    """Whether the key belongs to a user, and is neither the placeholder nor None."""
    return key is not None and key != nobody()


def literal(connection: BaseDatabaseWrapper) -> str:
    """`nobody()` as SQL."""
    value = nobody()
    if isinstance(value, uuid.UUID):
        return f"'{value}'::uuid" if connection.vendor == "postgresql" else f"'{value.hex}'"
    return "0" if value == 0 else "''"


def sql_type(connection: BaseDatabaseWrapper) -> str:
    """The type of a column that holds a key."""
    return key_field().rel_db_type(connection) or ""


def parse(value: Any) -> Any:
    """Convert a number, a UUID or text to a user key; None if it cannot be one."""
    field = key_field()
    if isinstance(value, bool) or value is None or value == "":
        return None
    try:
        key = field.to_python(value)
    except (ValidationError, ValueError, OverflowError):
        return None
    if isinstance(field, models.IntegerField):
        return key if 0 < key <= _largest(field) and not isinstance(value, float) else None
    if isinstance(field, models.CharField):
        return key if len(key) <= (field.max_length or len(key)) else None
    return key


def from_row(value: Any) -> Any:
    """Convert a key that one of our own statements has read to its Python type."""
    return uuid.UUID(value) if isinstance(nobody(), uuid.UUID) and isinstance(value, str) else value


def _largest(field: models.Field[Any, Any]) -> int:
    return {"AutoField": 2**31 - 1, "SmallAutoField": 2**15 - 1}.get(field.get_internal_type(), 2**63 - 1)
