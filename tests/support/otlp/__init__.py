"""Exports of OpenTelemetry for tests. `spans.jsonl`: 80 spans of nine emitters that made 59 calls, one export a line.

They were sent to a simulator in November 2026. The events of spans and the vectors of embeddings are cut.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.http import HttpResponse
from django.test import Client
from google.protobuf import json_format  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from usage_billing.auth import service_tokens
from usage_billing.models import Organization
from usage_billing.tenancy.scope import EVERYTHING

Export = dict[str, Any]

JSON, PROTOBUF = "application/json", "application/x-protobuf"
CALLS, WITHOUT_USAGE = 59, 4
"""The calls behind `spans.jsonl`, and those among them whose usage no span tells."""


def exports() -> list[Export]:
    return [json.loads(line) for line in (Path(__file__).parent / "spans.jsonl").read_text().splitlines()]


def token(org: Organization | None, *scopes: str) -> str:
    _, text = service_tokens.create(
        scope=EVERYTHING, by="test", name="collector", org=org, scopes=scopes or ("ingest",)
    )
    return text


def post(
    client: Client,
    token: str,
    export: Export | bytes,
    path: str = "/v1/traces",
    *,
    is_json: bool = True,
    is_compressed: bool = False,
    **headers: str,
) -> HttpResponse:
    """Send an export as an exporter does. Texts are asked for in English."""
    body = export if isinstance(export, bytes) else encoded(export, is_json=is_json)
    options = {"Authorization": f"Bearer {token}", "Accept-Language": "en"} if token else {"Accept-Language": "en"}
    if is_compressed:
        body, options = gzip.compress(body), {**options, "Content-Encoding": "gzip"}
    return client.post(  # type: ignore[return-value]
        path, body, content_type=JSON if is_json else PROTOBUF, headers={**options, **headers}
    )


def encoded(export: Export, *, is_json: bool) -> bytes:
    if is_json:
        return json.dumps(export).encode()
    message: Any = ExportLogsServiceRequest() if "resourceLogs" in export else ExportTraceServiceRequest()
    json_format.ParseDict(_with_base64(json.loads(json.dumps(export))), message)
    return bytes(message.SerializeToString())


def _with_base64(export: Export) -> Export:
    """Return the export with ids as protobuf's own JSON has them: in base64, where OpenTelemetry has hexadecimal."""
    for item in items(export):
        for name in ("traceId", "spanId", "parentSpanId"):
            if item.get(name):
                item[name] = base64.b64encode(bytes.fromhex(item[name])).decode()
    return export


def items(export: Export) -> Iterator[dict[str, Any]]:
    """Yield the spans or log records of an export."""
    for resource in export.get("resourceSpans") or export["resourceLogs"]:
        for scope in resource.get("scopeSpans") or resource["scopeLogs"]:
            yield from scope.get("spans") or scope["logRecords"]


def split(exports: list[Export]) -> list[Export]:
    """Return one export for each span: what a sender of small batches makes of these."""
    return [
        {"resourceSpans": [{"resource": resource.get("resource", {}), "scopeSpans": [{**scope, "spans": [span]}]}]}
        for export in exports
        for resource in export["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def together(exports: list[Export]) -> Export:
    return {"resourceSpans": [resource for export in exports for resource in export["resourceSpans"]]}


def attributes(**values: Any) -> list[dict[str, Any]]:
    """Return attributes as JSON has them; `__` stands for a dot."""
    return [{"key": name.replace("__", "."), "value": _any_value(value)} for name, value in values.items()]


def _any_value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case _:
            return {"stringValue": str(value)}


def span(
    scope: str = "opentelemetry.instrumentation.genai.openai",
    version: str = "1.3b0",
    *,
    number: int = 1,
    parent: int = 0,
    resource: dict[str, Any] | None = None,
    status: int = 1,
    given: list[dict[str, Any]] | None = None,
    **values: Any,
) -> Export:
    """Return an export of one span, by default of a chat completion without usage."""
    plain = {
        "gen_ai__operation__name": "chat",
        "gen_ai__provider__name": "openai",
        "gen_ai__request__model": "gpt-4.1-mini",
    }
    own: dict[str, Any] = {
        "traceId": "0123456789abcdef0123456789abcdef",
        "spanId": f"{number:016x}",
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": "1795833912285215120",
        "endTimeUnixNano": "1795833912355751924",
        "attributes": attributes(**plain | values) if given is None else given,
        "status": {"code": status} if status else {},
    }
    if parent:
        own["parentSpanId"] = f"{parent:016x}"
    of_resource = {"attributes": attributes(**resource or {})}
    scopes = [{"scope": {"name": scope, "version": version}, "spans": [own]}]
    return {"resourceSpans": [{"resource": of_resource, "scopeSpans": scopes}]}


def log(event: str, scope: str = "com.anthropic.claude_code.events", *, body: str = "", **values: Any) -> Export:
    """Return an export of one log record."""
    record = {
        "timeUnixNano": "1795833912355751924",
        "body": {"stringValue": body or event},
        "attributes": attributes(**{"event__name": event.partition(".")[2] or event} | values),
    }
    scopes = [{"scope": {"name": scope, "version": "2.1.0"}, "logRecords": [record]}]
    return {"resourceLogs": [{"resource": {"attributes": []}, "scopeLogs": scopes}]}
