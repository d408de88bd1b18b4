"""Counts the statements that a request's scope executes in a test, where its transaction is a savepoint."""

from django.db import connection

_SAVEPOINT_RELEASE = 2


def of_a_superadmin() -> int:
    return _SAVEPOINT_RELEASE if connection.vendor == "postgresql" else 0


def of_a_member() -> int:
    """One statement reads the memberships; on PostgreSQL the same one sets the scope."""
    return _SAVEPOINT_RELEASE if connection.vendor == "postgresql" else 1
