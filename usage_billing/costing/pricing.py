"""Prices metered usage in USD: by a price override, by what the host itself charged, or by the corrected price list.

An unknown price is None with a reason, never zero (guarantee 6, docs/guarantees.md). What is known then is a lower
bound, and never part of a total.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from genai_prices import Usage
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices
from genai_prices.units import _get_registry

from usage_billing.costing import corrections, model_names, price_list, reported_costs
from usage_billing.costing.corrections import Correction
from usage_billing.costing.metering import Line, Metered
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.costing.rate_card import Amounts, ContradictionError, amounts, prices_of, used_units
from usage_billing.models.fields import MONEY_PLACES

STANDARD = {
    "service_tier": {"default", "standard", "auto"},
    "speed": {"standard"},
    "inference_geo": {"global", "not_available"},
    "location": {"global"},
}
"""Values in an answer that stand for the standard price."""

IN_BLOCK = ("service_tier", "speed", "inference_geo")
"""Parts of the context that Anthropic tells inside the usage block."""

ONLY_ADDING = {"search", "container", "tools", "images", "region", "location"}
"""Parts of a context that can only raise the price: without them, the price is a lower bound."""

US_INFERENCE = Decimal("1.1")
"""Anthropic, Pricing, Data residency: US-only inference costs 1.1 times the price of every kind of token."""

REGIONAL = Decimal("1.1")
"""OpenAI, Pricing: regional processing adds a tenth for models released since March 2026, nothing for older ones."""
REGIONAL_MODELS = re.compile(r"gpt-(5\.[4-9]|[6-9])")
UNREGIONAL_MODELS = re.compile(r"(gpt-(3\.5|4|5($|-|\.[0-3]))|o[134]|text-embedding|whisper|tts|dall-e|chatgpt)")

LOCATED = Decimal("1.1")
"""Google Cloud, regional and multi-region endpoints: a tenth more than the global one, whose price the list has.

Anthropic, Pricing, Cloud platform pricing: from Claude Sonnet 4.5, Haiku 4.5 and Opus 4.5 on. Google Cloud, Agent
Platform pricing: from Gemini 3 on, since 1 July 2026.
"""
UNLOCATED_MODELS = re.compile(r"claude-(3|(opus|sonnet)-4($|-[01]($|\D)|@|-2025)|4-(opus|sonnet))|gemini-[12]\b")
LOCATED_MODELS = re.compile(r"claude-|gemini-[3-9]")
GEMINI_LOCATED_SINCE = datetime(2026, 7, 1, tzinfo=UTC)

CONTAINER_USD = {"1g": Decimal("0.03"), "4g": Decimal("0.12"), "16g": Decimal("0.48"), "64g": Decimal("1.92")}
"""OpenAI, Pricing, Built-in tools, Containers (hosted shell, code interpreter): memory → USD a session of 20 minutes.

OpenAI, API changelog, 2 June 2026: eligible sessions are billed by the minute, from 5 minutes on. No answer tells how
long a session lasted or whether it is eligible: the price of the whole session stands, the most that it can cost.
"""
DECISIONS = {"openai": "openai-decisions"}
"""A provider → the one that genai-prices keeps for its decisions, whose models have other prices."""

CONTAINERS = "openai containers"
"""The price source of container sessions."""


@dataclass(frozen=True)
class Price:
    """The cost of a call: `usd` is None when unknown; `source` names the price, or says `unpriced:` and why.

    `parts`: USD by kind (`input`, `cached`, `cache_write`, `output`, `tools`), without zeros; the known ones if the
    cost is unknown. `known_usd`: their sum then, a lower bound of the cost; None if the cost or nothing is known.
    """

    usd: Decimal | None
    source: str
    parts: Mapping[str, Decimal] = field(default_factory=dict)
    known_usd: Decimal | None = None


def unpriced(reason: str) -> Price:
    return Price(None, f"unpriced:{reason}")


OUT_OF_BOUNDS = "amount-out-of-bounds"
"""The reason for an amount that no call can cost: a reported count or a price override is wrong."""

NOT_CHARGED = Price(Decimal(0), "not-charged:failed")
"""OpenAI and Anthropic charge nothing for a request that they answer with an error status."""


STOPPED = Price(Decimal(0), "not-charged:refused")
"""A budget stopped the call before it was sent."""
REFUSED = Price(Decimal(0), "not-charged:refusal")
"""Anthropic, Refusals and fallback: nothing is charged for this refusal (`refusals.free_turns`)."""


class UnknownCostError(Exception):
    """Raised when the price of a line is not known in full.

    The message is the reason that `price_source` gives. known: what is known of the line, USD by kind.
    """

    def __init__(self, reason: str, known: Amounts | None = None) -> None:
        super().__init__(reason)
        self.known = known or {}


def context_of(said: Mapping[str, str], block: Any) -> dict[str, str]:
    """Return what an answer says about its price: beside its usage block (OpenAI), or inside it (Anthropic)."""
    inside = block if isinstance(block, dict) else {}
    return {**said, **{name: inside[name] for name in IN_BLOCK if isinstance(inside.get(name), str)}}


def price(
    provider: str,
    model: str,
    metered: Metered,
    context: Mapping[str, str],
    *,
    org_id: int = 0,
    at: datetime,
    overrides: PriceOverrides | None = None,
    aliases: Sequence[str] = (),
    usage: Mapping[str, Any] | None = None,
) -> Price:
    """Price a call made at the moment `at`: the sum over its lines, each at the price of its own model.

    `context`: what the answer says about its price (`context_of`). aliases: other names under which a price override
    may know the call's own model (its deployment). usage: the provider's block, which may tell what the host charged.

    The cost is unknown if the price list does not know the context (the standard price would be a guess), or if one
    line has no price (the rest would be too little).
    """
    find = _Finder(provider, model, aliases, org_id, at, overrides)
    try:
        if not any(find.override(line) for line in metered.lines):
            charge = reported_costs.charge(provider, usage or {})
            if charge is not None and (charge.usd or metered.lines):
                return _charged(charge, provider)
        return _added_up(find, metered, _special(context))
    except ArithmeticError:  # more digits than the decimal context has: 28
        return unpriced(OUT_OF_BOUNDS)


def _charged(charge: reported_costs.Charge, provider: str) -> Price:
    """Return the price of a call whose host tells what it charged."""
    usd = round(charge.usd, MONEY_PLACES)
    if charge.is_whole:
        return Price(usd, f"reported:{provider}")
    return Price(None, "unpriced:charged-to-own-key", known_usd=usd or None)


def _added_up(find: _Finder, metered: Metered, special: dict[str, str]) -> Price:
    """Return the sum over the lines; if one is not known in full, the sum of what is known is a lower bound."""
    parts: dict[str, Decimal] = {}
    sources: list[str] = []
    problem = metered.problem
    for line in metered.lines:
        try:
            of_line, source = _container_price(line, find.provider) if line.containers else find.price(line, special)
            sources += [source] if source not in sources else []
        except UnknownCostError as unknown:
            problem, of_line = problem or str(unknown), unknown.known
        for kind, usd in of_line.items():
            parts[kind] = parts.get(kind, Decimal(0)) + usd
    rounded = {kind: round(usd, MONEY_PLACES) for kind, usd in parts.items() if usd}
    total = round(sum(parts.values(), Decimal(0)), MONEY_PLACES)
    if problem:
        return Price(None, f"unpriced:{problem}", rounded, total or None)
    return Price(total, " + ".join(sources), rounded)


class _Finder(NamedTuple):
    """Finds the price override of a line, for a call of one organisation at one moment."""

    provider: str
    model: str
    aliases: Sequence[str]
    org_id: int
    at: datetime
    overrides: PriceOverrides | None

    def override(self, line: Line) -> tuple[ModelPrice, str] | None:
        """Return the price and its name. A gateway's name for a model (`openai/gpt-4.1`) stands for the model too."""
        if not self.overrides:
            return None
        for name in (line.model,) if line.model else (*self.aliases, self.model):
            for provider, known_as in model_names.candidates(self.provider, name):
                if (found := self.overrides.find(provider, known_as, self.org_id, self.at)) is not None:
                    return found
        return None

    def price(self, line: Line, special: dict[str, str]) -> tuple[Amounts, str]:
        """Return USD by kind for one line, and the name of its price. Raises `UnknownCostError`."""
        name = line.model or self.model
        if (override := self.override(line)) is not None:
            return _override_price(override[0], self.provider, name, special, self.at, line), override[1]
        return _list_price(self.provider, name, special, self.at, line)


def _override_price(
    model_price: ModelPrice, provider: str, name: str, special: dict[str, str], at: datetime, line: Line
) -> Amounts:
    """Return USD by kind at a price override. It prices the standard context; a price of 0 means free.

    Raises `UnknownCostError` for a unit that the override does not price.
    """
    prices = prices_of(model_price)
    factor, variant = _token_factor(provider, name, special, at)
    if variant.get("search") == "preview":
        del variant["search"]  # a kind of search: the override prices it, or has no price for searches
    variant.pop("location", None)  # a price override holds wherever the endpoint is
    if variant and any(prices.values()):
        raise UnknownCostError(_unknown_context(variant))
    missing = []
    for key in sorted(used_units(line.usage) - prices.keys()):
        general = [prices[each] for each in _get_registry().ancestor_usage_keys(key) if each in prices]
        if not general or (any(general) and NEEDS_ITS_OWN_PRICE.fullmatch(key)):
            missing.append(key)
    if missing:
        raise UnknownCostError(f"no-price-for:{missing[0]}", _known_amounts(prices, line, missing, factor))
    return _amounts(prices, line, factor)


@dataclass(frozen=True, eq=False)
class _Listed:
    """The list's prices of a model in a context on a day, corrected; all that they do not depend on the counts.

    unknown: the part of the context that no price is known for. source: the name of the list's own price. step: the
    prompt from which on a higher price holds; None: there is none. always_searches, bills_blocks: of the model.
    """

    owner: str
    prices: dict[str, Any]
    unknown: dict[str, str]
    factor: Decimal
    correction: Correction | None
    source: str
    step: int | None
    always_searches: bool
    bills_blocks: bool


def _list_price(provider_id: str, name: str, special: dict[str, str], at: datetime, line: Line) -> tuple[Amounts, str]:
    """Return USD by kind at the price list's price, corrected, and that price's name. Raises `UnknownCostError`."""
    if not name:
        raise UnknownCostError("no-model")
    is_preview = special.get("search") == "preview"
    listed = _listed_at(provider_id, name, special, at)
    owner, prices, unknown, factor = listed.owner, listed.prices, listed.unknown, listed.factor
    if unknown and not unknown.keys() <= ONLY_ADDING:
        raise UnknownCostError(_unknown_context(unknown))
    source, correction = listed.source, listed.correction
    if correction is not None and (not source or _is_used(correction, line)):
        source = f"{source} + correction:{correction.id}".removeprefix(" + ")
    # Models that always search do not report how often (OpenAI, Pricing, Tools): say so first.
    reasons = ["no-price-for:web_searches"] if listed.always_searches else []
    reasons += [_unknown_context(unknown)] if unknown else []
    prices, is_loop = _per_request(prices, listed.step, line)
    reasons += ["long-context-in-a-loop"] if is_loop else []
    has_blocks = listed.bills_blocks and not is_preview
    missing = _missing(prices, line, has_blocks=has_blocks, is_unknown_search="search" in unknown)
    reasons += [f"no-price-for:{UNIT_NAMES.get((owner, key), key)}" for key in missing]
    if reasons:
        raise UnknownCostError(reasons[0], _known_amounts(prices, line, missing, factor))
    of_line = _amounts(prices, line, factor)
    if not any(of_line.values()) and (used := used_units(line.usage)) and any(prices.values()):
        raise UnknownCostError("no-price-for:" + ",".join(sorted(used)))
    return of_line, source


def _listed_at(provider_id: str, name: str, special: dict[str, str], at: datetime) -> _Listed:
    """Return the list's prices of a model at a moment. Raises `UnknownCostError`.

    They are looked up once for each day of calls: a call's cost took a fifth more CPU when each call looked them up.
    """
    day = at.astimezone(UTC).date()
    listed = _of_day(price_list.generation(), provider_id, name, tuple(special.items()), day)
    return listed or _looked_up(provider_id, name, special, at, model_names.find(provider_id, name))


@functools.lru_cache(maxsize=4096)
def _of_day(
    _generation: int, provider_id: str, name: str, special: tuple[tuple[str, str], ...], day: date
) -> _Listed | None:
    """Return the prices of a day; None if they change within days. All else here changes at midnight UTC at most."""
    found = model_names.find(provider_id, name)
    if found is not None and price_list.changes_within_days(found[1]):
        return None
    return _looked_up(provider_id, name, dict(special), datetime(day.year, day.month, day.day, tzinfo=UTC), found)


def _looked_up(
    provider_id: str, name: str, special: dict[str, str], at: datetime, found: tuple[Provider, ModelInfo] | None
) -> _Listed:
    vendored, name = name, name.rpartition("/")[2]
    if found is not None:
        owner, model_id = found[0].id, found[1].id
        factor, variant = _context_at(owner, name, special, at)
        correction = corrections.find(owner, model_id, variant, at)
    else:
        owner, model_id, factor, variant, correction = _only_corrected(provider_id, vendored, special, at)
    prices, unknown = _prices(found, variant, at, correction)
    source = f"{price_list.name_of(price_list.get_snapshot())}:{owner}/{model_id}" if found else ""
    return _Listed(
        owner=owner,
        prices=prices,
        unknown=unknown,
        factor=factor,
        correction=correction,
        source=source,
        step=min(
            (tier.start for price in prices.values() if isinstance(price, TieredPrices) for tier in price.tiers),
            default=None,
        ),
        always_searches=owner == "openai" and SEARCH_MODELS.match(name) is not None,
        bills_blocks=owner == "openai" and BLOCK_BILLED_MODELS.match(name) is not None,
    )


def _context_at(owner: str, name: str, special: dict[str, str], at: datetime) -> tuple[Decimal, dict[str, str]]:
    """Return the factor on token prices, and the context that needs prices of its own."""
    factor, variant = _token_factor(owner, name, special, at)
    if owner == "openai":
        _drop_preview(name, variant)
    return factor, variant


def _only_corrected(
    provider_id: str, name: str, special: dict[str, str], at: datetime
) -> tuple[str, str, Decimal, dict[str, str], Correction]:
    """Return the same of a model that the list lacks and a correction has. Raises `UnknownCostError`."""
    for owner, known_as in model_names.candidates(provider_id, name):
        factor, variant = _context_at(owner, known_as, special, at)
        correction = corrections.find(owner, _undated(known_as), variant, at)
        if correction is not None and correction.prices:
            return owner, known_as, factor, variant, correction
    raise UnknownCostError("unknown-model")


def _is_used(correction: Correction, line: Line) -> bool:
    """Return whether one of the corrected prices is for a unit of this line."""
    keys = {_get_registry().unit_for_price_key(key).usage_key for key in correction.prices}
    return correction.factor is not None or not keys.isdisjoint(used_units(line.usage))


def _undated(name: str) -> str:
    """Return a name without the date of its snapshot."""
    return re.sub(r"[-@](\d{8}|\d{4}-\d\d-\d\d)$", "", name.lower())


def _prices(
    found: tuple[Provider, ModelInfo] | None, variant: dict[str, str], at: datetime, correction: Correction | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return `rate_card.Prices` of a model in a context, and the part of the context that no price is known for."""
    prices, unknown = {}, dict(variant)
    if found is not None:
        provider, model = found
        is_known = _is_priced(provider, model, variant, at)
        prices = prices_of(model.get_prices(at, variant if is_known else None))
        unknown = {} if is_known else unknown
    if correction is not None:
        registry, unknown = _get_registry(), {}
        if correction.factor is not None:
            prices = {key: _times(price, correction.factor, registry.units[key]) for key, price in prices.items()}
        prices |= {registry.unit_for_price_key(key).usage_key: usd for key, usd in correction.prices.items()}
    return prices, unknown


def _times(price: Decimal | TieredPrices, factor: Decimal, unit: Any) -> Decimal | TieredPrices:
    """Return the price of a kind of token times the factor; any other unit keeps its price."""
    if unit.dimensions.get("family") != "tokens":
        return price
    if isinstance(price, TieredPrices):
        tiers = [replace(tier, price=tier.price * factor) for tier in price.tiers]
        return TieredPrices(base=price.base * factor, tiers=tiers)
    return price * factor


def _per_request(prices: dict[str, Any], step: int | None, line: Line) -> tuple[dict[str, Any], bool]:
    """Return the prices that hold for each request of a loop of server tools, and whether that remains unknown.

    A step for long prompts counts for each request (Anthropic, Pricing, Long context pricing), but a loop tells only
    the sum over its requests. Each request repeats the one before and adds to it, so that the longest has at most about
    twice their mean: below the step, no request has reached it. Beyond, the lower price is a lower bound.
    """
    prompt = vars(line.usage).get("input_tokens", 0)
    if line.requests == 1 or step is None or prompt <= step:
        return prices, False
    base = {key: price.base if isinstance(price, TieredPrices) else price for key, price in prices.items()}
    return base, 2 * prompt > step * line.requests


def _unknown_context(variant: Mapping[str, str]) -> str:
    return "unknown-context:" + ",".join(f"{key}={value}" for key, value in sorted(variant.items()))


NEEDS_ITS_OWN_PRICE = re.compile(
    r"cache_read_tokens|cache_write_1h_tokens|.*audio_tokens|.*_seconds|.*_searches|.*_characters|.*_executions|.*_pages"
)
"""Units that cost more or less than the unit that contains them: without a price of their own, theirs is unknown."""

UNIT_NAMES = {("openai", "cache_write_1h_tokens"): "cache_write_12h_tokens"}
"""Provider and unit of the list → the provider's own name for it, where the list's name would mislead."""

SEARCH_MODELS = re.compile(r".*-search-")
BLOCK_BILLED_MODELS = re.compile(r"gpt-4(o|\.1)-mini")
SEARCH_BLOCK = 8000
"""OpenAI, Pricing, Tools: for gpt-4o-mini and gpt-4.1-mini, what a search found is billed as a block of this many input
tokens. The answer's usage has it already."""


def _missing(prices: Mapping[str, Any], line: Line, *, has_blocks: bool, is_unknown_search: bool) -> list[str]:
    """Return the units of a line whose price is not known."""
    used = used_units(line.usage)
    missing = [key for key in sorted(used - prices.keys()) if prices and NEEDS_ITS_OWN_PRICE.fullmatch(key)]
    if has_blocks and vars(line.usage).get("input_tokens", 0) < line.searches * SEARCH_BLOCK:
        missing.append("web_search_content")  # the blocks are not within the counts after all
    searches = vars(line.usage).get("web_searches", 0)
    if is_unknown_search and searches and "web_searches" not in missing:
        missing.append("web_searches")
    return missing


def _known_amounts(prices: Mapping[str, Any], line: Line, missing: Sequence[str], factor: Decimal) -> Amounts:
    """Return USD by kind of a line without the units that have no price: a lower bound."""
    rest = dict(vars(line.usage))
    for key in missing:
        count = rest.pop(key, 0)
        for containing in _get_registry().ancestor_usage_keys(key) if key in _get_registry().units else ():
            if containing in rest:
                rest[containing] -= count
    try:
        return _amounts(prices, msgspec.structs.replace(line, usage=Usage(**rest)), factor)
    except (UnknownCostError, ValueError):
        return {}


def _amounts(prices: Mapping[str, Any], line: Line, token_factor: Decimal) -> Amounts:
    """Return USD by kind of what one line uses; units without a price are left out."""
    try:
        return amounts(prices, line.usage, token_factor)
    except ContradictionError:
        raise UnknownCostError("contradictory-usage") from None


def _container_price(line: Line, provider: str) -> tuple[Amounts, str]:
    """Return USD for sessions of containers, each by its memory, and their price's name. Raises `UnknownCostError`."""
    if provider != "openai" or not {*line.containers} <= CONTAINER_USD.keys():
        raise UnknownCostError("no-price-for:container")
    return {"tools": sum((CONTAINER_USD[memory] for memory in line.containers), Decimal(0))}, CONTAINERS


def _special(context: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the context that departs from the standard price, in genai-prices' words."""
    special = {key: value for key, value in context.items() if value not in STANDARD.get(key, ())}
    if special.get("service_tier") == "batch":
        del special["service_tier"]
        special["processing"] = "batch"
    return special


REASONING_MODELS = re.compile(r"o[134]|gpt-[5-9]")


def _drop_preview(model: str, variant: dict[str, str]) -> None:
    """Drop the preview search of a model that reasons: it costs the same as the newer tool (OpenAI, Pricing, Tools)."""
    if variant.get("search") == "preview" and REASONING_MODELS.match(model):
        del variant["search"]


def _token_factor(
    provider: str, model: str, special: Mapping[str, str], at: datetime
) -> tuple[Decimal, dict[str, str]]:
    """Return the factor that a place puts on token prices, and the rest of the context; an unknown one stays in it."""
    rest, factor = dict(special), Decimal(1)
    if provider == "anthropic" and rest.get("inference_geo") == "us":
        del rest["inference_geo"]
        factor *= US_INFERENCE
    if provider.startswith("openai") and "region" in rest:
        if REGIONAL_MODELS.match(model):
            factor *= REGIONAL
            del rest["region"]
        elif UNREGIONAL_MODELS.match(model):
            del rest["region"]
    if "location" in rest and provider != "google":
        del rest["location"]
    elif "location" in rest:
        name = model.lower()
        is_early = "gemini-" in name and at < GEMINI_LOCATED_SINCE
        if is_early or UNLOCATED_MODELS.search(name):
            del rest["location"]
        elif LOCATED_MODELS.search(name):
            factor *= LOCATED
            del rest["location"]
    return factor, rest


def _is_priced(provider: Provider, model: ModelInfo, special: Mapping[str, str], at: datetime) -> bool:
    """Return whether the price list has a price, at that moment, for every part of the special context."""
    if not special:
        return True
    if not any(model is own for own in provider.models):
        return False  # the list takes another provider's price, whose variants may not apply here
    known = {
        item
        for variant in model.price_variants or ()
        if variant.when.items() <= special.items() and (variant.constraint is None or variant.constraint.active(at))
        for item in variant.when.items()
    }
    return known >= set(special.items())
