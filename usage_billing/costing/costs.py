"""Turns events into rows of `token_usage`: attributed, metered, priced, converted to RUB. Reads only."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.utils import timezone
from msgspec.structs import replace

from usage_billing.conf import conf
from usage_billing.costing import containers, metering, price_list, pricing, providers, refusals
from usage_billing.costing.attribution import OrganizationLookup
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.exchange_rates import rates as exchange
from usage_billing.models import Organization
from usage_billing.models.fields import MONEY_PLACES
from usage_billing.recording import gate
from usage_billing.recording.event import ACCOUNT_COLUMNS, Event, Flavour, flavour_of

Row = dict[str, Any]

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far the clock of the machine that made a call may be ahead. Beyond it, the call counts from when it came here."""


def rows(events: Sequence[Event], overrides: PriceOverrides) -> Iterator[Row]:
    """Return the costed rows of these events, in their order. Organisations and rates are read before the first."""
    return (cost(row, overrides) for row in attributed(events))


def attributed(events: Sequence[Event]) -> list[Row]:
    """Return the rows of these events, in their order, without their costs. All that a cost needs is read."""
    organizations = OrganizationLookup(event.attribution for event in events)
    recorded_at = timezone.now()
    found = [_attributed(event, organizations, recorded_at) for event in events]
    containers.charge(found)
    rates = exchange.rates_on({row["usage_date"] for row in found})
    for row in found:
        row["usd_rub_rate"] = rates[row["usage_date"]]
    return found


def completed(pending: Row, answer: Event, overrides: PriceOverrides) -> Row:
    """Return the row of a pending call with its answer; its attribution and the moment of the call stay."""
    lasted = max(0, round((answer.started_at - pending["created_at"].timestamp()) * 1000) + answer.duration_ms)
    columns = _answer(answer)
    columns["ai_model"] = columns["ai_model"] or pending["ai_model"]
    columns["response_metadata"] = {**_of_job(pending), **columns["response_metadata"]}
    row = {**pending, **columns, "recorded_at": timezone.now(), "execution_time_ms": lasted}
    row = containers.with_memory(row, pending)
    containers.charge([row])
    return cost(row, overrides)


def begun_by(row: Row, beginning: Row, overrides: PriceOverrides) -> Row:
    """Return the row of an answer that was recorded before the call that began it, as if that had come first."""
    since = row["created_at"] - beginning["created_at"]
    lasted = max(0, round(since.total_seconds() * 1000) + row["execution_time_ms"])
    columns = {name: beginning[name] for name in (*ATTRIBUTION, "created_at", "usage_date", "usd_rub_rate")}
    columns["ai_model"] = row["ai_model"] or beginning["ai_model"]
    return cost(_known({**row, **columns, "execution_time_ms": lasted}), overrides)


def attributed_like(rows: Sequence[Row], job: Row, overrides: PriceOverrides) -> list[Row]:
    """Return the rows of a job's calls with the attribution of the job; each keeps its own moment."""
    zone = Organization.objects.get(pk=job["org_id"]).zone
    columns = {name: job[name] for name in ATTRIBUTION}
    dated = [
        _known(_with_model({**row, **columns, "usage_date": row["created_at"].astimezone(zone).date()}, job))
        for row in rows
    ]
    rates = exchange.rates_on({row["usage_date"] for row in dated})
    return [cost({**row, "usd_rub_rate": rates[row["usage_date"]]}, overrides) for row in dated]


def attributed_to_reader(row: Row, job: Row | None, overrides: PriceOverrides) -> Row:
    """Return the row of a call whose job's beginning is not known. `job`: the job's row, if somebody read it."""
    marked = {**row, "response_metadata": {**row["response_metadata"], **BY_READER}}
    return marked if job is None or row["ai_model"] else cost(_with_model(marked, job), overrides)


def _with_model(row: Row, job: Row) -> Row:
    """Return the row with the job's model, if it has none of its own and its answer does not say that it is another."""
    is_another = "model" in row["response_metadata"].get("context", {})
    return row if row["ai_model"] or is_another else {**row, "ai_model": job["ai_model"]}


ATTRIBUTION = (
    "org_id", "user_id", "content_id", "workflow_id", "agent_id", "request_type", "platform", "content_type",
    "task_type", "request_metadata", "tags",
)  # fmt: skip
"""The columns that say who caused a call."""

BY_READER = {"attributed_to": "reader"}
"""In `response_metadata`: whoever began the job is not known yet, so the call is attributed to whoever read it."""


def is_by_reader(row: Row) -> bool:
    return bool(row["response_metadata"].get("attributed_to") == "reader")


def _known(row: Row) -> Row:
    """Return the row without the mark that its attribution is the reader's."""
    metadata = {name: value for name, value in row["response_metadata"].items() if name not in BY_READER}
    return {**row, "response_metadata": metadata}


def _of_job(row: Row) -> dict[str, Any]:
    """Return the facts of a pending row that its answer does not tell: its job's state, and whose it is."""
    return {name: row["response_metadata"][name] for name in ("job", *BY_READER) if name in row["response_metadata"]}


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
        "tags": given.tags,
        "request_id": event.request_id,
        "endpoint": address.endpoint,
        "ai_provider": event.provider or address.provider,
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


_FETCHED = re.compile(r"(/responses)/[^/]+(/cancel)?$")
"""The end of a path that fetches a response: its endpoint is that of the call that made it."""


def host_of(event: Event) -> str:
    """Return the host, with its port, that the event's call went to."""
    return urlsplit(event.url).netloc


def _address(url: str, flavour: Flavour) -> _Address:
    return _address_by(price_list.generation(), url, flavour)


@functools.lru_cache(maxsize=4096)
def _address_by(_generation: int, url: str, flavour: Flavour) -> _Address:
    parts = urlsplit(url)
    provider = providers.provider_of(f"{parts.scheme}://{parts.netloc}", flavour)
    path = _FETCHED.sub(r"\1", parts.path) if flavour == "responses" else parts.path
    return _Address(
        endpoint=gate.name(path, "endpoint"),
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
    """Return facts about the answer. The host is among them for a call of a job, whose other events must come from it,
    for a call to this machine, whose provider is only guessed from the API, and for a deployment, whose name is the
    host's.
    """
    metadata = dict(event.response)
    if event.context:
        metadata["context"] = event.context
    address = _address(event.url, event.flavour)
    if address.is_this_machine or event.status == "pending" or event.origin or metadata.get("deployment"):
        metadata["host"] = address.host
    if event.origin:
        metadata["origin"] = event.origin
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
    metered = meter(row)
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


def meter(row: Row) -> metering.Metered:
    """Return the units of a row and what is wrong with them, from its `usage`."""
    answered = (flavour_of(row["endpoint"]), row["usage"], row["ai_provider"], row["ai_model"])
    try:
        free_turns = refusals.free_turns(row["response_metadata"], row["created_at"])
    except refusals.UnknownRefusalError:
        return metering.meter(*answered).failed("unknown-refusal")
    metered = _as_sum(metering.meter(*answered, free_turns=free_turns), row["response_metadata"].get(REQUESTS))
    missing = row["response_metadata"].get(MISSING)
    return metered.failed(missing) if isinstance(missing, str) and missing else metered


def _as_sum(metered: metering.Metered, requests: Any) -> metering.Metered:
    """Return the units of a record that stands for several requests.

    One of them may have made nearly all of the sum, so a price that depends on the size of a request is not known if
    the sum is beyond its bound: as of two requests, of which each may be above their mean.
    """
    if not isinstance(requests, int) or requests < 2 or not metered.lines:
        return metered
    first, *others = metered.lines
    return replace(metered, lines=(replace(first, requests=2), *others))


REQUESTS = "requests"
"""In `response_metadata`: how many calls the record is the sum of, where a source tells only sums."""
SOURCE = "source"
"""In `response_metadata`: by which way another program told the call. Calls that our own transport saw have none."""
EMITTER = "emitter"
"""… the program that told it, such as the scope of an instrumentation."""
TOLD_COST = "told_cost_usd"
"""… the cost that the program told. It is evidence, and never our cost."""
MISSING = "missing"
"""In `response_metadata` of a call that another program reported: the fact about its usage that was not told and that
its price depends on, such as `cache-write-lifetime`. The cost is unknown then, its lower bound is not."""


IN_ITS_REQUESTS = pricing.Price(Decimal(0), "not-charged:in-its-requests")
"""The requests of a batch or session have records of their own, which have its whole cost."""


def _price(row: Row, metered: metering.Metered, overrides: PriceOverrides) -> pricing.Price:
    if (job := row["response_metadata"].get("job")) and row["status"] == "succeeded" and not row["usage"]:
        return IN_ITS_REQUESTS if job.get("in_its_requests") else pricing.unpriced("results-not-read")
    match row["status"]:
        case "refused":
            return pricing.STOPPED
        case "failed" if not metering.uses_something(row["usage"]):
            return pricing.NOT_CHARGED
        case "aborted":
            return pricing.unpriced("cut-short")
        case "pending":
            return pricing.unpriced("pending")
        case _:
            if metered.problem == metering.UNKNOWN_ENDPOINT and USED_ELSEWHERE.fullmatch(row["endpoint"]):
                return pricing.unpriced("used-elsewhere")
            if not metered.lines and not metered.problem:
                return pricing.REFUSED
            context = pricing.context_of(row["response_metadata"].get("context", {}), row["usage"])
            deployment = _deployment(row)
            is_profile = bool(deployment) and row["ai_provider"] == "aws"
            return pricing.price(
                _price_list_of(row),
                model_of_deployment(deployment, row["response_metadata"].get("host", ""))
                or (deployment if is_profile else row["ai_model"]),
                metered,
                context,
                org_id=row["org_id"],
                at=row["created_at"],
                overrides=overrides,
                aliases=[name for name in (deployment, row["ai_model"]) if name],
                usage=row["usage"],
            )


USED_ELSEWHERE = re.compile(
    r"/v1/(realtime/(client_secrets|sessions|transcription_sessions|calls|translations/client_secrets)"
    r"|live/sessions|chatkit/sessions)"
)
"""Endpoints that open a session for a browser or a telephone, which gets its usage: of Realtime, Live, ChatKit."""


def _price_list_of(row: Row) -> str:
    """Return the provider whose prices hold. OpenAI, Decisions: they have prices of their own for the same models."""
    provider: str = row["ai_provider"]
    return pricing.DECISIONS.get(provider, provider) if flavour_of(row["endpoint"]) == "decisions" else provider


def _deployment(row: Row) -> str:
    """Return the name of the deployment in the request's path; empty if the path named none.

    An inference profile of the customer's own on Bedrock answers with the model and not with its geography, which the
    price depends on.
    """
    named = row["response_metadata"].get("deployment")
    return named if isinstance(named, str) else ""


def model_of_deployment(deployment: str, host: str) -> str:
    """Return the model behind the deployment, as the setting `DEPLOYMENTS` says; empty if it does not."""
    if not deployment:
        return ""
    # Of an inference profile's ARN, the record has the name alone.
    models = {re.sub(r"^arn:[^/]+/", "", name.lower()): model for name, model in conf.DEPLOYMENTS.items()}
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
