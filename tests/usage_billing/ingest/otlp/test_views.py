"""The receiver keeps to the protocol: encodings, answers, errors that are repeated and errors that are final."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from google.rpc import status_pb2  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from pytest_django import Settings

from tests.support import factories, otlp
from tests.support.configure import configure
from tests.support.recorded import Recorded
from usage_billing.auth import service_tokens
from usage_billing.ingest.otlp import wire
from usage_billing.models import Organization, ServiceToken
from usage_billing.recording.outbox import Outbox
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db
USED: dict[str, Any] = {"gen_ai__usage__input_tokens": 10, "gen_ai__usage__output_tokens": 5}
WITHOUT_IDS = otlp.span(**USED)
WITHOUT_IDS["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = ""


@pytest.fixture
def org() -> Organization:
    return factories.organization()


@pytest.fixture
def token(org: Organization) -> str:
    return otlp.token(org)


@pytest.fixture
def recorded(outbox: Outbox) -> Recorded:
    return Recorded(outbox.path)


def error_of(response: Any) -> tuple[int, int, str]:
    """HTTP status, code and message of an error, in whichever encoding it came."""
    if response["Content-Type"] == otlp.JSON:
        told = json.loads(response.content)
        return response.status_code, told["code"], told["message"]
    status = status_pb2.Status.FromString(response.content)
    return response.status_code, status.code, status.message


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/traces/"])
@pytest.mark.parametrize("is_json", [True, False])
@pytest.mark.parametrize("is_compressed", [True, False])
def test_an_export_is_in_the_outbox_when_it_is_answered(
    client: Client, token: str, recorded: Recorded, path: str, is_json: bool, is_compressed: bool
) -> None:
    response = otlp.post(client, token, otlp.span(**USED), path, is_json=is_json, is_compressed=is_compressed)

    assert response.status_code == 200
    assert response["Content-Type"] == (otlp.JSON if is_json else otlp.PROTOBUF)
    assert response.content == (b"{}" if is_json else b"")
    event = recorded.one()
    assert (event.provider, event.model, event.duration_ms) == ("openai", "gpt-4.1-mini", 70)


@pytest.mark.parametrize(
    ("path", "answer", "field"),
    [
        ("/v1/traces", ExportTraceServiceResponse, "rejected_spans"),
        ("/v1/logs", ExportLogsServiceResponse, "rejected_log_records"),
    ],
)
def test_what_is_refused_is_told_and_the_rest_taken(
    client: Client, token: str, recorded: Recorded, path: str, answer: Any, field: str
) -> None:
    other: dict[str, Any] = {"ai_costs__org": "somebody-else"}
    is_trace = path == "/v1/traces"
    good = otlp.span(**USED) if is_trace else otlp.log("claude_code.api_request", model="claude-sonnet-4-5")
    bad = otlp.span(**USED, **other) if is_trace else otlp.log("claude_code.api_request", model="a", **other)
    key = "resourceSpans" if is_trace else "resourceLogs"
    export = {key: [*good[key], *bad[key], *bad[key]]}

    response = otlp.post(client, token, export, path, is_json=False)

    told = answer.FromString(response.content)
    assert response.status_code == 200
    assert getattr(told.partial_success, field) == 2
    assert told.partial_success.error_message.startswith("2 × A call names an organisation")
    assert len(recorded.all()) == 1

    response = otlp.post(client, token, export, path)
    told = json.loads(response.content)["partialSuccess"]
    assert told["rejectedSpans" if is_trace else "rejectedLogRecords"] == "2"


def test_a_span_without_ids_is_refused(client: Client, token: str) -> None:
    response = otlp.post(client, token, WITHOUT_IDS)

    assert json.loads(response.content)["partialSuccess"] == {
        "rejectedSpans": "1",
        "errorMessage": "1 × A span has no trace id or no span id.",
    }


@pytest.mark.parametrize("is_json", [True, False])
def test_metrics_are_accepted_and_dropped(client: Client, token: str, recorded: Recorded, is_json: bool) -> None:
    message = ExportMetricsServiceRequest()
    message.resource_metrics.add().scope_metrics.add().metrics.add(name="gen_ai.client.token.usage")
    body = b'{"resourceMetrics": []}' if is_json else message.SerializeToString()

    response = otlp.post(client, token, body, "/v1/metrics", is_json=is_json)

    assert (response.status_code, response.content) == (200, b"{}" if is_json else b"")
    assert ExportMetricsServiceResponse.FromString(b"").partial_success.error_message == ""
    assert recorded.all() == []


@pytest.mark.parametrize("is_json", [True, False])
@pytest.mark.parametrize("body", [b"\x0a\xff\xff\xff", b"{", b"[1]", b'{"resourceSpans": 1}', b"\xff\xfe"])
def test_a_body_that_cannot_be_read_is_refused_for_good(client: Client, token: str, body: bytes, is_json: bool) -> None:
    response = otlp.post(client, token, body, is_json=is_json)

    http_status, code, message = error_of(response)
    assert (http_status, code) == (400, 3)
    assert message.startswith("The export cannot be read: ")
    assert "Retry-After" not in response


@pytest.mark.parametrize(
    "body",
    [b"no gzip", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"\x00more"],
    ids=["plain", "cut short", "with more"],
)
def test_a_body_whose_compression_cannot_be_read_is_refused(client: Client, token: str, body: bytes) -> None:
    headers: dict[str, Any] = {"Content-Encoding": "gzip"}
    response = otlp.post(client, token, body, **headers)

    assert error_of(response)[:2] == (400, 3)


@pytest.mark.parametrize("is_compressed", [True, False])
def test_a_body_beyond_the_limit_is_refused_before_it_is_decompressed(
    client: Client, token: str, is_compressed: bool
) -> None:
    body = b" " * (wire.LARGEST_BODY + 1)

    response = otlp.post(client, token, body, is_compressed=is_compressed)

    assert error_of(response)[:2] == (413, 8)


@pytest.mark.parametrize(
    ("content_type", "encoding"), [("text/plain", ""), ("", ""), (otlp.JSON, "br"), (otlp.PROTOBUF, "zstd")]
)
def test_other_encodings_are_refused(client: Client, token: str, content_type: str, encoding: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Encoding": encoding}

    response = client.post("/v1/traces", b"{}", content_type=content_type, headers=headers)

    assert response.status_code == 415


def test_other_methods_are_refused(client: Client, token: str) -> None:
    response = client.get("/v1/traces", headers={"Authorization": f"Bearer {token}"})

    assert (response.status_code, response["Allow"]) == (405, "POST")


@pytest.mark.parametrize("is_json", [True, False])
def test_who_has_no_token_is_refused(client: Client, org: Organization, recorded: Recorded, is_json: bool) -> None:
    text = otlp.token(org)
    service_tokens.revoke(ServiceToken.objects.get(), scope=EVERYTHING, by="test")
    for wrong in ("", "aic_unknown", text):
        response = otlp.post(client, wrong, otlp.span(**USED), is_json=is_json)
        assert error_of(response)[:2] == (401, 16)
        assert response["WWW-Authenticate"].startswith("Bearer")
    assert recorded.all() == []


def test_a_token_of_another_scope_is_refused(client: Client, org: Organization) -> None:
    response = otlp.post(client, otlp.token(org, "read"), otlp.span(**USED))

    assert error_of(response) == (
        403,
        7,
        "The service token may not report calls: it lacks the scope “ingest”.",
    )


def test_the_header_may_be_percent_encoded(client: Client, token: str) -> None:
    response = otlp.post(client, "", otlp.span(**USED), Authorization=f"Bearer%20{token}")

    assert response.status_code == 200


def test_too_many_exports_must_wait(client: Client, settings: Settings, token: str) -> None:
    configure(settings, API_RATE_TOKEN="2/hour")
    statuses = [otlp.post(client, token, otlp.span(**USED)) for _ in range(3)]

    assert [each.status_code for each in statuses] == [200, 200, 429]
    assert 0 < int(statuses[2]["Retry-After"]) <= 3600


def test_an_outbox_that_takes_nothing_is_told(client: Client, settings: Settings, token: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    configure(settings, OUTBOX_PATH=str(tmp_path / "file" / "outbox"))

    response = otlp.post(client, token, otlp.span(**USED), is_json=False)

    assert error_of(response)[:2] == (503, 14)
    assert response["Retry-After"] == "5"


def _fail(*_: Any, **__: Any) -> None:
    raise OperationalError("the database is away")


@pytest.mark.parametrize("function", ["service_tokens._looked_up"])
def test_while_the_database_is_away_unknown_tokens_must_wait_and_known_ones_are_served(
    client: Client, org: Organization, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    known, unknown = otlp.token(org), otlp.token(org)
    assert otlp.post(client, known, otlp.span(**USED)).status_code == 200
    monkeypatch.setattr(f"usage_billing.auth.{function}", _fail)
    monkeypatch.setattr("usage_billing.auth.service_tokens.RECHECK_S", 0)
    monkeypatch.setattr("usage_billing.ingest.otlp.directory._people", _fail)

    response = otlp.post(client, unknown, otlp.span(**USED))
    assert (error_of(response)[:2], response["Retry-After"]) == ((503, 14), "5")
    assert otlp.post(client, known, otlp.span(number=2, user__email="a@example.org", **USED)).status_code == 200
    assert recorded.all()[1].attribution.metadata == {"user": "a@example.org"}


def test_while_the_database_is_away_an_organisation_s_name_must_wait(
    client: Client, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = otlp.token(None)
    monkeypatch.setattr("usage_billing.ingest.otlp.directory._organizations", _fail)

    assert otlp.post(client, token, otlp.span(ai_costs__org="a", **USED)).status_code == 503
    assert recorded.all() == []


def test_ten_thousand_spans_are_ten_thousand_events(client: Client, token: str, recorded: Recorded) -> None:
    one = otlp.span(**USED)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    spans = [{**one, "traceId": f"{n // 10 + 1:032x}", "spanId": f"{n + 1:016x}"} for n in range(10_000)]
    export = otlp.span()
    export["resourceSpans"][0]["scopeSpans"][0]["spans"] = spans

    response = otlp.post(client, token, export, is_json=False, is_compressed=True)

    assert (response.status_code, response.content) == (200, b"")
    assert len({each.request_id for each in recorded.all()}) == 10_000
