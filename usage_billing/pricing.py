"""What a call's usage cost in US dollars: the provider's usage block + model + moment → Decimal, over genai-prices.

What is not known is None with a reason, never zero.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import msgspec
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, Provider

from usage_billing.models.fields import MONEY_PLACES
from usage_billing.recording.event import Flavour

PRICE_LIST = f"genai-prices {version('genai-prices')}"
EXTRACTORS: dict[Flavour, tuple[str, str]] = {
    "chat": ("openai", "chat"),
    "responses": ("openai", "responses"),
    "embeddings": ("openai", "embeddings"),
    "images": ("openai", "images"),
    "messages": ("anthropic", "default"),
}
"""API flavour → who designed it, and that provider's extractor in genai-prices which reads its usage block."""

STANDARD = {
    "service_tier": {"default", "standard", "auto"},
    "speed": {"standard"},
    "inference_geo": {"global", "not_available"},
}
"""What an answer says of its price that means: the ordinary one."""


@dataclass(frozen=True)
class Tokens:
    """Token counts as the ledger keeps them: `prompt` includes cached and cache-written, `completion` reasoning."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Price:
    """`usd` is None when it is not known; `source` names the price, or says `unpriced:` and why."""

    usd: Decimal | None
    source: str


def unpriced(reason: str) -> Price:
    return Price(None, f"unpriced:{reason}")


NOT_CHARGED = Price(Decimal(0), "not-charged:failed")
"""Both providers charge nothing for a request that they answer with an error status."""


@functools.lru_cache(maxsize=1024)
def provider_of(origin: str, flavour: Flavour) -> str:
    """Who answers at `origin` (`https://host`): genai-prices' id of the provider, else the host's name.

    An address of this machine is the simulator or a gateway to the provider whose API it speaks.
    """
    try:
        return get_snapshot().find_provider(None, None, origin).id
    except LookupError:
        host = urlsplit(origin).hostname or ""
        return EXTRACTORS[flavour][0] if host in {"localhost", "::1"} or host.startswith("127.") else host


def decode_usage(raw: msgspec.Raw) -> Any:
    """The provider's usage block of an event; None if there is none, or none that is JSON."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None


def compact(block: Any) -> Any:
    """The usage block without the units that were not used: zeros, nulls and what is left empty by that."""
    if not isinstance(block, Mapping):
        return {} if block is None else block
    kept = {key: compact(value) if isinstance(value, Mapping) else value for key, value in block.items()}
    return {key: value for key, value in kept.items() if value not in (None, 0, {}, [])}


def read_usage(flavour: Flavour, usage: Any) -> Usage | None:
    """The units of a provider's usage block, or None where it has none that can be read."""
    provider_id, extractor = EXTRACTORS[flavour]
    try:
        return _provider(provider_id).extract_usage({"usage": usage}, api_flavor=extractor)[1]
    except ValueError:
        return None


def context_of(said: Mapping[str, str], block: Any) -> dict[str, str]:
    """What an answer says of its price: beside its usage block (OpenAI), or inside it (Anthropic)."""
    inside = block if isinstance(block, Mapping) else {}
    return {**said, **{name: inside[name] for name in STANDARD if isinstance(inside.get(name), str)}}


def tokens_of(usage: Usage | None, block: Any) -> Tokens:
    """The ledger's token counts of `usage`; where that could not be read, whatever `block` still says plainly."""
    if usage is None:
        fields = block if isinstance(block, Mapping) else {}
        return Tokens(
            prompt=_count(fields.get("prompt_tokens", fields.get("input_tokens"))),
            completion=_count(fields.get("completion_tokens", fields.get("output_tokens"))),
        )
    return Tokens(
        prompt=_count(usage.reported_value("input_tokens")),
        completion=_count(usage.reported_value("output_tokens")),
        cached=_count(usage.reported_value("cache_read_tokens")),
        cache_write=_count(usage.reported_value("cache_write_tokens")),
        reasoning=_count(usage.reported_value("output_reasoning_tokens")),
    )


def price(provider_id: str, model_name: str, usage: Usage | None, context: Mapping[str, str], at: datetime) -> Price:
    """What `usage` of a model cost at the moment `at`, USD.

    `context`: what the answer says of its own price (`context_of`). One that the price list does not know
    leaves the cost unknown: the standard price would be a guess.
    """
    if usage is None:
        return unpriced("no-usage")
    if not model_name:
        return unpriced("no-model")
    try:
        provider, model = get_snapshot().find_provider_model(model_name, None, provider_id, None)
    except LookupError:
        return unpriced("unknown-model")
    special = _special(context)
    if not _is_priced(provider, model, special):
        return unpriced("unknown-context:" + ",".join(f"{key}={value}" for key, value in sorted(special.items())))
    try:
        calculation = model.calc_price(usage, provider, genai_request_timestamp=at, price_context=special)
    except ValueError:
        return unpriced("contradictory-usage")
    if calculation.total_price == 0 and _is_paid(calculation.model_price) and any(vars(usage).values()):
        return unpriced("no-price-for-this-unit")
    return Price(round(calculation.total_price, MONEY_PLACES), f"{PRICE_LIST}:{provider.id}/{model.id}")


@functools.cache
def _provider(provider_id: str) -> Provider:
    return get_snapshot().find_provider(None, provider_id, None)


def _special(context: Mapping[str, str]) -> dict[str, str]:
    """The part of the context that is not the ordinary price, in genai-prices' words."""
    special = {key: value for key, value in context.items() if value not in STANDARD.get(key, ())}
    if special.get("service_tier") == "batch":
        del special["service_tier"]
        special["processing"] = "batch"
    return special


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


def _is_paid(model_price: Any) -> bool:
    return any(value for value in vars(model_price).values() if value is not None)


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else 0
