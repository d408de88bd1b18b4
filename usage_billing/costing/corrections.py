"""Corrects the price list where a provider's own page says otherwise: `corrections.toml`.

Precedence: a price override of the customer, then a correction, then the list. A correction goes when the list says the
same; a test names those that can go.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.resources import files
from typing import Any

from genai_prices.types import Tier, TieredPrices

Price = Decimal | TieredPrices


@dataclass(frozen=True)
class Correction:
    """One entry of the file.

    models: ids of the price list, or names that it lacks. when: the context that these prices are for, in the list's
    words; empty: the standard one. prices: price key of the list → USD per unit. factor: times the standard price of
    every kind of token, in place of `prices`. first, end: days (UTC), half-open; None: no bound.
    """

    id: str
    provider: str
    models: tuple[str, ...]
    when: Mapping[str, str]
    prices: Mapping[str, Price]
    factor: Decimal | None
    first: date | None
    end: date | None
    source: str
    url: str
    read_on: date
    upstream: str

    def holds(self, model: str, context: Mapping[str, str], day: date) -> bool:
        return (
            (model in self.models or "*" in self.models)
            and self.when == context
            and (self.first is None or self.first <= day)
            and (self.end is None or day < self.end)
        )


@functools.cache
def load() -> tuple[Correction, ...]:
    """Read the file, once per process."""
    text = files("usage_billing.costing").joinpath("corrections.toml").read_text(encoding="utf-8")
    return tuple(_correction(id_, entry) for id_, entry in tomllib.loads(text).items())


def find(provider: str, model: str, context: Mapping[str, str], at: datetime) -> Correction | None:
    """Return the correction for a model in a context at a moment; the first in the file takes precedence."""
    day = at.astimezone(UTC).date()
    return next((each for each in _of(provider) if each.holds(model, context, day)), None)


@functools.lru_cache(maxsize=256)
def _of(provider: str) -> tuple[Correction, ...]:
    return tuple(each for each in load() if each.provider == provider)


def _correction(id_: str, entry: Mapping[str, Any]) -> Correction:
    factor = entry.get("factor")
    return Correction(
        id=id_,
        provider=entry["provider"],
        models=tuple(entry["models"]),
        when=entry.get("when", {}),
        prices={key: _price(value) for key, value in entry.get("prices", {}).items()},
        factor=None if factor is None else Decimal(factor),
        first=entry.get("first"),
        end=entry.get("end"),
        source=entry["source"],
        url=entry["url"],
        read_on=entry["read_on"],
        upstream=entry["upstream"],
    )


def _price(value: str | Mapping[str, str]) -> Price:
    """Read a price: USD as text, or `{base = "1", above_272000 = "2"}` for prompts with more tokens than that."""
    if isinstance(value, str):
        return Decimal(value)
    steps = {int(name.removeprefix("above_")): usd for name, usd in value.items() if name != "base"}
    return TieredPrices(
        base=Decimal(value["base"]), tiers=[Tier(start=start, price=Decimal(steps[start])) for start in sorted(steps)]
    )
