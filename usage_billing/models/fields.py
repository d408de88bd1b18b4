"""Column types shared by several tables."""

from decimal import Context
from typing import Any

from django.db import models

LARGEST_ID = models.BigIntegerField.MAX_BIGINT
"""The largest id that a column holds; PostgreSQL refuses to compare with a larger one."""

MONEY_PLACES = 12
"""Decimal places of every amount. A cached token at half of $0.0125 a million is 6.25e-9 USD: eleven places."""


def money(verbose_name: Any = None, *, digits: int = 24, **options: Any) -> "models.DecimalField[Any, Any]":
    """A column for an amount of USD or RUB, exact to `MONEY_PLACES` places; below a trillion.

    Exact on PostgreSQL (`numeric`). SQLite keeps decimals as 8-byte floats: about 15 significant digits.
    """
    return models.DecimalField(verbose_name, max_digits=digits, decimal_places=MONEY_PLACES, **options)


def money_total(verbose_name: Any = None, **options: Any) -> "models.DecimalField[Any, Any]":
    """A column for a sum of amounts: room for a trillion of the largest ones."""
    return money(verbose_name, digits=36, **options)


as_sqlite_keeps = Context(prec=15).create_decimal_from_float
"""float → Decimal of the digits that SQLite keeps of an amount."""


class NamedIndex(models.Index):
    """An index with a name of up to 63 characters, PostgreSQL's limit; Django's is 30, which contract names exceed."""

    max_name_length = 63
