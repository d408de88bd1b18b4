"""How many statements the scope of a request takes in a test, where its transaction is a savepoint."""

from django.db import connection

_SAVEPOINT_RELEASE = 2


def of_a_superadmin() -> int:
    return _SAVEPOINT_RELEASE if connection.vendor == "postgresql" else 0


def of_a_member() -> int:
    """Setting it reads the memberships; on SQLite reading them is all."""
    return _SAVEPOINT_RELEASE if connection.vendor == "postgresql" else 1
