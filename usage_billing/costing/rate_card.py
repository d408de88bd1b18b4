"""Unit prices of one model at one moment, applied to the units of one call.

genai-prices decides which units lie within which (cached tokens are part of the input tokens) and charges each once.
Its own sum has only two parts, input and output; here the amounts are kept by kind.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from genai_prices import Usage
from genai_prices._usage import UsageValue
from genai_prices.decompose import compute_leaf_values, is_descendant_or_self
from genai_prices.types import ModelPrice, TieredPrices, calc_unit_price
from genai_prices.units import UnitDef, _get_registry

REQUESTS = "requests"
"""The unit that each call uses once, whether its usage says so or not."""

Amounts = dict[str, Decimal]
"""USD by kind of unit: `input`, `cached`, `cache_write`, `output`, `tools`."""

Prices = Mapping[str, Decimal | TieredPrices]
"""Usage key of a unit (`input_tokens`) → its price, USD per `UnitDef.per` units."""


class ContradictionError(ValueError):
    """The parts of the usage are more than their whole, or the whole is not reported."""


def prices_of(model_price: ModelPrice) -> dict[str, Any]:
    """`Prices` of the units that have one."""
    registry = _get_registry()
    return {
        registry.unit_for_price_key(key).usage_key: value
        for key, value in vars(model_price).items()
        if value is not None
    }


def used_units(usage: Usage) -> set[str]:
    """Usage keys of the units of which at least one was used."""
    return {key for key, count in vars(usage).items() if count}


def amounts(prices: Prices, usage: Usage, token_factor: Decimal) -> Amounts:
    """USD by kind; units without a price are left out. Prices of tokens are multiplied by `token_factor`.

    Raises `ContradictionError`.
    """
    units, innermost_first = _units(tuple(prices), frozenset(vars(usage)))
    try:
        counts = _leaf_counts(innermost_first, usage)
        is_tiered = any(isinstance(price, TieredPrices) for price in prices.values())
        prompt_tokens = usage.input_tokens if is_tiered else 0
    except ValueError:
        raise ContradictionError from None
    found: Amounts = {}
    for each in units:
        if count := counts[each.key]:
            usd = calc_unit_price(prices[each.key], count, prompt_tokens, each.unit.per)
            found[each.kind] = found.get(each.kind, _NOTHING) + (usd * token_factor if each.is_token else usd)
    return found


_NOTHING = Decimal(0)


class _Unit(NamedTuple):
    """A priced unit and, of the other priced ones, those within it."""

    key: str
    unit: UnitDef
    kind: str
    is_token: bool
    within: tuple[str, ...]


@functools.lru_cache(maxsize=1024)
def _units(priced: tuple[str, ...], reported: frozenset[str]) -> tuple[tuple[_Unit, ...], tuple[_Unit, ...]]:
    """Return the priced units that a usage of these units may have: in the order of the prices, and innermost first."""
    counted = _with_containing_units(reported)
    units = {key: _get_registry().units[key] for key in priced if key in counted}
    found = tuple(
        _Unit(
            key,
            unit,
            kind_of(unit),
            unit.dimensions.get("family") == "tokens",
            tuple(
                other
                for other, its in units.items()
                if other not in (key, REQUESTS) and is_descendant_or_self(unit, its)
            ),
        )
        for key, unit in units.items()
    )
    return found, tuple(sorted(found, key=lambda each: -len(each.unit.dimensions)))


def _leaf_counts(innermost_first: Sequence[_Unit], usage: Usage) -> Mapping[str, UsageValue]:
    """Return how much of each unit is in no unit within it. Raises `ValueError` if that is less than nothing.

    The same as genai-prices' `compute_leaf_values`, which compares every unit with every other one for each call: with
    it, `amounts` takes three times as much CPU. Fractions and inferred counts are left to it.
    """
    told = vars(usage)
    counts: dict[str, int] = {}
    for each in innermost_first:
        count: Any = 1 if each.key == REQUESTS else told.get(each.key)
        if type(count) is not int:
            priced = {each.key: each.unit for each in innermost_first}
            return compute_leaf_values(priced.keys() - {REQUESTS}, usage, priced) | {REQUESTS: 1}
        for key in each.within:
            count -= counts[key]
        if count < 0:
            raise ValueError(each.key)
        counts[each.key] = count
    return counts


@functools.cache
def _with_containing_units(reported: frozenset[str]) -> frozenset[str]:
    """Return the reported units, the units that contain them or that two have in common, and `REQUESTS`.

    No other unit was used. Cached tokens and audio tokens have cached audio in common: how much of it there was must be
    told too, or the usage does not say what it cost.

    Without this, genai-prices infers a count for every priced unit: 4,500 instead of 9,300 calls/s for `costs.rows`.
    """
    registry = _get_registry()
    units = [registry.units[key] for key in sorted(reported) if key in registry.units]
    containing = (registry.ancestor_usage_keys(unit.usage_key) for unit in units)
    joins = (registry.find_join(one, other) for one, other in itertools.combinations(units, 2))
    return reported.union({REQUESTS}, *containing, (join.usage_key for join in joins if join is not None))


def kind_of(unit: UnitDef) -> str:
    """The part of a record's cost that a unit belongs to."""
    token_type, direction = unit.dimensions.get("token_type"), unit.dimensions.get("direction")
    if unit.dimensions.get("family") in ("tool_calls", "rerank", "requests"):
        return "tools"
    if token_type in ("cache_read", "cache_write"):
        return "cached" if token_type == "cache_read" else "cache_write"  # noqa: S105 - the list's word for a kind of token
    return "output" if direction == "output" else "input"
