"""Compares the shape of two JSON values: the same keys and types, recursively."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def differences(example: Any, answer: Any, place: str = "$") -> Iterator[str]:
    """Yield what differs in the shape of an answer and of its example.

    Null has its own type. Items of a list are all compared with the example's first one.
    """
    if kind(example) != kind(answer):
        yield f"{place}: {kind(example)} in the example, {kind(answer)} in the answer"
    elif isinstance(example, dict):
        for key in example.keys() ^ answer.keys():
            yield f"{place}.{key}: only in the {'example' if key in example else 'answer'}"
        for key in example.keys() & answer.keys():
            yield from differences(example[key], answer[key], f"{place}.{key}")
    elif isinstance(example, list):
        if not (example and answer):
            yield f"{place}: a list without items shows nothing"
        for number, each in enumerate(answer):
            yield from differences(example[0], each, f"{place}[{number}]")


def kind(value: Any) -> str:
    """Return the JSON type of a value."""
    names = {bool: "boolean", int: "number", float: "number", str: "string", dict: "object", list: "array"}
    return names.get(type(value), "null")
