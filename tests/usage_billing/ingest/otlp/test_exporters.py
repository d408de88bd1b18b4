"""OpenTelemetry's own exporters against a running server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from pytest_django.live_server_helper import LiveServer

from tests.support import factories, otlp
from usage_billing.auth import service_tokens
from usage_billing.models import UsageRecord

USED: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4.1-mini",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}


@pytest.fixture
def headers(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program is told by its environment."""
    token = otlp.token(factories.organization())
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer%20{token}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")


def test_spans(live_server: LiveServer, headers: None, monkeypatch: pytest.MonkeyPatch, drained: Any) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", live_server.url)
    provider = TracerProvider(resource=Resource.create({"service.name": "shop", "ai_costs.agent_id": "writer"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("my.own", "1.0")
    for number in range(700):  # more than a batch
        with (
            tracer.start_as_current_span("agent", attributes={"gen_ai.operation.name": "invoke_agent"}),
            tracer.start_as_current_span("chat", attributes=USED | {"gen_ai.response.id": f"chatcmpl-{number:029d}"}),
        ):
            pass
    provider.shutdown()
    drained()

    assert UsageRecord.objects.count() == 700
    record = UsageRecord.objects.first()
    assert record is not None
    assert (record.prompt_tokens, record.completion_tokens, record.agent_id) == (1000, 100, "writer")
    assert record.tags == {"service_token": "collector", "service.name": "shop"}


def test_logs(live_server: LiveServer, headers: None, monkeypatch: pytest.MonkeyPatch, drained: Any) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", live_server.url)
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter()))
    attributes: dict[str, Any] = {
        "event.name": "api_request",
        "model": "claude-sonnet-4-5",
        "input_tokens": 10,
        "output_tokens": 5,
    }
    provider.get_logger("com.anthropic.claude_code.events").emit(
        LogRecord(
            timestamp=1_795_833_912_355_751_924,
            body="claude_code.api_request",
            severity_number=SeverityNumber.INFO,
            attributes=attributes | {"request_id": "req_011CWuPpQoV1cakzjTVwKZsV"},
        )
    )
    provider.shutdown()
    drained()

    record = UsageRecord.objects.get()
    assert (record.request_id, record.prompt_tokens) == ("req_011CWuPpQoV1cakzjTVwKZsV", 10)


def test_an_exporter_sends_again_what_was_not_taken(
    live_server: LiveServer, headers: None, monkeypatch: pytest.MonkeyPatch, drained: Callable[[], int]
) -> None:
    """After 503; and the export whose answer got lost, whole."""
    asked: list[int] = []
    look_up = service_tokens._looked_up

    def failing_at_first(digest: str) -> Any:
        asked.append(1)
        if len(asked) == 1:
            raise OperationalError("the database is away")
        return look_up(digest)

    monkeypatch.setattr(service_tokens, "_looked_up", failing_at_first)
    monkeypatch.setattr("usage_billing.ingest.otlp.views.RETRY_AFTER_S", 1)
    exporter = OTLPSpanExporter(f"{live_server.url}/v1/traces", compression=Compression.Gzip)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("my.own").start_as_current_span("chat", attributes=USED) as span:
        pass
    exporter.export([span])  # type: ignore[list-item]
    provider.shutdown()
    drained()

    assert len(asked) >= 2
    assert UsageRecord.objects.count() == 1


def test_an_exporter_does_not_repeat_what_is_refused_for_good(
    live_server: LiveServer, headers: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20aic_wrong")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{live_server.url}/v1/traces")))
    with caplog.at_level(logging.ERROR), provider.get_tracer("my.own").start_as_current_span("chat", attributes=USED):
        pass
    provider.shutdown()

    assert "401" in caplog.text
