"""genai-prices' installed list as the JSON that genai-prices publishes, and changed lists made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date, time
from decimal import Decimal
from typing import Any

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice

Raw = list[dict[str, Any]]


def installed() -> Raw:
    """Return the installed list as published: an array of providers."""
    return [_raw(provider) for provider in get_snapshot().providers]


def _raw(value: Any) -> Any:
    match value:
        case ModelPrice():
            return {name: _raw(price) for name, price in vars(value).items() if price is not None}
        case Decimal():
            return float(value)
        case date() | time():
            return value.isoformat()
        case list() | tuple():
            return [_raw(each) for each in value]
        case dict():
            return {name: _raw(each) for name, each in value.items()}
    if not is_dataclass(value):
        return value
    given = {each.name: getattr(value, each.name) for each in fields(value) if not each.name.startswith("_")}
    # `or_` and `and_` are keywords of Python.
    return {name.rstrip("_"): _raw(each) for name, each in given.items() if each is not None}


def newer(change: Callable[[dict[str, Any]], None] | None = None) -> bytes:
    """Return the list with gpt-99 at 1 and 2 USD per million, and gpt-4.1-mini at ten times its price.

    `change` gets provider OpenAI and may change more.
    """
    raw = installed()
    (openai,) = (provider for provider in raw if provider["id"] == "openai")
    for model in openai["models"]:
        if model["id"] == "gpt-4.1-mini":
            model["prices"] = {"input_mtok": 4, "cache_read_mtok": 1, "output_mtok": 16}
            model.pop("price_variants", None)
    new = {"id": "gpt-99", "match": {"equals": "gpt-99"}, "prices": {"input_mtok": 1, "output_mtok": 2}}
    openai["models"].insert(0, new)
    if change is not None:
        change(openai)
    return json.dumps(raw).encode()
