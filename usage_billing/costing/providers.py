"""Tells who answered a call, from its host. The ids are genai-prices' own; a host that nobody knows names itself."""

from __future__ import annotations

import functools
import re
from urllib.parse import urlsplit

from usage_billing.costing.price_list import generation, get_snapshot
from usage_billing.recording.event import Flavour

HOSTS = (
    # OpenAI, Your data: regional addresses, `eu.api.openai.com`.
    (r"([a-z0-9-]+\.)*api\.openai\.com", "openai"),
    # openai.providers.bedrock, anthropic.lib.bedrock: the runtime, and Mantle, its newer address.
    (r"bedrock-runtime(-fips)?\.[a-z0-9-]+\.(amazonaws\.com|api\.aws)", "aws"),
    (r"bedrock-mantle\.[a-z0-9-]+\.api\.aws", "aws"),
    # Anthropic, Pricing, Claude Platform on AWS: the API's prices; AWS sends the bill.
    (r"aws-external-anthropic\.[a-z0-9-]+\.api\.aws", "anthropic"),
    # anthropic.lib.google_cloud: Claude Platform on Google Cloud, as above.
    (r"claude\.googleapis\.com", "anthropic"),
    # anthropic.lib.vertex: global, regional and multi-regional addresses.
    (r"([a-z0-9-]+-)?aiplatform(\.[a-z]+\.rep)?\.googleapis\.com", "google"),
    # Azure OpenAI, REST API reference: an address that a whole region shares.
    (r"[a-z0-9-]+\.api\.cognitive\.microsoft\.com", "azure"),
    # xAI, Regional endpoints.
    (r"[a-z0-9-]+\.api\.x\.ai", "x-ai"),
)
"""Hosts that genai-prices does not know, or gives to another provider than the one that sets the price."""

_HOSTS = tuple((re.compile(pattern), provider) for pattern, provider in HOSTS)


def is_this_machine(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


def provider_of(origin: str, flavour: Flavour) -> str:
    """Return genai-prices' id of the provider at `origin` (`https://host`), else the host's name.

    An address on this machine is the simulator, or a gateway to the provider whose API it speaks; the record keeps
    the host.
    """
    host = urlsplit(origin).hostname or ""
    if known := next((provider for pattern, provider in _HOSTS if pattern.fullmatch(host)), ""):
        return known
    try:
        provider = get_snapshot().find_provider(None, None, origin)
    except LookupError:
        owner = "anthropic" if flavour == "messages" else "openai"
        return owner if is_this_machine(host) else host
    # The list matches prefixes: `https://api.openai.com.example` would be OpenAI.
    found = re.match(provider.api_pattern, origin)
    return provider.id if found and origin[found.end() : found.end() + 1] in ("", ":", "/") else host


def is_listed(provider: str) -> bool:
    """Return whether the price list knows the provider."""
    return provider in _listed(generation())


@functools.lru_cache(maxsize=2)
def _listed(_generation: int) -> frozenset[str]:
    """Return the ids of all providers, read once per price list."""
    return frozenset(provider.id for provider in get_snapshot().providers)
