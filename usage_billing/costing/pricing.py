"""What metered usage costs in US dollars: units + model + moment → Decimal, by the price list or by a price of our own.

The price list is genai-prices. What is not known is None with a reason, never zero.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any, Protocol
from urllib.parse import urlsplit

from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider
from genai_prices.units import _get_registry

from usage_billing.costing.metering import Line, Metered
from usage_billing.costing.rate_card import Amounts, ContradictionError, RateCard, rate_card
from usage_billing.models.fields import MONEY_PLACES
from usage_billing.recording.event import Flavour

PRICE_LIST = f"genai-prices {version('genai-prices')}"

STANDARD = {
    "service_tier": {"default", "standard", "auto"},
    "speed": {"standard"},
    "inference_geo": {"global", "not_available"},
}
"""What an answer says of its price that means: the ordinary one."""

US_INFERENCE = Decimal("1.1")
"""Anthropic, Pricing, Data residency: US-only inference costs 1.1 times the price of every kind of token."""

REGIONAL = Decimal("1.1")
"""OpenAI, Pricing: regional processing adds a tenth for models released since March 2026, nothing for older ones."""
REGIONAL_MODELS = re.compile(r"gpt-(5\.[4-9]|[6-9])")
UNREGIONAL_MODELS = re.compile(r"(gpt-(3\.5|4|5($|-|\.[0-3]))|o[134]|text-embedding|whisper|tts|dall-e|chatgpt)")

CODE_SESSION_USD = Decimal("0.03")
"""OpenAI, Pricing, Built-in tools: code interpreter, a session (1 GB container)."""


class Own(Protocol):
    """Prices of our own, asked before the price list: prices in the list's words (`input_mtok`, …) and their name."""

    def find(self, provider: str, model: str, org_id: int, at: datetime) -> tuple[ModelPrice, str] | None: ...


@dataclass(frozen=True)
class Price:
    """`usd` is None when it is not known; `source` names the price, or says `unpriced:` and why.

    `parts`: USD by kind: `input`, `cached`, `cache_write`, `output`, `tools`; those that are not zero.
    """

    usd: Decimal | None
    source: str
    parts: Mapping[str, Decimal] = field(default_factory=dict)


def unpriced(reason: str) -> Price:
    return Price(None, f"unpriced:{reason}")


OUT_OF_BOUNDS = "amount-out-of-bounds"
"""The reason of an amount that no call can cost: a unit was told, or a price entered, that is wrong."""

NOT_CHARGED = Price(Decimal(0), "not-charged:failed")
"""Both providers charge nothing for a request that they answer with an error status."""


class UnknownCostError(Exception):
    """No price is known; the message is the reason, as `price_source` gives it."""


def is_this_machine(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


@functools.lru_cache(maxsize=1024)
def provider_of(origin: str, flavour: Flavour) -> str:
    """Who answers at `origin` (`https://host`): genai-prices' id of the provider, else the host's name.

    An address of this machine is the simulator, or a gateway to the provider whose API it speaks; the record names it.
    """
    host = urlsplit(origin).hostname or ""
    if host.endswith(".api.openai.com"):
        return "openai"  # a regional address
    try:
        provider = get_snapshot().find_provider(None, None, origin)
    except LookupError:
        owner = "anthropic" if flavour == "messages" else "openai"
        return owner if is_this_machine(host) else host
    # The list compares beginnings: `https://api.openai.com.example` would be OpenAI.
    found = re.match(provider.api_pattern, origin)
    return provider.id if found and origin[found.end() : found.end() + 1] in ("", ":", "/") else host


def context_of(said: Mapping[str, str], block: Any) -> dict[str, str]:
    """What an answer says of its price: beside its usage block (OpenAI), or inside it (Anthropic)."""
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
    own: Own | None = None,
) -> Price:
    """What a call cost at the moment `at`, USD; the sum over its lines, each at its own model.

    `context`: what the answer says of its own price (`context_of`). One that neither price list knows leaves the cost
    unknown: the standard price would be a guess. So does a single line without a price: the rest would be too little.
    """
    if metered.problem:
        return unpriced(metered.problem)
    parts: dict[str, Decimal] = {}
    sources: list[str] = []
    try:
        for line in metered.lines:
            name, special = line.model or model, _special(context)
            found = own.find(provider, name, org_id, at) if own is not None else None
            if found is None:
                amounts, source = _of_the_list(provider, name, special, at, line)
            else:
                amounts, source = _of_our_own(found[0], provider, name, special, line), found[1]
            for kind, usd in amounts.items():
                parts[kind] = parts.get(kind, Decimal(0)) + usd
            sources += [source] if source not in sources else []
        rounded = {kind: round(usd, MONEY_PLACES) for kind, usd in parts.items() if usd}
        return Price(round(sum(parts.values(), Decimal(0)), MONEY_PLACES), " + ".join(sources), rounded)
    except UnknownCostError as reason:
        return unpriced(str(reason))
    except ArithmeticError:  # more digits than decimals have here: 28
        return unpriced(OUT_OF_BOUNDS)


def _of_our_own(model_price: ModelPrice, provider: str, name: str, special: dict[str, str], line: Line) -> Amounts:
    """USD by kind at a price of our own. It is that of the ordinary context, and says what it says: 0 is free there.

    Raises `UnknownCostError` for a unit that it does not name: what it leaves out is not given away.
    """
    charge = rate_card(model_price, line.usage)
    priced = charge.prices
    surcharge, variant = _surcharge(provider, name, special)
    if variant.get("search") == "preview":
        del variant["search"]  # a sort of search: the price of ours is for it, or it has none
    if variant and not charge.is_free:
        raise UnknownCostError(_unknown_context(variant))
    for key in sorted(charge.used - priced.keys()):
        general = [priced[each] for each in _get_registry().ancestor_usage_keys(key) if each in priced]
        if not general or (any(general) and NEEDS_ITS_OWN_PRICE.fullmatch(key)):
            raise UnknownCostError(f"no-price-for:{key}")
    return _amounts(charge, line, provider, surcharge)


def _of_the_list(provider_id: str, name: str, special: dict[str, str], at: datetime, line: Line) -> tuple[Amounts, str]:
    if not name:
        raise UnknownCostError("no-model")
    found = _listed(_Same(get_snapshot()), provider_id, name)
    if found is None:
        raise UnknownCostError("unknown-model")
    provider, model = found
    if provider.id == "openai":
        _check_search(name, special, line)
    surcharge, variant = _surcharge(provider.id, name, special)
    if not _is_priced(provider, model, variant):
        raise UnknownCostError(_unknown_context(variant))
    charge = rate_card(model.get_prices(at, variant), line.usage)
    amounts = _amounts(charge, line, provider.id, surcharge)
    _expect_whole_prices(charge, line, amounts)
    return amounts, f"{PRICE_LIST}:{provider.id}/{model.id}"


class _Same:
    """A price list as a key: it is not compared by what is in it. What remembers the key keeps the list."""

    def __init__(self, snapshot: DataSnapshot) -> None:
        self.snapshot = snapshot

    def __hash__(self) -> int:
        return id(self.snapshot)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.snapshot is self.snapshot


@functools.lru_cache(maxsize=4096)
def _listed(in_list: _Same, provider_id: str, name: str) -> tuple[Provider, ModelInfo] | None:
    """The model of that name; to find that there is none, the list tries the patterns of all."""
    try:
        return in_list.snapshot.find_provider_model(name, None, provider_id, None)
    except LookupError:
        return None


def _unknown_context(variant: Mapping[str, str]) -> str:
    return "unknown-context:" + ",".join(f"{key}={value}" for key, value in sorted(variant.items()))


NEEDS_ITS_OWN_PRICE = re.compile(
    r"cache_read_tokens|cache_write_1h_tokens|.*audio_tokens|.*_seconds|.*_searches|.*_characters|.*_executions|.*_pages"
)
"""Units that cost something else than the more general unit: without a price of their own that would be wrong."""


def _expect_whole_prices(charge: RateCard, line: Line, amounts: Amounts) -> None:
    """Raises `UnknownCostError` if the price list lacks a unit that was used, or has only zeros for a paid model."""
    if charge.prices:
        for key in sorted(charge.used - charge.prices.keys()):
            if NEEDS_ITS_OWN_PRICE.fullmatch(key):
                raise UnknownCostError(f"no-price-for:{key}")
    if charge.used and not line.code_sessions and not any(amounts.values()) and not charge.is_free:
        raise UnknownCostError("no-price-for:" + ",".join(sorted(charge.used)))


def _amounts(charge: RateCard, line: Line, provider: str, surcharge: Decimal) -> Amounts:
    """USD by kind of what one line uses; units without a price are left out."""
    try:
        amounts = charge.amounts(line.usage, surcharge)
    except ContradictionError:
        raise UnknownCostError("contradictory-usage") from None
    if line.code_sessions:
        if provider != "openai":
            raise UnknownCostError("no-price-for:code_interpreter_sessions")
        amounts["tools"] = amounts.get("tools", Decimal(0)) + line.code_sessions * CODE_SESSION_USD
    return amounts


def _special(context: Mapping[str, str]) -> dict[str, str]:
    """The part of the context that is not the ordinary price, in genai-prices' words."""
    special = {key: value for key, value in context.items() if value not in STANDARD.get(key, ())}
    if special.get("service_tier") == "batch":
        del special["service_tier"]
        special["processing"] = "batch"
    return special


REASONING_MODELS = re.compile(r"o[134]|gpt-[5-9]")
SEARCH_MODELS = re.compile(r".*-search-")
BLOCK_BILLED_MODELS = re.compile(r"gpt-4(o|\.1)-mini")


def _check_search(model: str, special: dict[str, str], line: Line) -> None:
    """Searches of OpenAI whose price the list does not have (OpenAI, Pricing, Built-in tools: web search).

    The preview tool has another price on models that do not reason; two small models are charged a block of tokens for
    what a search found; the models that always search do not say how often.
    """
    if special.get("search") == "preview" and REASONING_MODELS.match(model):
        del special["search"]  # there it costs what the newer tool does
    if SEARCH_MODELS.match(model):
        raise UnknownCostError("no-price-for:web_searches")
    if vars(line.usage).get("web_searches") and BLOCK_BILLED_MODELS.match(model):
        raise UnknownCostError("no-price-for:web_search_content")


def _surcharge(provider: str, model: str, special: Mapping[str, str]) -> tuple[Decimal, dict[str, str]]:
    """What a place adds to the price of tokens, and the rest of the context; an unknown place stays in it."""
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
    """Whether the price list has a price for every part of the special context."""
    if not special:
        return True
    if not any(model is own for own in provider.models):
        return False  # another provider's price stands in, and its variants are not known to hold here
    known = {
        item
        for variant in model.price_variants or ()
        if variant.when.items() <= special.items()
        for item in variant.when.items()
    }
    return known >= set(special.items())
