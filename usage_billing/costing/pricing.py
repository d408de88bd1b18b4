"""Prices metered usage in USD, by the price list (genai-prices) or by a price override.

An unknown price is None with a reason, never zero (guarantee 6, docs/guarantees.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from genai_prices.types import ModelInfo, ModelPrice, Provider
from genai_prices.units import _get_registry

from usage_billing.costing import price_list
from usage_billing.costing.metering import Line, Metered
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.costing.price_list import get_snapshot
from usage_billing.costing.rate_card import Amounts, ContradictionError, Prices, amounts, prices_of, used_units
from usage_billing.models.fields import MONEY_PLACES
from usage_billing.recording.event import Flavour

STANDARD = {
    "service_tier": {"default", "standard", "auto"},
    "speed": {"standard"},
    "inference_geo": {"global", "not_available"},
}
"""Values in an answer that stand for the standard price."""

US_INFERENCE = Decimal("1.1")
"""Anthropic, Pricing, Data residency: US-only inference costs 1.1 times the price of every kind of token."""

REGIONAL = Decimal("1.1")
"""OpenAI, Pricing: regional processing adds a tenth for models released since March 2026, nothing for older ones."""
REGIONAL_MODELS = re.compile(r"gpt-(5\.[4-9]|[6-9])")
UNREGIONAL_MODELS = re.compile(r"(gpt-(3\.5|4|5($|-|\.[0-3]))|o[134]|text-embedding|whisper|tts|dall-e|chatgpt)")

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

    `parts`: USD by kind (`input`, `cached`, `cache_write`, `output`, `tools`), without zeros.
    """

    usd: Decimal | None
    source: str
    parts: Mapping[str, Decimal] = field(default_factory=dict)


def unpriced(reason: str) -> Price:
    return Price(None, f"unpriced:{reason}")


OUT_OF_BOUNDS = "amount-out-of-bounds"
"""The reason for an amount that no call can cost: a reported count or a price override is wrong."""

NOT_CHARGED = Price(Decimal(0), "not-charged:failed")
"""OpenAI and Anthropic charge nothing for a request that they answer with an error status."""

REFUSED = Price(Decimal(0), "not-charged:refusal")
"""Anthropic, Refusals and fallback: nothing is charged for this refusal (`refusals.free_turns`)."""


class UnknownCostError(Exception):
    """Raised when no price is known; the message is the reason that `price_source` gives."""


def is_this_machine(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


def provider_of(origin: str, flavour: Flavour) -> str:
    """Return genai-prices' id of the provider at `origin` (`https://host`), else the host's name.

    An address on this machine is the simulator, or a gateway to the provider whose API it speaks; the record keeps
    the host.
    """
    host = urlsplit(origin).hostname or ""
    if host.endswith(".api.openai.com"):
        return "openai"  # a regional address
    try:
        provider = get_snapshot().find_provider(None, None, origin)
    except LookupError:
        owner = "anthropic" if flavour == "messages" else "openai"
        return owner if is_this_machine(host) else host
    # The list matches prefixes: `https://api.openai.com.example` would be OpenAI.
    found = re.match(provider.api_pattern, origin)
    return provider.id if found and origin[found.end() : found.end() + 1] in ("", ":", "/") else host


def context_of(said: Mapping[str, str], block: Any) -> dict[str, str]:
    """Return what an answer says about its price: beside its usage block (OpenAI), or inside it (Anthropic)."""
    inside = block if isinstance(block, Mapping) else {}
    return {**said, **{name: inside[name] for name in STANDARD if isinstance(inside.get(name), str)}}


def price(
    provider: str,
    model: str,
    metered: Metered,
    context: Mapping[str, str],
    *,
    org_id: int = 0,
    at: datetime,
    overrides: PriceOverrides | None = None,
) -> Price:
    """Price a call made at the moment `at`: the sum over its lines, each at the price of its own model.

    `context`: what the answer says about its price (`context_of`). The cost is unknown if the price list does not
    know the context (the standard price would be a guess), or if one line has no price (the rest would be too little).
    """
    if metered.problem:
        return unpriced(metered.problem)
    parts: dict[str, Decimal] = {}
    sources: list[str] = []
    try:
        for line in metered.lines:
            if line.containers:
                _add_containers(line.containers, provider, parts, sources)
            if line.containers and not vars(line.usage):
                continue
            name, special = line.model or model, _special(context)
            override = overrides.find(provider, name, org_id, at) if overrides is not None else None
            if override is None:
                of_line, source = _list_price(provider, name, special, at, line)
            else:
                of_line, source = _override_price(override[0], provider, name, special, line), override[1]
            for kind, usd in of_line.items():
                parts[kind] = parts.get(kind, Decimal(0)) + usd
            sources += [source] if source not in sources else []
        rounded = {kind: round(usd, MONEY_PLACES) for kind, usd in parts.items() if usd}
        return Price(round(sum(parts.values(), Decimal(0)), MONEY_PLACES), " + ".join(sources), rounded)
    except UnknownCostError as reason:
        return unpriced(str(reason))
    except ArithmeticError:  # more digits than the decimal context has: 28
        return unpriced(OUT_OF_BOUNDS)


def _override_price(model_price: ModelPrice, provider: str, name: str, special: dict[str, str], line: Line) -> Amounts:
    """Return USD by kind at a price override. It prices the standard context; a price of 0 means free.

    Raises `UnknownCostError` for a unit that the override does not price.
    """
    prices = prices_of(model_price)
    factor, variant = _token_factor(provider, name, special)
    if variant.get("search") == "preview":
        del variant["search"]  # a kind of search: the override prices it, or has no price for searches
    if variant and any(prices.values()):
        raise UnknownCostError(_unknown_context(variant))
    for key in sorted(used_units(line.usage) - prices.keys()):
        general = [prices[each] for each in _get_registry().ancestor_usage_keys(key) if each in prices]
        if not general or (any(general) and NEEDS_ITS_OWN_PRICE.fullmatch(key)):
            raise UnknownCostError(f"no-price-for:{key}")
    return _amounts(prices, line, factor)


def _list_price(provider_id: str, name: str, special: dict[str, str], at: datetime, line: Line) -> tuple[Amounts, str]:
    """Return USD by kind at the price list's price, and that price's name. Raises `UnknownCostError`."""
    if not name:
        raise UnknownCostError("no-model")
    try:
        snapshot = get_snapshot()
        provider, model = snapshot.find_provider_model(name, None, provider_id, None)
    except LookupError:
        raise UnknownCostError("unknown-model") from None
    if provider.id == "openai":
        _check_search(name, special, line)
    factor, variant = _token_factor(provider.id, name, special)
    if not _is_priced(provider, model, variant):
        raise UnknownCostError(_unknown_context(variant))
    prices = prices_of(model.get_prices(at, variant))
    of_line = _amounts(prices, line, factor)
    _expect_whole_prices(prices, line, of_line)
    return of_line, f"{price_list.name_of(snapshot)}:{provider.id}/{model.id}"


def _unknown_context(variant: Mapping[str, str]) -> str:
    return "unknown-context:" + ",".join(f"{key}={value}" for key, value in sorted(variant.items()))


NEEDS_ITS_OWN_PRICE = re.compile(
    r"cache_read_tokens|cache_write_1h_tokens|.*audio_tokens|.*_seconds|.*_searches|.*_characters|.*_executions|.*_pages"
)
"""Units that cost more or less than the unit that contains them: without a price of their own, theirs is unknown."""


def _expect_whole_prices(prices: Prices, line: Line, of_line: Amounts) -> None:
    """Raise `UnknownCostError` if the price list lacks a unit that was used, or has only zeros for a paid model."""
    used = used_units(line.usage)
    if prices:
        for key in sorted(used - prices.keys()):
            if NEEDS_ITS_OWN_PRICE.fullmatch(key):
                raise UnknownCostError(f"no-price-for:{key}")
    if used and not any(of_line.values()) and any(prices.values()):
        raise UnknownCostError("no-price-for:" + ",".join(sorted(used)))


def _amounts(prices: Prices, line: Line, token_factor: Decimal) -> Amounts:
    """Return USD by kind of what one line uses; units without a price are left out."""
    try:
        return amounts(prices, line.usage, token_factor)
    except ContradictionError:
        raise UnknownCostError("contradictory-usage") from None


def _add_containers(memories: Sequence[str], provider: str, parts: Amounts, sources: list[str]) -> None:
    """Add the sessions of containers, each by its memory. Raises `UnknownCostError`."""
    if provider != "openai" or not {*memories} <= CONTAINER_USD.keys():
        raise UnknownCostError("no-price-for:container")
    parts["tools"] = parts.get("tools", Decimal(0)) + sum(CONTAINER_USD[memory] for memory in memories)
    sources += [CONTAINERS] if CONTAINERS not in sources else []


def _special(context: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the context that departs from the standard price, in genai-prices' words."""
    special = {key: value for key, value in context.items() if value not in STANDARD.get(key, ())}
    if special.get("service_tier") == "batch":
        del special["service_tier"]
        special["processing"] = "batch"
    return special


REASONING_MODELS = re.compile(r"o[134]|gpt-[5-9]")
SEARCH_MODELS = re.compile(r".*-search-")
BLOCK_BILLED_MODELS = re.compile(r"gpt-4(o|\.1)-mini")


def _check_search(model: str, special: dict[str, str], line: Line) -> None:
    """Raise `UnknownCostError` for OpenAI searches that the price list cannot price.

    OpenAI, Pricing, Built-in tools, web search: the preview tool has another price on models that do not reason; two
    small models are charged a block of tokens for what a search found; models that always search do not report how
    often.
    """
    if special.get("search") == "preview" and REASONING_MODELS.match(model):
        del special["search"]  # costs the same as the newer tool
    if SEARCH_MODELS.match(model):
        raise UnknownCostError("no-price-for:web_searches")
    if vars(line.usage).get("web_searches") and BLOCK_BILLED_MODELS.match(model):
        raise UnknownCostError("no-price-for:web_search_content")


def _token_factor(provider: str, model: str, special: Mapping[str, str]) -> tuple[Decimal, dict[str, str]]:
    """Return the regional factor on token prices, and the rest of the context; an unknown region stays in it."""
    rest, factor = dict(special), Decimal(1)
    if provider == "anthropic" and rest.get("inference_geo") == "us":
        del rest["inference_geo"]
        factor *= US_INFERENCE
    if provider == "openai" and "region" in rest:
        if REGIONAL_MODELS.match(model):
            factor *= REGIONAL
            del rest["region"]
        elif UNREGIONAL_MODELS.match(model):
            del rest["region"]
    return factor, rest


def _is_priced(provider: Provider, model: ModelInfo, special: Mapping[str, str]) -> bool:
    """Return whether the price list has a price for every part of the special context."""
    if not special:
        return True
    if not any(model is own for own in provider.models):
        return False  # the list takes another provider's price, whose variants may not apply here
    known = {
        item
        for variant in model.price_variants or ()
        if variant.when.items() <= special.items()
        for item in variant.when.items()
    }
    return known >= set(special.items())
