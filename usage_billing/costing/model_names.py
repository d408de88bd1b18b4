"""Finds the model that a name means: hosts and gateways write a vendor, a region or a version around it.

A name never means another model than its own: `claude-haiku-4-5-turbo` is not priced as `claude-haiku-4-5`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from genai_prices.types import ClauseContains, ClauseOr, ClauseStartsWith, ModelInfo, Provider

from usage_billing.costing import providers
from usage_billing.costing.price_list import get_snapshot

VENDORS = {
    "openai": "openai",
    "azure": "azure",
    "azure_ai": "azure",
    "anthropic": "anthropic",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "vertex_ai": "google",
    "gemini": "google",
    "google": "google",
    "xai": "x-ai",
    "x-ai": "x-ai",
    "deepseek": "deepseek",
    "mistral": "mistral",
    "groq": "groq",
    "cohere": "cohere",
    "perplexity": "perplexity",
    "openrouter": "openrouter",
    "fireworks_ai": "fireworks",
    "together_ai": "together",
    "cerebras": "cerebras",
    "moonshot": "moonshotai",
    "moonshotai": "moonshotai",
}
"""Vendor in front of a model's name, as gateways write it (LiteLLM, Providers; OpenRouter, Models) → provider."""

FAMILIES = ((r"claude-", "anthropic"), (r"gemini-", "google"), (r"grok-", "x-ai"), (r"gpt-|o[134](-|$)", "openai"))
"""Families that only their own vendor makes. They tell the provider where an address on this machine leaves it open."""

OPEN_WEIGHTS = re.compile(r"gpt-oss|gemma")
"""Models that anybody may serve, under the vendor's name too (Hugging Face): the vendor's price says nothing."""

_PATH_PREFIX = re.compile(r"^(?:publishers/[^/]+/)?models/")
_BEDROCK_ARN = re.compile(r"^arn:aws[a-z-]*:bedrock:[^:]*:[^:]*:(?:foundation-model|inference-profile)/")
_BEDROCK_REGION = re.compile(r"^[a-z]{2}(?:-[a-z]+)+-\d/")
_BEDROCK_GEOGRAPHY = r"(?:(?P<scope>global|us|eu|apac|au|jp|ca|in|us-gov)\.)?"
_BEDROCK_ID = re.compile(_BEDROCK_GEOGRAPHY + r"(?P<core>(?:anthropic|amazon|meta|mistral|cohere|openai)\..+)")
_BEDROCK_VERSION = re.compile(r"(?:-\d{8})?(?:-v\d+(?::\d+)?)?$")

_VERSION = re.compile(r"(?:[-@]\d{8}|-\d{4}-\d\d-\d\d|[-@](?:latest|default)|-v\d+(?:[:@]\d+)?|:\d+|\.\d)*")


def find(provider: str, name: str) -> tuple[Provider, ModelInfo] | None:
    """Return the provider whose price holds for `name` at `provider`, and the model; None if no price is known."""
    for candidate, model in candidates(provider, name):
        if (found := _listed(candidate, model)) is not None:
            return found
    return None


@functools.lru_cache(maxsize=4096)
def candidates(provider: str, name: str) -> tuple[tuple[str, str], ...]:
    """Return (provider, name) in the order in which they may have the price.

    provider: genai-prices' id, or a host that the list does not know. Only there, and where the provider is a guess
    (OpenAI, Anthropic: an address on this machine), does the name choose another provider.
    """
    return tuple(_candidates(provider, name.strip().lower()))


def _candidates(provider: str, name: str) -> Iterator[tuple[str, str]]:
    yield provider, name
    bare = _PATH_PREFIX.sub("", _BEDROCK_ARN.sub("", name))
    if bare != name:
        yield provider, bare
    is_open = provider in ("openai", "anthropic") or not providers.is_listed(provider)
    vendor, slash, rest = bare.partition("/")
    owner = VENDORS.get(vendor) if slash else None
    if owner and (owner == provider or is_open) and not OPEN_WEIGHTS.search(rest):
        rest = _BEDROCK_ARN.sub("", _BEDROCK_REGION.sub("", rest))
        yield owner, rest
        if "/" in rest:  # two in front: openrouter/openai/gpt-4o, vertex_ai/gemini/…
            yield owner, rest.partition("/")[2]
    elif is_open and (_BEDROCK_ARN.match(name) or _BEDROCK_ID.fullmatch(bare)):
        yield "aws", bare
    elif provider in ("openai", "anthropic"):
        yield from ((maker, bare) for family, maker in FAMILIES if maker != provider and re.match(family, bare))


def _listed(provider: str, name: str) -> tuple[Provider, ModelInfo] | None:
    if not providers.is_listed(provider):
        return None
    try:
        found = get_snapshot().find_provider_model(name, None, provider, None)
    except LookupError:
        return _bedrock_alias(name) if provider == "aws" else None
    return found if "claude" not in name or provider not in CLAUDE_HOSTS or _is_itself(found[1].match, name) else None


CLAUDE_HOSTS = ("anthropic", "aws", "azure", "google")
"""Providers for which the list takes any name that begins like, or contains, that of a Claude."""


def _is_itself(clause: Any, name: str) -> bool:
    """Return whether the clause matches the name with nothing but a version behind it."""
    if isinstance(clause, ClauseOr):
        return any(_is_itself(each, name) for each in clause.or_)
    if not isinstance(clause, ClauseStartsWith | ClauseContains):
        return bool(clause.is_match(name))
    literal = clause.starts_with if isinstance(clause, ClauseStartsWith) else clause.contains
    stem = re.sub(r"[-@](20\d\d)?$", "", literal.lower())  # it may end within the version: `claude-sonnet-4@`
    return clause.is_match(name) and _VERSION.fullmatch(name.partition(stem)[2]) is not None


def _bedrock_alias(name: str) -> tuple[Provider, ModelInfo] | None:
    """Return the model of an id without date and version: the list has Bedrock's older models with them only."""
    found = _BEDROCK_ID.fullmatch(name)
    if found is None:
        return None
    scope = "global" if found["scope"] == "global" else "regional"
    wanted = f"{scope}.{_BEDROCK_VERSION.sub('', found['core'])}"
    provider = get_snapshot().find_provider(None, "aws", None)
    models = [model for model in provider.models if _BEDROCK_VERSION.sub("", model.id) == wanted]
    return (provider, models[0]) if len(models) == 1 else None
