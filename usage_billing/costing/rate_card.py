"""What units cost at one price, for one sort of usage: looked up once for many calls.

What genai-prices works out for each call anew, which units lie within which, follows from the price and from the units
that were used, whatever their numbers; only the numbers are left for each call.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from genai_prices import Usage
from genai_prices._usage import subtract_usage_values
from genai_prices.decompose import is_descendant_or_self
from genai_prices.types import ModelPrice, calc_unit_price
from genai_prices.units import UnitDef, _get_registry

REQUESTS = "requests"
"""The unit that each call uses once, told or not."""

Amounts = dict[str, Decimal]
"""USD by kind of unit: `input`, `cached`, `cache_write`, `output`, `tools`."""


class ContradictionError(ValueError):
    """Parts of the usage are more than their whole, or the whole is not told."""


@dataclass(frozen=True)
class Rate:
    """One unit's price, and the rates before it of the units within it, which are not charged twice."""

    usage_key: str
    price: Any  # Decimal, or genai-prices' TieredPrices
    per: int
    kind: str
    is_of_tokens: bool
    within: tuple[int, ...]


@dataclass(frozen=True)
class RateCard:
    """`used`: the units that it is for. `prices`: unit → price, also of other units. `is_contradictory`: such usage
    cannot be charged.
    """

    rates: tuple[Rate, ...]
    used: frozenset[str]
    prices: dict[str, Any]
    is_contradictory: bool
    is_free: bool

    def amounts(self, usage: Usage, surcharge: Decimal) -> Amounts:
        """USD by kind of what was used; units without a price are left out. `surcharge`: the factor for tokens.

        Raises `ContradictionError`.
        """
        if self.is_contradictory:
            raise ContradictionError
        values = vars(usage)
        threshold = values.get("input_tokens") or 0
        charged: list[Any] = []
        amounts: Amounts = {}
        for rate in self.rates:
            count = 1 if rate.usage_key == REQUESTS else values[rate.usage_key]
            if rate.within:
                count = subtract_usage_values(count, [charged[index] for index in rate.within])
                if count < 0:
                    raise ContradictionError
            charged.append(count)
            if isinstance(count, int) and isinstance(rate.price, Decimal):
                usd = rate.price * count / rate.per
            else:
                usd = calc_unit_price(rate.price, count, threshold, rate.per)
            if rate.is_of_tokens and surcharge != 1:
                usd *= surcharge
            so_far = amounts.get(rate.kind)
            amounts[rate.kind] = usd if so_far is None else so_far + usd
        return amounts


def rate_card(model_price: ModelPrice, usage: Usage) -> RateCard:
    """For all usage that tells of the same units, and has used the same of them."""
    told = vars(usage)
    return _tariff(_Prices(model_price), tuple(told), tuple([key for key, value in told.items() if value]))


class _Prices:
    """A price as a key. A copy with the same values is the same: the price list makes one for each special context."""

    def __init__(self, model_price: ModelPrice) -> None:
        self.model_price = model_price  # keeps the values, so that no other gets the id of one
        self._content = (*vars(model_price), *map(id, vars(model_price).values()))

    def __hash__(self) -> int:
        return hash(self._content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Prices) and other._content == self._content


@functools.lru_cache(maxsize=4096)
def _tariff(prices: _Prices, told: tuple[str, ...], used: tuple[str, ...]) -> RateCard:
    units = _units(prices.model_price)
    # Parts first, as genai-prices takes them.
    charged = sorted(
        (unit for unit in units.values() if unit.usage_key in told or unit.usage_key == REQUESTS),
        key=lambda unit: (-len(unit.dimensions), unit.usage_key),
    )
    price_of = {unit.usage_key: getattr(prices.model_price, key) for key, unit in units.items()}
    return RateCard(
        rates=tuple(
            Rate(
                usage_key=unit.usage_key,
                price=price_of[unit.usage_key],
                per=unit.per,
                kind=_kind(unit),
                is_of_tokens=unit.dimensions.get("family") == "tokens",
                within=tuple(
                    index for index, part in enumerate(charged[:position]) if is_descendant_or_self(unit, part)
                ),
            )
            for position, unit in enumerate(charged)
        ),
        used=frozenset(used),
        prices=price_of,
        is_contradictory=_lacks_a_whole(price_of.keys() - {*told, REQUESTS}, used),
        is_free=not any(price_of.values()),
    )


def _units(model_price: ModelPrice) -> dict[str, UnitDef]:
    """Price key → unit, of what has a price."""
    registry = _get_registry()
    return {key: registry.unit_for_price_key(key) for key, value in vars(model_price).items() if value is not None}


def _lacks_a_whole(untold: set[str], used: Sequence[str]) -> bool:
    """Whether a unit that was not told has parts that were: genai-prices refuses to guess it, by their presence."""
    usage = Usage(**dict.fromkeys(used, 1))
    try:
        for key in untold:
            getattr(usage, key)
    except ValueError:
        return True
    return False


def _kind(unit: UnitDef) -> str:
    """The part of a record's cost that a unit belongs to."""
    token_type, direction = unit.dimensions.get("token_type"), unit.dimensions.get("direction")
    if unit.dimensions.get("family") in ("tool_calls", "rerank", "requests"):
        return "tools"
    if token_type == "cache_read":  # noqa: S105 - the list's word for a sort of token
        return "cached"
    if token_type == "cache_write":  # noqa: S105 - likewise
        return "cache_write"
    return "output" if direction == "output" else "input"
