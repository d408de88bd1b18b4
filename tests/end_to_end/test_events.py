"""The same calls, recorded and reported as events, are the same records: equal usage, tokens and costs to the digit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx2
import msgspec
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from ai_clients import Anthropic, OpenAI
from tests.end_to_end.test_wire_cases import BOTH_WAYS, ONE_OF_THEM, Case, answering, call
from tests.support import factories
from tests.support.recorded import Recorded, usage_of
from tests.support.scripted import Provider
from tests.support.wire_cases import an_id
from usage_billing import usage_context
from usage_billing.auth import service_tokens
from usage_billing.models import Organization, UsageRecord
from usage_billing.recording.event import Event
from usage_billing.recording.outbox import Outbox
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("explained_costs"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
Drained = Callable[[], int]
CASES = BOTH_WAYS | ONE_OF_THEM
NOT_CARRIED = {
    "response code interpreter": "containers have a price each, by their ids",
    "response code interpreter, larger": "as above",
    "response image tool": "usage of another model within the call",
    "response image tool without a model": "as above",
    "transcription, silent answer": "the recorder has measured the file; a program tells audio_seconds (below)",
}
"""Cases whose facts no event carries, and why."""
EQUAL = (
    "ai_provider", "ai_model", "endpoint", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens",
    "cache_write_tokens", "reasoning_tokens", "usage", "cost_usd", "known_cost_usd", "price_source", "status",
    "error_code", "execution_time_ms", "created_at",
)  # fmt: skip


@pytest.fixture
def org() -> Iterator[Organization]:
    service_tokens.forget()
    yield factories.organization()
    service_tokens.forget()


def recorded(case: Case, org: Organization, outbox: Outbox, drained: Drained) -> tuple[Event, UsageRecord]:
    """Make the call by the SDK. Returns its event and its record."""
    client: Any = httpx2.Client(transport=Provider(lambda _request: answering(case, stream=False)))
    urls = {"openai": case.host or "https://api.openai.com/v1", "anthropic": case.host or "https://api.anthropic.com"}
    with usage_context(org=org):
        call(
            case,
            OpenAI(api_key="k", http_client=client, max_retries=0, base_url=urls["openai"]),
            Anthropic(api_key="k", http_client=client, max_retries=0, base_url=urls["anthropic"]),
            stream=False,
        )
    event = Recorded(outbox.path).one()
    drained()
    return event, UsageRecord.objects.get(org=org)


def reported(org: Organization, drained: Drained, **event: Any) -> UsageRecord:
    """Send the event to another organisation, as a call of its own: one call is one record. Returns its record."""
    other = factories.organization()
    event["request_id"] = an_id("call-")
    _, token = service_tokens.create(scope=EVERYTHING, by="boss", name="job", org=other, scopes=["ingest"])
    to = APIClient(headers={"authorization": f"Bearer {token}", "accept-language": "en"})
    answer = to.post("/api/billing/usage/events", [event], format="json")
    assert answer.status_code == 200, answer.content
    assert answer.json()["data"]["taken"] == 1, answer.json()
    drained()
    return UsageRecord.objects.get(org=other)


def told_by(event: Event, record: UsageRecord) -> dict[str, Any]:
    """What a program knows of the call, except its usage."""
    return {
        "request_id": event.request_id,
        "time": event.started_at,
        "duration_ms": event.duration_ms,
        "provider": record.ai_provider,
        "model": event.model,
        "status": event.status,
        "error_code": event.error_code,
        "context": event.context,
    }


@pytest.mark.parametrize("name", sorted(CASES.keys() - NOT_CARRIED.keys()))
def test_a_reported_block_is_the_recorded_call(name: str, org: Organization, outbox: Outbox, drained: Drained) -> None:
    event, record = recorded(CASES[name], org, outbox, drained)
    usage = {"usage": usage_of(event)} | ({"units": event.units} if event.units else {})
    told = reported(org, drained, **told_by(event, record), **usage, api=event.flavour)
    has_own_path = record.ai_provider not in ("openai", "anthropic") or CASES[name].api in (
        "completions",
        "compact",
        "edit",
    )
    for column in EQUAL:
        if column != "endpoint" or not has_own_path:
            assert getattr(told, column) == getattr(record, column), column
    assert told.response_metadata.get("cost_parts") == record.response_metadata.get("cost_parts")
    # The API need not be named where the block's shape tells it.
    if event.flavour in ("chat", "responses", "messages") and usage_of(event):
        by_shape = reported(org, drained, **told_by(event, record), **usage)
        assert (by_shape.endpoint, by_shape.cost_usd) == (told.endpoint, told.cost_usd)


def units_of(block: dict[str, Any], record: UsageRecord) -> dict[str, Any]:
    """The same usage in the words of docs/ingest.md."""
    inputs = block.get("prompt_tokens_details") or block.get("input_tokens_details") or {}
    outputs = block.get("completion_tokens_details") or {}
    writes = block.get("cache_creation") or {}
    units = {
        "input_tokens": record.prompt_tokens,
        "cached_input_tokens": record.cached_tokens,
        "cache_write_tokens": record.cache_write_tokens,
        "cache_write_5m_tokens": writes.get("ephemeral_5m_input_tokens", 0),
        "cache_write_1h_tokens": writes.get("ephemeral_1h_input_tokens", 0),
        "input_audio_tokens": inputs.get("audio_tokens", 0),
        "output_tokens": record.completion_tokens,
        "reasoning_tokens": record.reasoning_tokens,
        "output_audio_tokens": outputs.get("audio_tokens", 0),
        "web_searches": (block.get("server_tool_use") or {}).get("web_search_requests", 0),
    }
    return {name: count for name, count in units.items() if count}


IN_BLOCK = ("service_tier", "speed", "inference_geo")


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, case in BOTH_WAYS.items()
        if case.api in ("chat", "responses", "messages") and name not in NOT_CARRIED and "contradiction" not in name
    ),
)
def test_reported_units_cost_what_the_recorded_call_costs(
    name: str, org: Organization, outbox: Outbox, drained: Drained
) -> None:
    event, record = recorded(BOTH_WAYS[name], org, outbox, drained)
    block = usage_of(event) or {}
    told = told_by(event, record)
    context = told["context"] | {key: block[key] for key in IN_BLOCK if key in block}
    units = units_of(block, record) | event.units
    told = reported(org, drained, **told | {"context": context}, units=units, api=event.flavour)  # type: ignore[assignment]
    for column in EQUAL:
        if column not in ("usage", "endpoint"):
            assert getattr(told, column) == getattr(record, column), column


PRICED = {
    # 600 × 0.40 + 400 × 0.10 + 100 × 1.60, of which reasoning is a part
    "chat": ("openai", "gpt-4.1-mini", {"input_tokens": 1000, "cached_input_tokens": 400, "output_tokens": 100}, 440),
    # 700 × 1 + 300 × 1.25 + 100 × 2 + 2000 × 0.10 + 100 × 5 + 10,000
    "claude": (
        "anthropic",
        "claude-haiku-4-5-20251001",
        {
            "input_tokens": 3100,
            "cached_input_tokens": 2000,
            "cache_write_5m_tokens": 300,
            "cache_write_1h_tokens": 100,
            "output_tokens": 100,
            "web_searches": 1,
        },
        11_975,
    ),
    "embeddings": ("openai", "text-embedding-3-small", {"input_tokens": 50}, 1),
    # 20 × 5 + 300 × 8 + 1000 × 32
    "images": (
        "openai",
        "gpt-image-1.5",
        {"input_tokens": 320, "input_image_tokens": 300, "output_tokens": 1000, "output_image_tokens": 1000},
        34_500,
    ),
    "transcription": ("openai", "whisper-1", {"audio_seconds": 60}, 6000),
    "speech": ("openai", "tts-1", {"input_characters": 11}, 165),
    "audio": (
        "openai",
        "gpt-audio",
        {"input_tokens": 100, "input_audio_tokens": 40, "output_tokens": 50, "output_audio_tokens": 40},
        4090,
    ),
}


@pytest.mark.parametrize("name", PRICED)
def test_units_of_every_kind(name: str, org: Organization, drained: Drained) -> None:
    provider, model, units, millionths = PRICED[name]
    record = reported(org, drained, request_id="a", provider=provider, model=model, units=units)
    assert record.cost_usd == Decimal(millionths) / 1_000_000, record.price_source
    assert record.prompt_tokens == units.get("input_tokens", 0)


@pytest.mark.parametrize("provider", ["anthropic", "bedrock", "vertex_ai"])
def test_cache_writes_without_a_lifetime_have_no_price_but_a_lower_bound(
    provider: str, org: Organization, drained: Drained
) -> None:
    """They cost 1.25 or 2 times the input: 600 × 1 + 400 × 1.25 + 100 × 5 at least."""
    units = {"input_tokens": 1000, "cache_write_tokens": 400, "output_tokens": 100}
    model = "anthropic.claude-haiku-4-5-20251001-v1:0" if provider == "bedrock" else "claude-haiku-4-5@20251001"
    model = "claude-haiku-4-5-20251001" if provider == "anthropic" else model
    record = reported(org, drained, request_id="a", provider=provider, model=model, units=units)
    assert (record.cost_usd, record.price_source) == (None, "unpriced:cache-write-lifetime")
    assert (record.prompt_tokens, record.cache_write_tokens) == (1000, 400)
    assert record.known_cost_usd is not None
    assert Decimal("0.0016") <= record.known_cost_usd <= Decimal("0.0016") * Decimal("1.1")


def test_a_number_of_images_is_kept_and_has_no_price(org: Organization, drained: Drained) -> None:
    record = reported(org, drained, request_id="a", provider="openai", model="dall-e-3", units={"images": 2})
    assert (record.cost_usd, record.price_source) == (None, "unpriced:no-usage")
    assert record.usage == {"units": {"images": 2}}


def test_a_unit_that_the_api_does_not_report_is_refused(org: Organization) -> None:
    _, token = service_tokens.create(scope=EVERYTHING, by="boss", name="job", org=org, scopes=["ingest"])
    to = APIClient(headers={"authorization": f"Bearer {token}", "accept-language": "en"})
    event = {
        "request_id": "a",
        "provider": "openai",
        "model": "gpt-4.1",
        "units": {"input_tokens": 9, "cache_write_1h_tokens": 5},
    }
    (result,) = to.post("/api/billing/usage/events", [event], format="json").json()["data"]["events"]
    assert result["reason"] == (
        "The API chat does not report cache_write_1h_tokens. Leave it out, or name another api."
    )


def test_reported_and_recorded_calls_of_one_organisation_are_one(
    org: Organization, outbox: Outbox, drained: Drained
) -> None:
    """A program that reports what a recorder has recorded already: in whichever order, one record."""
    event, record = recorded(BOTH_WAYS["chat cached"], org, outbox, drained)
    _, token = service_tokens.create(scope=EVERYTHING, by="boss", name="job", org=org, scopes=["ingest"])
    to = APIClient(headers={"authorization": f"Bearer {token}"})
    told = told_by(event, record) | {"usage": usage_of(event)}
    answer = to.post("/api/billing/usage/events", [told], format="json").json()["data"]
    assert answer["events"][0]["state"] == "known"
    # Reported first, recorded afterwards:
    again = msgspec.structs.replace(
        event, request_id="chatcmpl-2", started_at=(timezone.now() - timedelta(hours=1)).timestamp()
    )
    to.post("/api/billing/usage/events", [told | {"request_id": "chatcmpl-2", "time": again.started_at}], format="json")
    drained()
    from usage_billing.recording import record as keep

    assert keep(again)
    drained()
    assert UsageRecord.objects.filter(org=org).count() == 2
