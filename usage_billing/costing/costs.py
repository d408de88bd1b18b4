"""From a call's event to the ledger's row: placed, metered, priced, converted. Reads what it needs, writes nothing."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.utils import timezone

from usage_billing.costing import metering, pricing
from usage_billing.costing.attribution import OrganizationLookup
from usage_billing.exchange_rates import rates as exchange
from usage_billing.models.fields import MONEY_PLACES
from usage_billing.recording import gate
from usage_billing.recording.event import Event, Flavour, flavour_of

Row = dict[str, Any]


def rows(events: Sequence[Event], own: pricing.Own) -> Iterator[Row]:
    """The ledger's rows for these calls, costed and converted, in their order. The database is read at once."""
    accounts = OrganizationLookup(event.attribution for event in events)
    recorded_at = timezone.now()
    placed = [_placed(event, accounts, recorded_at) for event in events]
    rates = exchange.rates_on({row["usage_date"] for row in placed})
    return (cost(row | {"usd_rub_rate": rates[row["usage_date"]]}, own) for row in placed)


def completed(before: Row, answer: Event, own: pricing.Own) -> Row:
    """The row of a call that waited, with its answer; whose it is and when it was made stay."""
    lasted = max(0, round((answer.started_at - before["created_at"].timestamp()) * 1000) + answer.duration_ms)
    return cost({**before, **_answer(answer), "recorded_at": timezone.now(), "execution_time_ms": lasted}, own)


def _placed(event: Event, accounts: OrganizationLookup, recorded_at: datetime) -> Row:
    """One call as a row, but for its cost."""
    given = event.attribution
    org = accounts.org(given)
    created_at = datetime.fromtimestamp(event.started_at, tz=UTC)
    address = _addressed(event.url, event.flavour)
    return {
        "org_id": org.pk,
        "user_id": accounts.user_id(given),
        "content_id": given.content_id or None,
        "workflow_id": given.workflow_id or None,
        "agent_id": given.agent_id,
        "request_type": given.request_type,
        "platform": given.platform,
        "content_type": given.content_type,
        "task_type": given.task_type,
        "request_id": event.request_id,
        "endpoint": address.endpoint,
        "ai_provider": address.provider,
        **_answer(event),
        "execution_time_ms": max(0, event.duration_ms),
        "request_metadata": {**given.metadata, **accounts.not_found(given)},
        "created_at": created_at,
        "recorded_at": recorded_at,
        "usage_date": created_at.astimezone(org.zone).date(),
    }


class _Address(NamedTuple):
    """What the address of a call says. `host`: with its port."""

    endpoint: str
    provider: str
    host: str
    is_this_machine: bool


@functools.lru_cache(maxsize=1024)
def _addressed(url: str, flavour: Flavour) -> _Address:
    parts = urlsplit(url)
    provider = pricing.provider_of(f"{parts.scheme}://{parts.netloc}", flavour)
    return _Address(
        endpoint=gate.name(parts.path, "endpoint"),
        provider=gate.name(provider, "ai_provider"),
        host=parts.netloc,
        is_this_machine=pricing.is_this_machine(parts.hostname or ""),
    )


def may_complete(row: Row, answer: Event) -> bool:
    """Whether the answer comes from where the call of the row went: another host may use the same ids.

    A row from before this was asked does not name its host; there the provider alone decides.
    """
    address = _addressed(answer.url, answer.flavour)
    host = row["response_metadata"].get("host", address.host)
    return bool(row["ai_provider"] == address.provider and host == address.host)


def _answer(event: Event) -> Row:
    """What the answer itself says, whoever called and whenever."""
    return {
        "ai_model": event.model,
        "usage": _usage(event),
        "status": event.status,
        "error_code": event.error_code,
        "response_metadata": _told(event),
    }


def _told(event: Event) -> dict[str, Any]:
    """What else is kept of the answer. The host too, of a call that waits for its answer, and of one to this machine:
    that was taken for the provider whose API it speaks.
    """
    told = dict(event.response)
    if event.context:
        told["context"] = event.context
    address = _addressed(event.url, event.flavour)
    if address.is_this_machine or event.status == "pending":
        told["host"] = address.host
    return told


def _usage(event: Event) -> dict[str, Any]:
    """Everything that the answer tells of its usage, in one object: the provider's block, and what stands beside."""
    block = metering.decode_usage(event.usage)
    usage: dict[str, Any] = block if isinstance(block, dict) else {}
    if event.units:
        usage["units"] = event.units
    if event.parts:
        usage["parts"] = [
            {"model": part.model, "api": part.api, "usage": metering.decode_usage(part.usage)} for part in event.parts
        ]
    return dict(metering.compact(usage))


def cost(row: Row, own: pricing.Own) -> Row:
    """The row with its tokens, price and roubles, worked out of what it says of its usage; `usd_rub_rate` is given.

    The one way to a cost, for new calls and for `reprice_usage`.
    """
    flavour = flavour_of(row["endpoint"])
    usage = row["usage"]
    metered = metering.meter(flavour, usage) if flavour else metering.Metered(problem="unknown-endpoint")
    price, cost_rub = _amounts(_price(row, metered, own), row["usd_rub_rate"])
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
        "cost_rub": cost_rub,
        "price_source": gate.name(price.source, "price_source"),
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


def _amounts(price: pricing.Price, rate: Any) -> tuple[pricing.Price, Any]:
    """The price with its roubles; unpriced, if either is beyond what a call can cost."""
    usd = price.usd
    if usd is not None and abs(usd) * max(1, rate or 0) >= gate.LARGEST_NUMBER:
        return pricing.unpriced(pricing.OUT_OF_BOUNDS), None
    return price, to_rub(usd, rate)


def to_rub(usd: Any, rate: Any) -> Any:
    """Roubles of an amount of USD, both as they are known."""
    if usd is None or usd == 0:
        return usd  # what is free is free at any rate
    return None if rate is None else round(usd * rate, MONEY_PLACES)
