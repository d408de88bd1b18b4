"""Who answered a call, and in which tier and region: what its price depends on beside the usage."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from usage_billing.costing import providers
from usage_billing.ingest.otlp import embedded, emitters, usage
from usage_billing.ingest.otlp.values import Attributes, fact
from usage_billing.ingest.provider_names import ALIASES
from usage_billing.recording.event import Flavour

_HOST = re.compile(r"[a-z0-9.-]{1,253}")
_REGIONAL = re.compile(r"([a-z]{2})\.api\.openai\.com")
"""OpenAI, Data residency: the region whose prices hold at this host."""

SERVICE_TIER = "service-tier"


def provider_of(attributes: Attributes, habit: emitters.Habit, api: Flavour) -> str:
    """Return who answered. An emitter names the API that is spoken; the host tells whose it is."""
    name = fact(attributes, "provider").lower()
    short = name.partition(".")[0]
    told = ALIASES.get(name) or ALIASES.get(short) or (short if providers.is_listed(short) else name)
    told = told or habit.provider or "unknown"
    host = _host(attributes)
    if told in ("openai", "anthropic") and host and not providers.is_this_machine(host):
        return providers.provider_of(f"https://{host}", "messages" if told == "anthropic" else api)
    return told


def _host(attributes: Attributes) -> str:
    """Return the name of the host that was called; empty if it is not told, or no name."""
    text = fact(attributes, "host")
    try:
        host = urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""
    return host if _HOST.fullmatch(host) else ""


def region_of(attributes: Attributes, provider: str) -> dict[str, str]:
    found = _REGIONAL.fullmatch(_host(attributes))
    return {"region": found[1]} if found and provider == "openai" else {}


def with_tier(
    attributes: Attributes, told: usage.Told, of_answer: str
) -> tuple[dict[str, object] | None, dict[str, str], tuple[str, ...]]:
    """Return block, context and what is missing, with the service tier where the API tells it.

    Of a tier that was only asked for, `flex` is certain: OpenAI refuses a call that it cannot serve so. A `priority`
    call may be served, and billed, as an ordinary one.
    """
    if tier := fact(attributes, "response_tier") or of_answer:
        if told.api == "messages":
            return told.block and {"service_tier": tier, **told.block}, {}, ()
        return told.block, {"service_tier": tier}, ()
    asked = fact(attributes, "request_tier") or embedded.request(attributes).service_tier or ""
    if asked == "flex":
        return told.block, {"service_tier": asked}, ()
    return told.block, {}, () if asked in ("", "auto", "default", "standard", "standard_only") else (SERVICE_TIER,)
