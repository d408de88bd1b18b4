"""Values of attributes: texts, counts and amounts, whatever type an emitter gave them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from usage_billing.ingest.otlp.names import COUNTS, FACTS, Concept, Unit

Value = str | int | float | bool
Attributes = Mapping[str, Value]

_WHOLE = re.compile(r"\d{1,18}")
_AMOUNT = re.compile(r"\d{1,12}(\.\d{1,20})?(e-?\d{1,2})?", re.IGNORECASE)


class UnreadableCountError(ValueError):
    """Raised for a count that is no whole number from 0 on. The message is the attribute's name."""


def first(attributes: Attributes, names: Sequence[str]) -> str:
    """Return the first of these attributes that is there, as text; empty if there is none."""
    return next((text for name in names if (text := _text(attributes.get(name))) != ""), "")


def fact(attributes: Attributes, concept: Concept) -> str:
    """Return a fact of the call as text, by whichever name it has; empty if it is not told."""
    return first(attributes, FACTS[concept])


def count(attributes: Attributes, unit: Unit) -> int | None:
    """Return a count of tokens, by whichever name it has; None if it is not told. Raises `UnreadableCountError`."""
    return named_count(attributes, COUNTS[unit])


def named_count(attributes: Attributes, names: Sequence[str]) -> int | None:
    """Return the count under the first of these names that is there. Raises `UnreadableCountError`."""
    for name in names:
        if name in attributes:
            return _count(name, attributes[name])
    return None


def amount(text: str) -> str:
    """Return an amount in USD as it was told; empty if it is none."""
    return text if _AMOUNT.fullmatch(text) else ""


def _text(value: Value | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value).strip()


def _count(name: str, value: Value) -> int:
    """Return the count; some emitters write counts as text, and JavaScript's as floating-point numbers."""
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, bool | str):
        raise UnreadableCountError(name)
    if not math.isfinite(value) or value < 0 or value != int(value):
        raise UnreadableCountError(name)
    return int(value)
