"""The SQL of a call's tag. A key comes from people, so it is always the value of a placeholder."""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, F, Func, Value

from usage_billing.models.database import connection
from usage_billing.reports.sql.text import Sql


def tag_of_call(key: str) -> Sql:
    """The value of that tag of a call, or of a row of archived sums; the empty text without one."""
    return Sql(_SQLITE if connection.vendor == "sqlite" else _POSTGRESQL, [key])


# Not `json_extract`: its path has no escape for a quotation mark in a key.
_SQLITE = "coalesce((SELECT tag.value FROM json_each(tags) AS tag WHERE tag.key = %s), '')"
_POSTGRESQL = "coalesce(tags ->> CAST(%s AS text), '')"


class TagOfCall(Func):
    """The same in Django's ORM."""

    arity = 2
    output_field = CharField()
    template = "coalesce(%(expressions)s, '')"
    arg_joiner = " ->> "

    def __init__(self, key: str) -> None:
        super().__init__(F("tags"), Value(key))

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        tags, key = self.source_expressions
        column, column_values = compiler.compile(tags)
        mark, key_values = compiler.compile(key)
        text = f"coalesce((SELECT tag.value FROM json_each({column}) AS tag WHERE tag.key = {mark}), '')"  # noqa: S608
        return text, [*column_values, *key_values]
