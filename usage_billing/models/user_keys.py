"""Keys of the project's user model, of whichever type: numbers, UUIDs, text.

Rollups hold a key in each row: where there is no user, or the grain leaves users out, `nobody()`.
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

# SQLite has no UUIDs: Django stores them as 32 hexadecimal digits, and so do statements of our own.
sqlite3.register_adapter(uuid.UUID, lambda value: value.hex)


def key_field() -> models.Field[Any, Any]:
    """The primary key of the user model."""
    field = get_user_model()._meta.pk
    while field.remote_field:
        field = field.remote_field.model._meta.pk
    return field


@functools.cache
def nobody() -> Any:
    """The key that stands for no user: 0, the UUID of zeros, or the empty text."""
    field = key_field()
    if isinstance(field, models.UUIDField):
        return uuid.UUID(int=0)
    return 0 if isinstance(field, models.IntegerField) else ""


def is_user(key: Any) -> bool:
    """Whether the key is that of a user, and not the placeholder or NULL."""
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
    """The key that `value` (a number, a UUID, text) is; None if it can be no key of a user."""
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
    """The key as Python has it, from a column that a statement of our own has read."""
    return uuid.UUID(value) if isinstance(nobody(), uuid.UUID) and isinstance(value, str) else value


def _largest(field: models.Field[Any, Any]) -> int:
    return {"AutoField": 2**31 - 1, "SmallAutoField": 2**15 - 1}.get(field.get_internal_type(), 2**63 - 1)
