"""The Anthropic SDK traces its own calls: told by its spans alone, they are the records that our recorder makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import pytest
from django.test import Client
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ai_clients import Anthropic
from tests.support import factories, otlp
from usage_billing import usage_context
from usage_billing.models import Organization, ReportedCall, UsageRecord

MODEL = "claude-sonnet-5-5"
LONG = "Long enough for the cache. " * 600


def make_calls(exporter: InMemorySpanExporter) -> None:
    """Make calls of each kind: plain and streamed, writing and reading the cache for both lifetimes, and failing."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    client = Anthropic(open_telemetry={"tracer_provider": provider}, max_retries=0)
    given: Any = {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
    client.messages.create(**given)
    for lifetime in ("5m", "1h"):
        cached: Any = {
            "type": "text",
            "text": f"{lifetime} {LONG}",
            "cache_control": {"type": "ephemeral", "ttl": lifetime},
        }
        for _ in range(2):
            client.messages.create(**given, system=[cached])
    with client.messages.stream(**given) as stream:
        stream.until_done()
    for _ in client.messages.create(**given, stream=True):
        pass
    with pytest.raises(anthropic.APIStatusError):
        client.messages.create(**given, extra_headers={"x-simulator-statuses": "529"})
    provider.shutdown()


def facts(records: Any) -> list[tuple[object, ...]]:
    """What a record says of its call: `inference_geo` is in no span."""
    return sorted(
        (
            each.request_id,
            each.ai_provider,
            each.ai_model,
            each.endpoint.removeprefix("/anthropic"),  # of the simulator
            each.status,
            repr(sorted((name, value) for name, value in each.usage.items() if name != "inference_geo")),
            (each.prompt_tokens, each.completion_tokens, each.cached_tokens, each.cache_write_tokens),
            each.cost_usd,
            each.price_source,
            each.provider_organization,
        )
        for each in records
    )


@pytest.mark.django_db
def test_spans_alone_tell_what_the_recorder_sees_to_the_digit(
    client: Client, simulated: dict[str, str], drained: Callable[[], int]
) -> None:
    exporter = InMemorySpanExporter()
    org = factories.organization()
    with usage_context(org=org):
        make_calls(exporter)
    drained()
    recorded = facts(UsageRecord.objects.all())
    body = encode_spans(exporter.get_finished_spans()).SerializeToString()
    assert len(recorded) == 8

    # Told as well, they are the same calls.
    assert otlp.post(client, otlp.token(org), body, is_json=False).content == b""
    drained()
    assert facts(UsageRecord.objects.all()) == recorded

    _forget(UsageRecord, ReportedCall)
    other: Organization = factories.organization()
    otlp.post(client, otlp.token(other), body, is_json=False)
    drained()
    assert facts(UsageRecord.objects.filter(org=other)) == recorded


def _forget(*models: Any) -> None:
    for model in models:
        model.objects.all().delete()
