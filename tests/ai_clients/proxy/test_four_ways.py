"""One workload by four ways, the recorder, the proxy, events and OpenTelemetry: the same records, the same costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import httpx2
from django.test import Client
from msgspec.structs import replace

from ai_clients.transport import record_calls
from tests.ai_clients.proxy.test_wire_cases import answered, request_of, sent
from tests.end_to_end.test_wire_cases import BOTH_WAYS
from tests.support import factories, otlp
from tests.support.proxied import SECRET, Proxied, token
from tests.support.recorded import Recorded, usage_of
from usage_billing.ledger import consistency, writer
from usage_billing.models import Organization, ReportedCall, UsageRecord
from usage_billing.recording import Attribution
from usage_billing.recording.event import Event

WORKLOAD = (
    "chat", "chat cached", "chat reasoning", "chat flex", "response", "response cached, reasoning", "response priority",
    "message", "message cache read", "message 5-minute write", "message one-hour write", "message all sorts of cache",
)  # fmt: skip
"""Wire cases, each made twice: as a plain answer and as a stream."""
EQUAL = (
    "request_id", "ai_provider", "ai_model", "endpoint", "prompt_tokens", "completion_tokens", "total_tokens",
    "cached_tokens", "cache_write_tokens", "reasoning_tokens", "cost_usd", "cost_rub", "price_source", "status",
    "error_code", "usage_date",
)  # fmt: skip
Rows = list[tuple[Any, ...]]


def test_the_records_are_the_same_by_each_way(proxy: Proxied, recorded: Recorded, client: Client) -> None:
    by_recorder, by_proxy = made_by_both(proxy, recorded)
    factories.rate(datetime.fromtimestamp(by_recorder[0].started_at, UTC).date())
    org = factories.organization()
    ways: dict[str, Callable[[], list[Event]]] = {
        "recorder": lambda: by_recorder,
        "proxy": lambda: by_proxy,
        "events": lambda: reported(client, recorded, "/api/billing/usage/events", org, as_events(by_recorder)),
        "otlp": lambda: reported(client, recorded, "/v1/traces", org, as_spans(by_recorder)),
    }
    rows = {name: records_of(events(), org) for name, events in ways.items()}

    assert len(rows["recorder"]) == 2 * len(WORKLOAD)
    assert all(row[EQUAL.index("cost_usd")] for row in rows["recorder"])
    assert {name: of_way for name, of_way in rows.items() if of_way != rows["recorder"]} == {}


def test_a_call_that_is_told_by_every_way_is_one_record(proxy: Proxied, recorded: Recorded, client: Client) -> None:
    by_recorder, _ = made_by_both(proxy, recorded)
    org = factories.organization()
    told = [
        *reported(client, recorded, "/v1/traces", org, as_spans(by_recorder)),
        *by_recorder,
        *reported(client, recorded, "/api/billing/usage/events", org, as_events(by_recorder)),
    ]

    for event in [*told, *reversed(told)]:
        writer.add([in_org(event, org)])

    assert UsageRecord.objects.count() == 2 * len(WORKLOAD)
    assert not any("source" in record.response_metadata for record in UsageRecord.objects.all())
    assert [day for day in consistency.days() for _ in consistency.differences(day)] == []


def test_what_a_way_does_not_carry_is_unpriced_with_its_reason(
    proxy: Proxied, recorded: Recorded, client: Client
) -> None:
    by_recorder, _ = made_by_both(proxy, recorded, ("message 5-minute write",))
    org = factories.organization()
    export = json.loads(as_spans(by_recorder))
    for span in otlp.items(export):
        span["attributes"] = [each for each in span["attributes"] if "ephemeral" not in each["key"]]
    events = reported(client, recorded, "/v1/traces", org, json.dumps(export))

    rows = records_of(events, org)

    assert {row[EQUAL.index("price_source")] for row in rows} == {"unpriced:cache-write-lifetime"}


def made_by_both(
    proxy: Proxied, recorded: Recorded, names: Iterable[str] = WORKLOAD
) -> tuple[list[Event], list[Event]]:
    """Make the same calls by a recording client and by the proxy. Returns the events of each."""
    start = len(recorded.all())
    key = token(factories.organization())
    with httpx2.Client() as direct, httpx2.Client() as plain:
        record_calls(direct)
        for name in names:
            for stream in (False, True):
                case = BOTH_WAYS[name]
                request, same = request_of(case, stream=stream), answered(case, stream=stream)
                proxy.scripts[f"{name} {stream}"] = lambda _received, same=same: same  # type: ignore[misc]
                provider = "anthropic" if "x-api-key" in request.headers else "openai"
                sent(direct, request, proxy.provider.url, SECRET, f"{name} {stream}")
                sent(plain, request, f"{proxy.url}/proxy/{provider}", key, f"{name} {stream}")
    # A case's answer has the same id as a stream: these are calls of their own.
    by_recorder = [replace(event, request_id=f"{event.request_id[:60]}-{n:03}") for n, event in
                   enumerate(recorded.all()[start:])]  # fmt: skip
    by_proxy = [replace(event, request_id=one.request_id, started_at=one.started_at)
                for event, one in zip(proxy.events(), by_recorder, strict=True)]  # fmt: skip
    return by_recorder, by_proxy


def in_org(event: Event, org: Organization) -> Event:
    return replace(event, attribution=Attribution(org_id=org.pk))


def records_of(events: Iterable[Event], org: Organization) -> Rows:
    """Return the records that the events come to, in an empty ledger."""
    writer.add([in_org(event, org) for event in events])
    rows = list(UsageRecord.objects.order_by("request_id").values_list(*EQUAL))
    UsageRecord.objects.all().delete()
    ReportedCall.objects.all().delete()
    return rows


def reported(client: Client, recorded: Recorded, path: str, org: Organization, body: str) -> list[Event]:
    """Send a report. Returns the events that it left in the outbox."""
    start = len(recorded.all())
    key = token(org, scopes=("ingest",), name=f"sender {path}"[:40])
    headers = {"Authorization": f"Bearer {key}", "Accept-Language": "en"}
    response = client.post(path, body, content_type="application/json", headers=headers)
    assert response.status_code == 200, response.content
    assert "refused" not in response.content.decode().replace('"refused":0', ""), response.content
    return recorded.all()[start:]


def as_events(events: Iterable[Event]) -> str:
    """The calls as JSON events, with the provider's own block."""
    return json.dumps(
        [
            {
                "request_id": event.request_id,
                "time": event.started_at,
                "provider": provider_of(event),
                "model": event.model,
                "api": event.flavour,
                "usage": usage_of(event),
                "context": event.context,
                "status": event.status,
                "error_code": event.error_code,
            }
            for event in events
        ]
    )


def as_spans(events: Iterable[Event]) -> str:
    """The calls as spans with the attributes of the conventions."""
    spans = [as_span(event, number) for number, event in enumerate(events, start=1)]
    return json.dumps(otlp.together(spans))


def as_span(event: Event, number: int) -> otlp.Export:
    is_message = event.flavour == "messages"
    told = {
        "gen_ai__operation__name": "chat",
        "gen_ai__provider__name": provider_of(event),
        "gen_ai__request__model": event.model,
        "gen_ai__response__model": event.model,
        "gen_ai__response__id": event.request_id,
        **(of_message(usage_of(event)) if is_message else of_completion(usage_of(event))),
    }
    if event.flavour == "responses":
        told["openai__api__type"] = "responses"
    if tier := event.context.get("service_tier"):
        told["openai__response__service_tier"] = tier
    scope = "com.anthropic.sdk.python" if is_message else "opentelemetry.instrumentation.genai.openai"
    export = otlp.span(scope, number=number, **told)
    for span in otlp.items(export):
        span["traceId"] = f"{number:032x}"
        span["startTimeUnixNano"] = str(round(event.started_at * 1e9))
        span["endTimeUnixNano"] = str(round(event.started_at * 1e9) + event.duration_ms * 1_000_000)
    return export


def of_message(usage: dict[str, Any]) -> dict[str, Any]:
    read, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    by_lifetime = usage.get("cache_creation") or {}
    return {
        "gen_ai__usage__input_tokens": usage["input_tokens"] + read + written,
        "gen_ai__usage__output_tokens": usage["output_tokens"],
        "gen_ai__usage__cache_read__input_tokens": read,
        "gen_ai__usage__cache_write__input_tokens": written,
        **{f"anthropic__usage__cache_creation__{name}": number for name, number in by_lifetime.items()},
    }


def of_completion(usage: dict[str, Any]) -> dict[str, Any]:
    before, after = ("prompt", "completion") if "prompt_tokens" in usage else ("input", "output")
    return {
        "gen_ai__usage__input_tokens": usage[f"{before}_tokens"],
        "gen_ai__usage__output_tokens": usage[f"{after}_tokens"],
        "gen_ai__usage__cache_read__input_tokens": (usage.get(f"{before}_tokens_details") or {}).get(
            "cached_tokens", 0
        ),
        "gen_ai__usage__reasoning__output_tokens": (usage.get(f"{after}_tokens_details") or {}).get(
            "reasoning_tokens", 0
        ),
    }


def provider_of(event: Event) -> str:
    return "anthropic" if event.flavour == "messages" else "openai"
