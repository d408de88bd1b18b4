"""Finds and reads many rows in the forms that take PostgreSQL and its driver the least time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.db.models import BooleanField, Q, QuerySet
from django.db.models.expressions import RawSQL

from usage_billing.models.database import connection


def among(ids: Sequence[int], org_ids: Sequence[int]) -> Q:
    """Return the condition on `token_usage` that a row has one of these ids and organisations.

    Arrays on PostgreSQL: Django and psycopg take 10 µs for each id of an `IN`. The organisations name the shards that
    Citus asks.
    """
    if connection.vendor == "postgresql":
        sql = "(token_usage.id = ANY(%s) AND token_usage.org_id = ANY(%s))"
        return Q(RawSQL(sql, [list(ids), list(org_ids)], BooleanField()))  # noqa: S611 - no value in it
    return Q(pk__in=ids, org_id__in=org_ids)


def csv(rows: QuerySet[Any, Any], most: int) -> Iterator[bytes]:
    """Yield the rows in their order, at most `most` at a time. NULL is an empty field, empty text is `""`.

    PostgreSQL only. It takes 6 µs of CPU for a usage record, rows of Python objects take 26.
    """
    statement = connection.ops.compose_sql(*rows.query.sql_with_params())  # type: ignore[attr-defined] # of PostgreSQL's
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({statement}) TO STDOUT (FORMAT csv)") as copied,
    ):
        # PostgreSQL sends each row as a message of its own (Frontend/Backend Protocol, COPY Operations).
        while some := list(islice(copied, most)):
            yield b"".join(some)
