"""From a call's event to the ledger's row: placed, metered, priced, converted. Reads what it needs, writes nothing."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from django.utils import timezone

from usage_billing import exchange, metering, pricing
from usage_billing.attribution import Accounts
from usage_billing.models import UsageRecord
from usage_billing.models.fields import MONEY_PLACES
from usage_billing.recording.event import Event, Flavour, flavour_of

Row = dict[str, Any]


def rows(events: Sequence[Event], own: pricing.Own) -> Iterator[Row]:
    """The ledger's rows for these calls, costed and converted, in their order. The database is read at once."""
    accounts = Accounts(event.attribution for event in events)
    recorded_at = timezone.now()
    placed = [_placed(event, accounts, recorded_at) for event in events]
    rates = exchange.rates_on({row["usage_date"] for row in placed})
    return (cost(row | {"usd_rub_rate": rates[row["usage_date"]]}, own) for row in placed)


def settled(before: Row, answer: Event, own: pricing.Own) -> Row:
    """The row of a call that waited, with its answer; whose it is and when it was made stay."""
    lasted = max(0, round((answer.started_at - before["created_at"].timestamp()) * 1000) + answer.duration_ms)
    return cost({**before, **_answer(answer), "recorded_at": timezone.now(), "execution_time_ms": lasted}, own)


def _placed(event: Event, accounts: Accounts, recorded_at: datetime) -> Row:
    """One call as a row, but for its cost."""
    given = event.attribution
    org = accounts.org(given)
    created_at = datetime.fromtimestamp(event.started_at, tz=UTC)
    endpoint, provider, _ = _addressed(event.url, event.flavour)
    return {
        "org_id": org.pk,
        "user_id": accounts.user_id(given),
        "content_id": _text(given.content_id, "content_id") if given.content_id else None,
        "workflow_id": _text(given.workflow_id, "workflow_id") if given.workflow_id else None,
        "agent_id": _text(given.agent_id, "agent_id"),
        "request_type": _text(given.request_type, "request_type"),
        "platform": _text(given.platform, "platform"),
        "content_type": _text(given.content_type, "content_type"),
        "task_type": _text(given.task_type, "task_type"),
        "request_id": _text(event.request_id, "request_id"),
        "endpoint": endpoint,
        "ai_provider": provider,
        **_answer(event),
        "execution_time_ms": max(0, event.duration_ms),
        "request_metadata": _storable({**given.metadata, **accounts.not_found(given)}),
        "created_at": created_at,
        "recorded_at": recorded_at,
        "usage_date": created_at.astimezone(org.zone).date(),
    }


@functools.lru_cache(maxsize=1024)
def _addressed(url: str, flavour: Flavour) -> tuple[str, str, str]:
    """The endpoint and the provider of an address; and the host, if that is this machine."""
    address = urlsplit(url)
    provider = pricing.provider_of(f"{address.scheme}://{address.netloc}", flavour)
    host = address.netloc if pricing.is_this_machine(address.hostname or "") else ""
    return _text(address.path, "endpoint"), _text(provider, "ai_provider"), host


def _answer(event: Event) -> Row:
    """What the answer itself says, whoever called and whenever."""
    return {
        "ai_model": _text(event.model, "ai_model"),
        "usage": _usage(event),
        "status": event.status,
        "error_code": _text(event.error_code, "error_code"),
        "response_metadata": _storable(_told(event)),
    }


def _told(event: Event) -> dict[str, Any]:
    """What else is kept of the answer; where the provider was taken to be at this machine, the address too."""
    told = dict(event.response)
    if event.context:
        told["context"] = event.context
    if host := _addressed(event.url, event.flavour)[2]:
        told["host"] = host
    return told


def _usage(event: Event) -> dict[str, Any]:
    """Everything that the answer tells of its usage, in one object: the provider's block, and what stands beside."""
    block = _decoded(event.usage)
    usage: dict[str, Any] = block if isinstance(block, dict) else {}
    if event.units:
        usage["units"] = _storable(event.units)
    if event.parts:
        usage["parts"] = [
            {"model": _storable(part.model), "api": part.api, "usage": _decoded(part.usage)} for part in event.parts
        ]
    return dict(metering.compact(usage))


def _decoded(raw: msgspec.Raw) -> Any:
    """A usage block, storable. Hardly any has a NUL to look for."""
    block = metering.decode_usage(raw)
    return _storable(block) if b"\\u0000" in bytes(raw) else block


def cost(row: Row, own: pricing.Own) -> Row:
    """The row with its tokens, price and roubles, worked out of what it says of its usage; `usd_rub_rate` is given.

    The one way to a cost, for new calls and for `reprice_usage`.
    """
    flavour = flavour_of(row["endpoint"])
    usage = row["usage"]
    metered = metering.meter(flavour, usage) if flavour else metering.Metered(problem="unknown-endpoint")
    price = _price(row, metered, own)
    tokens = metered.tokens
    response = {key: value for key, value in row["response_metadata"].items() if key != "cost_parts"}
    if len(price.parts) > 1:
        response["cost_parts"] = {kind: format(usd.normalize(), "f") for kind, usd in price.parts.items()}
    return row | {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "cached_tokens": tokens.cached,
        "cache_write_tokens": tokens.cache_write,
        "reasoning_tokens": tokens.reasoning,
        "cost_usd": price.usd,
        "cost_rub": to_rub(price.usd, row["usd_rub_rate"]),
        "price_source": _text(price.source, "price_source"),
        "response_metadata": response,
    }


def _price(row: Row, metered: metering.Metered, own: pricing.Own) -> pricing.Price:
    match row["status"]:
        case "failed" if not row["usage"]:
            return pricing.NOT_CHARGED
        case "aborted":
            return pricing.unpriced("cut-short")
        case "pending":
            return pricing.unpriced("pending")
        case _:
            context = pricing.context_of(row["response_metadata"].get("context", {}), row["usage"])
            return pricing.price(
                row["ai_provider"],
                row["ai_model"],
                metered,
                context,
                org_id=row["org_id"],
                at=row["created_at"],
                own=own,
            )


def to_rub(usd: Any, rate: Any) -> Any:
    """Roubles of an amount of USD, both as they are known."""
    if usd is None or usd == 0:
        return usd  # what is free is free at any rate
    return None if rate is None else round(usd * rate, MONEY_PLACES)


_LENGTHS = {field.attname: field.max_length or 0 for field in UsageRecord._meta.concrete_fields}


def _text(value: str, column: str) -> str:
    """What fits the column; PostgreSQL has no NUL in text."""
    return (value.replace("\x00", "") if "\x00" in value else value)[: _LENGTHS[column]]


def _storable(value: Any) -> Any:
    """JSON without the NUL characters that PostgreSQL refuses."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value
