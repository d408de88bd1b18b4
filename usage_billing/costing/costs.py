"""Turns events into rows of `token_usage`: attributed, metered, priced, converted to RUB. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.utils import timezone

from usage_billing.conf import conf
from usage_billing.costing import containers, metering, pricing, providers, refusals
from usage_billing.costing.attribution import OrganizationLookup
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.exchange_rates import rates as exchange
from usage_billing.models.fields import MONEY_PLACES
from usage_billing.recording import gate
from usage_billing.recording.event import ACCOUNT_COLUMNS, Event, Flavour, flavour_of

Row = dict[str, Any]

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far the clock of the machine that made a call may be ahead. Beyond it, the call counts from when it came here."""


def rows(events: Sequence[Event], overrides: PriceOverrides) -> Iterator[Row]:
    """Return the costed rows of these events, in their order. Organisations and rates are read before the first."""
    organizations = OrganizationLookup(event.attribution for event in events)
    recorded_at = timezone.now()
    attributed = [_attributed(event, organizations, recorded_at) for event in events]
    containers.charge(attributed)
    rates = exchange.rates_on({row["usage_date"] for row in attributed})
    return (cost(row | {"usd_rub_rate": rates[row["usage_date"]]}, overrides) for row in attributed)


def completed(pending: Row, answer: Event, overrides: PriceOverrides) -> Row:
    """Return the row of a pending call with its answer; its attribution and the moment of the call stay."""
    lasted = max(0, round((answer.started_at - pending["created_at"].timestamp()) * 1000) + answer.duration_ms)
    row = {**pending, **_answer(answer), "recorded_at": timezone.now(), "execution_time_ms": lasted}
    row = containers.with_memory(row, pending)
    containers.charge([row])
    return cost(row, overrides)


def _attributed(event: Event, organizations: OrganizationLookup, recorded_at: datetime) -> Row:
    """Return the row of one call, without its cost."""
    given = event.attribution
    org = organizations.org(given)
    created_at = datetime.fromtimestamp(event.started_at, tz=UTC)
    ahead = created_at - recorded_at
    answer = _answer(event)
    if ahead > CLOCK_TOLERANCE:
        # A day in the future would be in no report of today, and would lengthen every report that goes up to now.
        created_at = recorded_at
        answer["response_metadata"]["clock_ahead_s"] = round(ahead.total_seconds())
    address = _address(event.url, event.flavour)
    return {
        "org_id": org.pk,
        "user_id": organizations.user_id(given),
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
        **answer,
        "execution_time_ms": max(0, event.duration_ms),
        "request_metadata": {**given.metadata, **organizations.not_found(given)},
        "created_at": created_at,
        "recorded_at": recorded_at,
        "usage_date": created_at.astimezone(org.zone).date(),
        **{column: event.account.get(key, "") for key, column in ACCOUNT_COLUMNS.items()},
    }


class _Address(NamedTuple):
    """Parts of a call's URL. `host` includes the port."""

    endpoint: str
    provider: str
    host: str
    is_this_machine: bool


def _address(url: str, flavour: Flavour) -> _Address:
    parts = urlsplit(url)
    provider = providers.provider_of(f"{parts.scheme}://{parts.netloc}", flavour)
    return _Address(
        endpoint=gate.name(parts.path, "endpoint"),
        provider=gate.name(provider, "ai_provider"),
        host=parts.netloc,
        is_this_machine=providers.is_this_machine(parts.hostname or ""),
    )


def may_complete(row: Row, answer: Event) -> bool:
    """Return whether the answer comes from the host that the row's call went to: another host may use the same ids.

    Rows of earlier versions lack the host; for them the provider alone decides.
    """
    address = _address(answer.url, answer.flavour)
    host = row["response_metadata"].get("host", address.host)
    return bool(row["ai_provider"] == address.provider and host == address.host)


def _answer(event: Event) -> Row:
    """Return the columns that the answer alone decides."""
    return {
        "ai_model": event.model,
        "usage": _usage(event),
        "status": event.status,
        "error_code": event.error_code,
        "response_metadata": _response_metadata(event),
    }


def _response_metadata(event: Event) -> dict[str, Any]:
    """Return facts about the answer. The host is among them for a pending call, whose answer must come from it, for a
    call to this machine, whose provider is only guessed from the API, and for a deployment, whose name is the host's.
    """
    metadata = dict(event.response)
    if event.context:
        metadata["context"] = event.context
    address = _address(event.url, event.flavour)
    if address.is_this_machine or event.status == "pending" or metadata.get("deployment"):
        metadata["host"] = address.host
    return metadata


def _usage(event: Event) -> dict[str, Any]:
    """Return all usage of the answer in one object: the provider's block, and `units` and `parts` beside it."""
    block = metering.decode_usage(event.usage)
    usage: dict[str, Any] = block if isinstance(block, dict) else {}
    if event.units:
        usage["units"] = event.units
    if event.parts:
        usage["parts"] = [
            {"model": part.model, "api": part.api, "usage": metering.decode_usage(part.usage)} for part in event.parts
        ]
    usage = metering.compact(usage)
    used = event.response.get(containers.FIELD)
    return {**usage, containers.FIELD: used} if isinstance(used, dict) and used else usage


def cost(row: Row, overrides: PriceOverrides) -> Row:
    """Return the row with tokens, USD and RUB, worked out from its `usage`, `status`, model and `usd_rub_rate`.

    New calls and `reprice_usage` both get their cost here.
    """
    metered = _metered(row)
    price, cost_rub = _amounts(_price(row, metered, overrides), row["usd_rub_rate"])
    tokens = metered.tokens
    response = {key: value for key, value in row["response_metadata"].items() if key != "cost_parts"}
    if len(price.parts) > 1 or (price.parts and price.usd is None):
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
        "known_cost_usd": price.known_usd,
        "price_source": gate.name(price.source, "price_source"),
        "response_metadata": response,
    }


def _metered(row: Row) -> metering.Metered:
    answered = (flavour_of(row["endpoint"]), row["usage"], row["ai_provider"], row["ai_model"])
    try:
        free_turns = refusals.free_turns(row["response_metadata"], row["created_at"])
    except refusals.UnknownRefusalError:
        return metering.meter(*answered).failed("unknown-refusal")
    return metering.meter(*answered, free_turns=free_turns)


def _price(row: Row, metered: metering.Metered, overrides: PriceOverrides) -> pricing.Price:
    match row["status"]:
        case "failed" if not metering.uses_something(row["usage"]):
            return pricing.NOT_CHARGED
        case "aborted":
            return pricing.unpriced("cut-short")
        case "pending":
            return pricing.unpriced("pending")
        case _:
            if not metered.lines and not metered.problem:
                return pricing.REFUSED
            context = pricing.context_of(row["response_metadata"].get("context", {}), row["usage"])
            deployment = _deployment(row)
            is_model = bool(deployment) and row["ai_provider"] in NAMES_MODELS
            return pricing.price(
                _price_list_of(row),
                _mapped(deployment, row) or (deployment if is_model else row["ai_model"]),
                metered,
                context,
                org_id=row["org_id"],
                at=row["created_at"],
                overrides=overrides,
                aliases=[name for name in (deployment, row["ai_model"]) if name],
                usage=row["usage"],
            )


def _price_list_of(row: Row) -> str:
    """Return the provider whose prices hold. OpenAI, Decisions: they have prices of their own for the same models."""
    provider: str = row["ai_provider"]
    return pricing.DECISIONS.get(provider, provider) if flavour_of(row["endpoint"]) == "decisions" else provider


NAMES_MODELS = ("aws", "google")
"""Providers whose deployments are models of their own: their names say more than the answer.

Bedrock's `global.anthropic.…` and `us.anthropic.…` have different prices, and both answer with the same model.
"""


def _deployment(row: Row) -> str:
    """Return the name of the deployment or model in the request's path; empty if the path named none."""
    named = row["response_metadata"].get("deployment")
    return named if isinstance(named, str) else ""


def _mapped(deployment: str, row: Row) -> str:
    """Return the model behind the deployment, as the setting `DEPLOYMENTS` says; empty if it does not."""
    if not deployment:
        return ""
    models = {name.lower(): model for name, model in conf.DEPLOYMENTS.items()}
    host = row["response_metadata"].get("host", "")
    return str(models.get(f"{host}/{deployment}".lower()) or models.get(deployment.lower(), ""))


def _amounts(price: pricing.Price, rate: Any) -> tuple[pricing.Price, Any]:
    """Return the price and its RUB; unpriced if either exceeds what a call can cost."""
    usd = price.usd if price.usd is not None else price.known_usd
    if usd is not None and abs(usd) * max(1, rate or 0) >= gate.LARGEST_NUMBER:
        return pricing.unpriced(pricing.OUT_OF_BOUNDS), None
    return price, to_rub(price.usd, rate)


def to_rub(usd: Any, rate: Any) -> Any:
    """Convert USD to RUB; None if the amount or the rate is unknown."""
    if usd is None or usd == 0:
        return usd  # a free call is free at any rate
    return None if rate is None else round(usd * rate, MONEY_PLACES)
