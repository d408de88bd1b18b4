"""A call as another program reports it, and the event that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from usage_billing.costing.costs import EMITTER, MISSING, REQUESTS, SOURCE, TOLD_COST
from usage_billing.recording import Attribution, Event
from usage_billing.recording.event import FLAVOURS, Flavour, Span, Status

Source = Literal["otlp", "events", "import"]


class ReportedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that another program made and reports.

    request_id: the provider's id of the answer or, without one, an id that the reporter repeats for the same call.
    started_at: epoch seconds. api: how the usage block is read. usage: a block in the words of that API. units: other
    units, in genai-prices' words. missing: a fact that the price depends on and that was not told. told_cost_usd: the
    reporter's own figure. requests: how many calls this one is the sum of.
    """

    source: Source
    request_id: str
    started_at: float
    provider: str
    model: str
    api: Flavour = "unknown"
    usage: Mapping[str, Any] | None = None
    units: Mapping[str, int | float] = {}
    duration_ms: int = 0
    status: Status = "succeeded"
    error_code: str = ""
    context: Mapping[str, str] = {}
    account: Mapping[str, str] = {}
    attribution: Attribution = Attribution()
    emitter: str = ""
    missing: str = ""
    told_cost_usd: str = ""
    requests: int = 1
    span: Span | None = None


_PATHS = {flavour: path for path, flavour in reversed(FLAVOURS.items())} | {"chat": "/chat/completions"}
_HOSTS = {"openai": "https://api.openai.com", "anthropic": "https://api.anthropic.com"}


def event_of(call: ReportedCall) -> Event:
    """Return the event of the call. The gate bounds it, as every event."""
    told: dict[str, Any] = {
        SOURCE: call.source,
        EMITTER: call.emitter,
        MISSING: call.missing,
        TOLD_COST: call.told_cost_usd,
        REQUESTS: call.requests if call.requests > 1 else 0,
    }
    return Event(
        request_id=call.request_id,
        started_at=call.started_at,
        duration_ms=call.duration_ms,
        flavour=call.api,
        url=_url(call.provider, call.api),
        status=call.status,
        error_code=call.error_code,
        model=call.model,
        usage=msgspec.Raw(msgspec.json.encode(call.usage)),
        units=dict(call.units),
        context=dict(call.context),
        response={name: value for name, value in told.items() if value},
        account=dict(call.account),
        attribution=call.attribution,
        provider=call.provider,
        span=call.span,
    )


def _url(provider: str, api: Flavour) -> str:
    """Return an address of the API, so that the record has its endpoint. The provider is told apart from it."""
    path = "" if api == "unknown" else _PATHS[api]
    return f"{base_of(provider)}/v1{path.removeprefix('/v1')}"


def base_of(provider: str, host: str = "") -> str:
    """Return the beginning of an address: of the host, if it is known, else of the provider."""
    return f"https://{host}" if host else _HOSTS.get(provider, "https://reported.invalid")
