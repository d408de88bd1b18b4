"""Reads export requests in protobuf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from usage_billing.ingest.otlp.names import is_wanted
from usage_billing.ingest.otlp.records import LogRecord, Source, Span, UnreadableError, event_name
from usage_billing.ingest.otlp.values import Value


def _parsed(message: Any, body: bytes) -> Any:
    try:
        return message.FromString(body)
    except DecodeError as error:
        raise UnreadableError(str(error)) from error


def spans(body: bytes) -> Iterator[Span]:
    for resource in _parsed(ExportTraceServiceRequest, body).resource_spans:
        of_resource = _values(resource.resource.attributes)
        for group in resource.scope_spans:
            source = Source(of_resource, group.scope.name, group.scope.version)
            for span in group.spans:
                yield Span(
                    source,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code,
                    _values(span.attributes),
                )


def logs(body: bytes) -> Iterator[LogRecord]:
    for resource in _parsed(ExportLogsServiceRequest, body).resource_logs:
        of_resource = _values(resource.resource.attributes)
        for group in resource.scope_logs:
            source = Source(of_resource, group.scope.name, group.scope.version)
            for record in group.log_records:
                at_ns = record.time_unix_nano or record.observed_time_unix_nano
                yield LogRecord(
                    source, event_name(record.event_name, record.body.string_value), at_ns, _values(record.attributes)
                )


_PLAIN = frozenset(("string_value", "bool_value", "int_value", "double_value"))


def _values(pairs: Iterable[Any]) -> dict[str, Value]:
    """Return the wanted attributes. None of these is a list or a map in any convention."""
    found: dict[str, Value] = {}
    for pair in pairs:
        if is_wanted(pair.key) and (kind := pair.value.WhichOneof("value")) in _PLAIN:
            found[pair.key] = getattr(pair.value, kind)
    return found
