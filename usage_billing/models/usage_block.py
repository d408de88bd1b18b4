"""Stores a call's usage block without the counts that the columns have already, and gives it back whole.

An ordinary block of OpenAI or Anthropic says nothing but five counts, which are in `prompt_tokens` and the columns
beside it. Such a block is stored as `{"columns": "chat"}`, with whatever else it says. That is 150 of the 1,020 bytes a
call. Model instances and the ledger's rows have the whole block; SQL and archives see the stored one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.db import models
from django.db.models.query_utils import DeferredAttribute

from usage_billing.models.daily_usage import MEASURES

COLUMNS = "columns"
"""The key of a stored block that names the API in whose words the columns are to be read."""
WHOLE = "whole"
"""… the name where the block itself has this key. It is then in `block`, as it came."""

TOKENS = tuple(name for name in MEASURES if name.endswith("_tokens"))
"""The columns of counts."""

Block = dict[str, Any]
Row = Mapping[str, Any]


def _of_openai(given: str, made: str, row: Row) -> Block:
    """Return a block of OpenAI, whose older and newer APIs have other words for the two counts."""
    return {
        f"{given}_tokens": row["prompt_tokens"],
        f"{made}_tokens": row["completion_tokens"],
        "total_tokens": row["total_tokens"],
        f"{given}_tokens_details": {"cached_tokens": row["cached_tokens"]},
        f"{made}_tokens_details": {"reasoning_tokens": row["reasoning_tokens"]},
    }


def _of_messages(row: Row) -> Block:
    return {
        "input_tokens": row["prompt_tokens"] - row["cached_tokens"] - row["cache_write_tokens"],
        "cache_read_input_tokens": row["cached_tokens"],
        "cache_creation_input_tokens": row["cache_write_tokens"],
        "output_tokens": row["completion_tokens"],
    }


_BLOCKS: dict[str, Callable[[Row], Block]] = {
    "chat": partial(_of_openai, "prompt", "completion"),
    "responses": partial(_of_openai, "input", "output"),
    "messages": _of_messages,
}
"""API → the block that the columns alone say. Its zeros are left out, as those of records are."""


class UsageField(models.JSONField):
    """The column of usage blocks. An instance has its block whole; values that a query returns are as stored."""

    @property
    def descriptor_class(self) -> type[DeferredAttribute]:  # type: ignore[override]
        return _WholeBlock

    def deconstruct(self) -> Any:
        name, _, args, options = super().deconstruct()
        return name, "django.db.models.JSONField", args, options


class _WholeBlock(DeferredAttribute):
    def __get__(self, instance: models.Model | None, owner: Any = None) -> Any:
        value = super().__get__(instance, owner)
        if instance is None or not _is_shortened(value):
            return value
        return whole(value, {name: getattr(instance, name) for name in TOKENS})

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


def stored(block: Block, row: Row) -> Block:
    """Return the form in which a row's block is stored: without the counts of `_BLOCKS`, if it has all of them."""
    if COLUMNS in block:
        return {COLUMNS: WHOLE, "block": block}
    name = "chat" if "prompt_tokens" in block else "responses" if "total_tokens" in block else "messages"
    rest = _without(block, _BLOCKS[name](row))
    return block if rest is None or rest == block else {COLUMNS: name, **rest}


def _without(block: Block, counts: Block) -> Block | None:
    """Return the block without these counts; None if it lacks one of them. A count of zero stays where it is told."""
    rest = dict(block)
    for key, count in counts.items():
        if isinstance(count, dict):
            inner = rest.get(key, {})
            left = _without(inner, count) if isinstance(inner, dict) else None
            if left is None:
                return None
            if left:
                rest[key] = left
            elif inner:
                del rest[key]
        elif count:
            told = rest.pop(key, None)
            if type(told) is not int or told != count:
                return None
    return rest


def whole(block: Any, row: Row) -> Any:
    """Return the block as it was before `stored`. Any other form, such as that of earlier versions, stays as it is."""
    if not _is_shortened(block):
        return block
    rest = dict(block)
    name = rest.pop(COLUMNS)
    return block["block"] if name == WHOLE else _with(rest, _BLOCKS[name](row))


def _is_shortened(block: Any) -> bool:
    return isinstance(block, dict) and COLUMNS in block and str(block[COLUMNS]) in _NAMES


_NAMES = {*_BLOCKS, WHOLE}


def _with(rest: Block, counts: Block) -> Block:
    found: Block = {}
    for key, count in counts.items():
        if isinstance(count, dict):
            is_told = key in rest
            if (inner := _with(rest.pop(key, {}), count)) or is_told:
                found[key] = inner
        elif count:
            found[key] = count
    return {**found, **rest}
