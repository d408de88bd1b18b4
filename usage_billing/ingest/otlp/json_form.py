"""Reads export requests in JSON.

It has the protocol's own form: names in lowerCamelCase, ids in hexadecimal, enums as integers, 64-bit integers as texts
or numbers; unknown fields are ignored (OpenTelemetry Protocol, JSON Protobuf Encoding).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from usage_billing.ingest.otlp.names import is_wanted
from usage_billing.ingest.otlp.records import LogRecord, Source, Span, UnreadableError, event_name
from usage_billing.ingest.otlp.values import Value


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


def spans(body: bytes) -> Iterator[Span]:
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


def logs(body: bytes) -> Iterator[LogRecord]:
    for resource in _decoded(_logs, body).resource_logs or ():
        of_resource = _json_values(resource.resource)
        for group in resource.scope_logs or ():
            source = _source(of_resource, group.scope)
            for record in group.log_records or ():
                at_ns = _integer(record.time_unix_nano) or _integer(record.observed_time_unix_nano) or 0
                body_text = (record.body.string_value or "") if record.body else ""
                yield LogRecord(source, event_name(record.event_name or "", body_text), at_ns, _json_values(record))


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
