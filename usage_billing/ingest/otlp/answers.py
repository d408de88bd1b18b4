"""Answers of the receiver, in the encoding of the request (OTLP/HTTP, Response; `google.rpc.Status` for errors)."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from django.http import HttpResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

JSON, PROTOBUF = "application/json", "application/x-protobuf"


class Signal(NamedTuple):
    """A signal's answer message, and its field for the number of refused items, in protobuf and in JSON."""

    response: type
    rejected: str
    json_rejected: str


TRACES = Signal(ExportTraceServiceResponse, "rejected_spans", "rejectedSpans")
LOGS = Signal(ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords")
METRICS = Signal(ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints")


def taken(signal: Signal, refused: int, message: str, *, is_json: bool) -> HttpResponse:
    """Answer that the export was taken but for `refused` items, which must not be sent again."""
    if is_json:
        told = {"partialSuccess": {signal.json_rejected: str(refused), "errorMessage": message}} if message else {}
        return HttpResponse(msgspec.json.encode(told), content_type=JSON)
    response = signal.response()
    if message:
        setattr(response.partial_success, signal.rejected, refused)
        response.partial_success.error_message = message
    return HttpResponse(response.SerializeToString(), content_type=PROTOBUF)


CODES = {400: 3, 401: 16, 403: 7, 405: 12, 413: 8, 415: 3, 429: 8, 503: 14}
"""HTTP status → `google.rpc.Code`."""


def failed(http_status: int, message: str, *, is_json: bool, retry_after_s: int = 0) -> HttpResponse:
    """Answer with an error. The sender repeats the export only after 429 and 503."""
    code = CODES[http_status]
    body = msgspec.json.encode({"code": code, "message": message}) if is_json else _status(code, message)
    response = HttpResponse(body, status=http_status, content_type=JSON if is_json else PROTOBUF)
    if retry_after_s:
        response["Retry-After"] = str(retry_after_s)
    if http_status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="otlp"'
    return response


def _status(code: int, message: str) -> bytes:
    """Return a `google.rpc.Status`: field 1 is the code, field 2 the message. No installed package has its class."""
    text = message.encode()
    return b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    more = number >> 7
    return bytes((number & 0x7F | 0x80,)) + _varint(more) if more else bytes((number,))
