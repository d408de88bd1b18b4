"""Pieces of statements together with the values of their placeholders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sql:
    """A piece of a statement, and the values of its placeholders."""

    text: str
    values: Sequence[Any] = ()


def joined(separator: str, parts: Iterable[Sql]) -> Sql:
    known = list(parts)
    return Sql(separator.join(part.text for part in known), [value for part in known for value in part.values])
