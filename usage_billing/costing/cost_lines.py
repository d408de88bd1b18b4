"""Explains the cost of a record line by line: units × price = amount.

Everything comes from what the record keeps: the amount of each kind of unit (`cost_parts`), and the units in its
`usage`. The prices themselves are not kept; a line's price is its amount divided by its units. Today's price list is
never asked: it may have changed since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from genai_prices.units import _get_registry

from usage_billing.costing import costs
from usage_billing.costing.metering import Line
from usage_billing.costing.pricing import DECISIONS
from usage_billing.costing.rate_card import REQUESTS, kind_of, used_units
from usage_billing.models.fields import MONEY_PLACES

Row = costs.Row
Number = int | Decimal

INPUT, CACHED, CACHE_WRITE, OUTPUT, TOOLS = KINDS = ("input", "cached", "cache_write", "output", "tools")
"""The kinds of `rate_card.Amounts`, in the order of the lines."""
TOGETHER = "together"
"""One amount for units of several kinds: the record does not say which of them had a price."""
REPORTED = "reported"
"""The amount that the host itself charged, whatever the units."""
ROUNDING = "rounding"
"""The amounts of the kinds are rounded one by one, the cost only once."""
UNEXPLAINED = "unexplained"
"""A part of the cost that the record does not explain."""
ONLY_INPUT_IS_BILLED = f"{DECISIONS['openai']}/"
"""In the price source of calls whose output is free (OpenAI, Decisions)."""
CONTAINER = "container"
"""Key of a container session; its memory follows a colon."""

MOST_PLACES = 12
"""Decimals tried for a price: published prices have fewer."""


@dataclass(frozen=True)
class Units:
    """How many of one unit of the price list (`input_tokens`), or of containers (`container:4g`)."""

    key: str
    count: Number


@dataclass(frozen=True)
class CostLine:
    """units × price = amount.

    units: one, or several that share the amount. within: units that they contain (reasoning, audio). price: USD per
    `per` units; None if it is unknown, or if several units share the amount. is_average: units with different prices
    may be among them. amount: USD, None if it is unknown or another line has it. models: other models than the call's.
    """

    kind: str
    amount: Decimal | None
    units: tuple[Units, ...] = ()
    within: tuple[Units, ...] = ()
    price: Decimal | None = None
    per: int = 1
    is_average: bool = False
    models: tuple[str, ...] = ()


def lines(row: Row) -> list[CostLine]:
    """The lines of a record's cost. Their known amounts add up to its `cost_usd`, or to `known_cost_usd`, exactly."""
    whole = row["cost_usd"] if row["cost_usd"] is not None else row["known_cost_usd"]
    source = row["price_source"]
    used = _used(row)
    if source.startswith("reported:") or source == "unpriced:charged-to-own-key":
        charged = [] if whole is None else [CostLine(REPORTED, whole)]
        return [*charged, *(_line(kind, each, None) for kind, each in used.items())]
    amounts = _amounts(row, used, whole)
    found = [*_of_kinds(used, amounts, is_priced=row["cost_usd"] is not None)]
    return [*found, *_rest(whole, found)]


def _amounts(row: Row, used: Mapping[str, _Used], whole: Decimal | None) -> dict[str, Decimal]:
    """The amount of each kind: kept in the record if there are several, the whole cost if there is one."""
    kept = dict(_parts(row["response_metadata"].get("cost_parts")))
    if kept or not whole:
        return kept
    if not used:
        return {}
    if INPUT in used and ONLY_INPUT_IS_BILLED in row["price_source"]:
        return {INPUT: whole}
    return {next(iter(used)) if len(used) == 1 else TOGETHER: whole}


def _parts(kept: Any) -> Iterator[tuple[str, Decimal]]:
    """The amounts that the record keeps. An imported row may have anything there: what is no amount is left out."""
    for kind, usd in kept.items() if isinstance(kept, dict) else ():
        try:
            amount = Decimal(usd)
        except (ArithmeticError, TypeError, ValueError):
            continue
        if amount.is_finite():
            yield kind, amount


def _of_kinds(used: Mapping[str, _Used], amounts: Mapping[str, Decimal], *, is_priced: bool) -> Iterator[CostLine]:
    """The lines of the kinds that were used, or that have an amount."""
    if TOGETHER in amounts:
        everything = _Used([each for one in used.values() for each in one.units], is_mixed=True)
        yield _line(TOGETHER, everything, amounts[TOGETHER])
        return
    used = _with_cache_writes_as_input(used, amounts) if is_priced and INPUT in amounts else used
    for kind in dict.fromkeys((*KINDS, *amounts)):
        if kind not in used and kind not in amounts:
            continue
        # A price of 0 leaves no amount.
        nothing = Decimal(0) if is_priced else None
        line = _line(kind, used.get(kind, _Used()), amounts.get(kind, nothing))
        # Of an unpriced kind, the units without a price are among the others.
        yield line if is_priced or not line.is_average else replace(line, price=None, is_average=False)


def _rest(whole: Decimal | None, found: Sequence[CostLine]) -> list[CostLine]:
    """Return the line of the difference between the whole and the lines."""
    rest = (whole or Decimal(0)) - sum((line.amount or Decimal(0) for line in found), Decimal(0))
    if not rest:
        return []
    is_rounding = found and abs(rest) <= len(found) * Decimal(1).scaleb(-MONEY_PLACES)
    return [CostLine(ROUNDING if is_rounding else UNEXPLAINED, rest)]


def _line(kind: str, used: _Used, amount: Decimal | None) -> CostLine:
    units, models = tuple(used.units), tuple(sorted(used.models))
    line = CostLine(kind, amount, units, tuple(used.within), is_average=used.is_mixed, models=models)
    if amount is None or len(units) != 1 or not units[0].count:
        return replace(line, per=_per(units[0].key) if len(units) == 1 else 1, is_average=False)
    per = _per(units[0].key)
    return replace(line, price=_price(amount, units[0].count, per), per=per)


def _per(key: str) -> int:
    unit = _get_registry().units.get(key)
    return 1 if unit is None or key == REQUESTS else unit.per


def _price(amount: Decimal, count: Number, per: int) -> Decimal:
    """The shortest price that gives exactly this amount; it is the published one."""
    exact = amount * per / count
    for places in range(MOST_PLACES + 1):
        price = round(exact, places)
        if round(price * count / per, MONEY_PLACES) == amount:
            return price
    return exact


# ── Units ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Used:
    """Units of one kind. is_mixed: units with different prices may be among them."""

    units: list[Units] = field(default_factory=list)
    within: list[Units] = field(default_factory=list)
    is_mixed: bool = False
    models: set[str] = field(default_factory=set)


def _used(row: Row) -> dict[str, _Used]:
    """Return the units of the call by kind, in the order of `KINDS`."""
    metered = costs.meter(row)
    if not metered.lines:
        return _of_columns(row) if not row["usage"] else {}
    counts, models = _counts(metered.lines)
    found = {kind: _of_kind(kind, counts) for kind in KINDS}
    for kind, names in models.items():
        found[kind].models |= names - {""}
        found[kind].is_mixed |= len(names) > 1
    if not found[TOOLS].units and TOOLS in dict(_parts(row["response_metadata"].get("cost_parts"))):
        found[TOOLS].units.append(Units(REQUESTS, len(metered.lines)))  # each call uses one, and no usage says so
    return {kind: used for kind, used in found.items() if used.units}


def _counts(metered: Sequence[Line]) -> tuple[dict[str, Number], dict[str, set[str]]]:
    """The count of each unit, and the models that each kind was used on: empty for the call's own."""
    registry = _get_registry()
    counts: dict[str, Number] = defaultdict(int)
    models: dict[str, set[str]] = defaultdict(set)
    for line in metered:
        for key in used_units(line.usage) & registry.units.keys():
            count = vars(line.usage)[key]
            counts[key] += count if isinstance(count, int) else Decimal(str(count))
            models[kind_of(registry.units[key])].add(line.model)
        for memory in line.containers:
            counts[f"{CONTAINER}:{memory}"] += 1
    return counts, models


def _of_kind(kind: str, counts: Mapping[str, Number]) -> _Used:
    registry = _get_registry()
    kinds = {key: kind_of(registry.units[key]) if key in registry.units else TOOLS for key in counts}
    own = [key for key in registry.units if kinds.get(key) == kind] + [
        key for key in sorted(counts) if key not in registry.units and kind == TOOLS
    ]
    found = _Used()
    for key in own:
        is_within = any(other in own for other in _containing(key))
        units = Units(key, _without_other_kinds(key, counts, kinds))
        if units.count > 0:
            (found.within if is_within else found.units).append(units)
    whole = sum(each.count for each in found.units)
    # Reasoning costs as much as other output; modalities and lifetimes differ.
    found.is_mixed = len(found.units) > 1 or any(
        each.count < whole and not each.key.endswith("reasoning_tokens") for each in found.within
    )
    return found


def _without_other_kinds(key: str, counts: Mapping[str, Number], kinds: Mapping[str, str]) -> Number:
    """The count of a unit less what it contains of other kinds: input without what came from the cache."""
    contained = [each for each in counts if kinds[each] != kinds[key] and key in _containing(each)]
    # Audio from the cache is within what came from the cache: it counts once.
    outermost = [each for each in contained if not any(other in contained for other in _containing(each))]
    return counts[key] - sum(counts[each] for each in outermost)


def _containing(key: str) -> frozenset[str]:
    registry = _get_registry()
    return frozenset(registry.ancestor_usage_keys(key)) if key in registry.units else frozenset()


def _with_cache_writes_as_input(used: Mapping[str, _Used], amounts: Mapping[str, Decimal]) -> Mapping[str, _Used]:
    """Count cache writes as input, if they have no amount: without a price of their own they cost as much as input.

    Writes that last an hour would be unpriced without one (`pricing.NEEDS_ITS_OWN_PRICE`): these were free.
    """
    writes = used.get(CACHE_WRITE)
    if writes is None or CACHE_WRITE in amounts or any("1h" in each.key for each in writes.within):
        return used
    inputs = used.get(INPUT, _Used())
    count = sum(each.count for each in [*inputs.units, *writes.units])
    key = inputs.units[0].key if inputs.units else "input_tokens"
    merged = replace(inputs, units=[Units(key, count)], within=[*inputs.within, *writes.units])
    return {INPUT: merged} | {kind: each for kind, each in used.items() if kind not in (INPUT, CACHE_WRITE)}


def _of_columns(row: Row) -> dict[str, _Used]:
    """The token counts of a record that keeps no usage."""
    counts = {
        INPUT: ("input_tokens", row["prompt_tokens"] - row["cached_tokens"] - row["cache_write_tokens"]),
        CACHED: ("cache_read_tokens", row["cached_tokens"]),
        CACHE_WRITE: ("cache_write_tokens", row["cache_write_tokens"]),
        OUTPUT: ("output_tokens", row["completion_tokens"]),
    }
    return {kind: _Used([Units(key, count)]) for kind, (key, count) in counts.items() if count}
