"""Reads export requests, in protobuf or JSON, into spans and log records with the attributes that are wanted.

JSON has the protocol's own form: names in lowerCamelCase, ids in hexadecimal, enums as integers, 64-bit integers as
texts or numbers; unknown fields are ignored (OpenTelemetry Protocol, JSON Protobuf Encoding).
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from usage_billing.ingest.otlp.names import is_wanted
from usage_billing.ingest.otlp.values import Value

LARGEST_BODY = 8 * 2**20
"""Bytes of a body after decompression. Decoded, a hostile one takes twenty times as much memory."""


class UnreadableError(ValueError):
    """Raised for a body that is no export request."""


class TooLargeError(ValueError):
    """Raised for a body of more than `LARGEST_BODY` bytes, compressed or not."""


class Source(msgspec.Struct, frozen=True):
    """Who sent it: the resource's attributes, and the instrumentation scope."""

    resource: Mapping[str, Value]
    scope: str
    version: str


class Span(msgspec.Struct, frozen=True):
    """Ids in lower-case hexadecimal, times in nanoseconds. status: 0 unset, 1 OK, 2 ERROR."""

    source: Source
    trace_id: str
    span_id: str
    parent_id: str
    started_ns: int
    ended_ns: int
    status: int
    attributes: Mapping[str, Value]


class LogRecord(msgspec.Struct, frozen=True):
    """`event`: its name, wherever the emitter put it: the field of the protocol, or the body."""

    source: Source
    event: str
    at_ns: int
    attributes: Mapping[str, Value]


def decompressed(body: bytes, encoding: str) -> bytes:
    """Return the body without its `Content-Encoding`. Raises `UnreadableError`, `TooLargeError`."""
    if encoding in ("", "identity"):
        plain = body
    elif encoding == "gzip":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
                plain = file.read(LARGEST_BODY + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableError(f"gzip: {error}") from error
    else:
        raise UnreadableError(f"Content-Encoding: {encoding[:40]}")
    if len(plain) > LARGEST_BODY:
        raise TooLargeError
    return plain


def spans(body: bytes, *, is_json: bool) -> list[Span]:
    """Return the spans of an export. Raises `UnreadableError`."""
    return list(_json_spans(body) if is_json else _protobuf_spans(body))


def logs(body: bytes, *, is_json: bool) -> list[LogRecord]:
    """Return the log records of an export. Raises `UnreadableError`."""
    return list(_json_logs(body) if is_json else _protobuf_logs(body))


# ── Protobuf ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _parsed(message: Any, body: bytes) -> Any:
    try:
        return message.FromString(body)
    except DecodeError as error:
        raise UnreadableError(str(error)) from error


def _protobuf_spans(body: bytes) -> Iterator[Span]:
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


def _protobuf_logs(body: bytes) -> Iterator[LogRecord]:
    for resource in _parsed(ExportLogsServiceRequest, body).resource_logs:
        of_resource = _values(resource.resource.attributes)
        for group in resource.scope_logs:
            source = Source(of_resource, group.scope.name, group.scope.version)
            for record in group.log_records:
                at_ns = record.time_unix_nano or record.observed_time_unix_nano
                yield LogRecord(
                    source, _event(record.event_name, record.body.string_value), at_ns, _values(record.attributes)
                )


_PLAIN = frozenset(("string_value", "bool_value", "int_value", "double_value"))


def _values(pairs: Iterable[Any]) -> dict[str, Value]:
    """Return the wanted attributes. None of these is a list or a map in any convention."""
    found: dict[str, Value] = {}
    for pair in pairs:
        if is_wanted(pair.key) and (kind := pair.value.WhichOneof("value")) in _PLAIN:
            found[pair.key] = getattr(pair.value, kind)
    return found


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Json(msgspec.Struct, rename="camel"):
    pass


class _AnyValue(_Json):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None

    def plain(self) -> Value | None:
        for value in (self.string_value, self.bool_value, self.double_value):
            if value is not None:
                return value
        return _integer(self.int_value)


class _KeyValue(_Json):
    key: str = ""
    value: _AnyValue | None = None


class _Holder(_Json):
    """A resource or a scope."""

    name: str | None = None
    version: str | None = None
    attributes: list[_KeyValue] | None = None


class _Status(_Json):
    code: int | None = None


class _JsonSpan(_Json):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    attributes: list[_KeyValue] | None = None
    status: _Status | None = None


class _JsonRecord(_Json):
    time_unix_nano: int | str | None = None
    observed_time_unix_nano: int | str | None = None
    event_name: str | None = None
    body: _AnyValue | None = None
    attributes: list[_KeyValue] | None = None


class _ScopeSpans(_Json):
    scope: _Holder | None = None
    spans: list[_JsonSpan] | None = None


class _ScopeLogs(_Json):
    scope: _Holder | None = None
    log_records: list[_JsonRecord] | None = None


class _ResourceSpans(_Json):
    resource: _Holder | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _ResourceLogs(_Json):
    resource: _Holder | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Traces(_Json):
    resource_spans: list[_ResourceSpans] | None = None


class _Logs(_Json):
    resource_logs: list[_ResourceLogs] | None = None


_traces = msgspec.json.Decoder(_Traces)
_logs = msgspec.json.Decoder(_Logs)


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnreadableError(str(error)) from error


def _json_spans(body: bytes) -> Iterator[Span]:
    for resource in _decoded(_traces, body).resource_spans or ():
        of_resource = _json_values(resource.resource)
        for group in resource.scope_spans or ():
            source = _source(of_resource, group.scope)
            for span in group.spans or ():
                yield Span(
                    source,
                    (span.trace_id or "").lower(),
                    (span.span_id or "").lower(),
                    (span.parent_span_id or "").lower(),
                    _integer(span.start_time_unix_nano) or 0,
                    _integer(span.end_time_unix_nano) or 0,
                    (span.status.code or 0) if span.status else 0,
                    _json_values(span),
                )


def _json_logs(body: bytes) -> Iterator[LogRecord]:
    for resource in _decoded(_logs, body).resource_logs or ():
        of_resource = _json_values(resource.resource)
        for group in resource.scope_logs or ():
            source = _source(of_resource, group.scope)
            for record in group.log_records or ():
                at_ns = _integer(record.time_unix_nano) or _integer(record.observed_time_unix_nano) or 0
                body_text = (record.body.string_value or "") if record.body else ""
                yield LogRecord(source, _event(record.event_name or "", body_text), at_ns, _json_values(record))


def _source(resource: Mapping[str, Value], scope: _Holder | None) -> Source:
    return Source(resource, (scope.name or "") if scope else "", (scope.version or "") if scope else "")


def _json_values(holder: Any) -> dict[str, Value]:
    pairs = (holder.attributes if holder else None) or ()
    return {
        pair.key: plain
        for pair in pairs
        if pair.value is not None and is_wanted(pair.key) and (plain := pair.value.plain()) is not None
    }


_INTEGER = re.compile(r"-?\d{1,19}")


def _integer(value: int | str | None) -> int | None:
    """Return a 64-bit integer, which JSON writes as text; None for anything else."""
    if isinstance(value, str):
        value = int(value) if _INTEGER.fullmatch(value) else None
    return value if value is not None and abs(value) < 2**64 else None


_EVENT = re.compile(r"[a-z_.]{1,60}")


def _event(name: str, body: str) -> str:
    """Return the event's name. A body that is no name may be a prompt: it is left out."""
    return next((text for text in (name, body) if _EVENT.fullmatch(text)), "")
