"""The receiver of OTLP over HTTP: `/v1/traces`, `/v1/logs`, `/v1/metrics`.

The answer 200 says that the calls are in the outbox. Senders repeat an export whose answer got lost; the ledger records
each call once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol
from urllib.parse import unquote

import msgspec
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.views.decorators.csrf import csrf_exempt

from usage_billing.auth.service_tokens import Program, program_of
from usage_billing.auth.token_rate import seconds_to_wait
from usage_billing.ingest.keeping import NotKeptError, keep
from usage_billing.ingest.otlp import answers, logs, records, spans, wire
from usage_billing.ingest.otlp.directory import FAULT, Directory
from usage_billing.ingest.otlp.told import Refused, Told
from usage_billing.ingest.reported import event_of
from usage_billing.recording import Event
from usage_billing.tenancy.scope import outside_scope

RETRY_AFTER_S = 5
MOST_REASONS = 5
"""How many different reasons one answer tells."""


class Read(Protocol):
    """Reads the calls of an export. Raises `records.UnreadableError`."""

    def __call__(self, *, body: bytes, is_json: bool) -> Iterable[Told | Refused]: ...


class RefusedError(Exception):
    """Raised for a request that is answered with an error."""

    def __init__(self, http_status: int, message: str, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.http_status, self.message, self.retry_after_s = http_status, message, retry_after_s


def _receiver(signal: answers.Signal, read: Read) -> Callable[[HttpRequest], HttpResponse]:
    def receive(request: HttpRequest) -> HttpResponse:
        is_json = request.content_type != answers.PROTOBUF
        try:
            program = _program(request)
            body = _body(request)
            refused = _take(program, _read(read, body, is_json=is_json))
        except RefusedError as error:
            response = answers.failed(
                error.http_status, error.message, is_json=is_json, retry_after_s=error.retry_after_s
            )
            if error.http_status == 405:
                response["Allow"] = "POST"
            return response
        return answers.taken(signal, refused.total(), _message(refused), is_json=is_json)

    return csrf_exempt(outside_scope(receive))


def _program(request: HttpRequest) -> Program:
    """Return the sender. Raises `RefusedError`."""
    if request.method != "POST":
        raise RefusedError(405, gettext("Send the export with POST."))
    # Exporters take headers from the environment percent-encoded, and some send them so.
    kind, _, token = unquote(request.headers.get("Authorization", "")).partition(" ")
    try:
        program = program_of(token.strip()) if kind.lower() == "bearer" else None
    except DatabaseError as error:
        raise RefusedError(
            503, gettext("The database does not answer. Send the export again."), RETRY_AFTER_S
        ) from error
    if program is None:
        raise RefusedError(
            401, gettext("Send `Authorization: Bearer` with a service token that is not expired or revoked.")
        )
    if not program.may("ingest"):
        raise RefusedError(403, gettext("The service token may not report calls: it lacks the scope “ingest”."))
    if wait_s := seconds_to_wait(program):
        raise RefusedError(429, gettext("Too many exports with this service token. Send it again later."), wait_s)
    return program


def _body(request: HttpRequest) -> bytes:
    """Return the body without its compression. Raises `RefusedError`."""
    if request.content_type not in (answers.JSON, answers.PROTOBUF):
        raise RefusedError(
            415, gettext("Send the export as application/x-protobuf or application/json, compressed with gzip or not.")
        )
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise RefusedError(415, gettext("Compress the export with gzip, or not at all."))
    try:
        body = request.read(wire.LARGEST_BODY + 1)
        if len(body) > wire.LARGEST_BODY:
            raise wire.TooLargeError
        return wire.decompressed(body, encoding)
    except wire.TooLargeError as error:
        raise RefusedError(
            413,
            gettext("The export is larger than %(megabytes)d MB. Let the exporter send smaller batches.")
            % {"megabytes": wire.LARGEST_BODY // 2**20},
        ) from error
    except (records.UnreadableError, OSError) as error:
        raise _unreadable(error) from error


def _read(read: Read, body: bytes, *, is_json: bool) -> list[Told | Refused]:
    try:
        return list(read(body=body, is_json=is_json))
    except records.UnreadableError as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> RefusedError:
    return RefusedError(400, gettext("The export cannot be read: %(reason)s.") % {"reason": str(error)[:200]})


# ── Taking calls ─────────────────────────────────────────────────────────────────────────────────────────────────


def _take(program: Program, told: list[Told | Refused]) -> Counter[str]:
    """Put the calls into the outbox. Returns how many were refused, by reason. Raises `RefusedError` if it is full."""
    refused = Counter(each.reason for each in told if isinstance(each, Refused))
    calls = [each for each in told if isinstance(each, Told)]
    try:
        directory = Directory(program, calls)
    except DatabaseError as error:
        raise RefusedError(
            503, gettext("The database does not answer. Send the export again."), RETRY_AFTER_S
        ) from error
    events: list[Event] = []
    for call in map(directory.attributed, calls):
        if isinstance(call, Refused):
            refused[call.reason] += 1
        else:
            events.append(_event(call))
    try:
        keep(events)
    except NotKeptError as error:
        raise RefusedError(
            503, gettext("The calls cannot be kept now. Send the export again."), RETRY_AFTER_S
        ) from error
    return refused


def _event(told: Told) -> Event:
    event = event_of(told.call)
    return msgspec.structs.replace(event, response={**event.response, FAULT: told.fault}) if told.fault else event


def _message(refused: Counter[str]) -> str:
    return " ".join(f"{number} × {reason}" for reason, number in refused.most_common(MOST_REASONS))


receive_traces = _receiver(answers.TRACES, lambda *, body, is_json: spans.read(wire.spans(body, is_json=is_json)))
receive_logs = _receiver(answers.LOGS, lambda *, body, is_json: logs.read(wire.logs(body, is_json=is_json)))
# Metrics are sums without ids of calls or their service tiers, so nothing can be billed by them.
receive_metrics = _receiver(answers.METRICS, lambda **_: ())
