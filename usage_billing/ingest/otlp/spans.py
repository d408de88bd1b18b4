"""Reads spans as calls. Those of agents, workflows and tools are skipped: they may repeat their children's sums."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from django.utils.translation import gettext

from usage_billing.ingest.otlp import embedded, emitters, names, operations, served, usage
from usage_billing.ingest.otlp.records import Span
from usage_billing.ingest.otlp.told import Refused, Told, attribution_of, merged, org_of, person_of
from usage_billing.ingest.otlp.values import Attributes, amount, fact
from usage_billing.ingest.reported import ReportedCall
from usage_billing.recording.event import Flavour, Status
from usage_billing.recording.event import Span as Place

SHORTEST_ID = 20
"""An id of fewer characters may not be unique (`chatcmpl-123` of a gateway)."""
MOST_ANCESTORS = 100

_TRACE_ID, _SPAN_ID = re.compile(r"(?!0*$)[0-9a-f]{32}"), re.compile(r"(?!0*$)[0-9a-f]{16}")
UNKNOWN_OPERATION = "unknown-operation"


def read(spans: Iterable[Span]) -> Iterator[Told | Refused]:
    """Return the calls of an export, and the refused spans; those that bill nothing are left out."""
    spans = list(spans)
    parents = {(span.trace_id, span.span_id): span.parent_id for span in spans}
    for span in spans:
        attributes = merged(span.source.resource, span.attributes)
        operation = operations.api_of(attributes)
        if operation is None:
            continue
        if not (_TRACE_ID.fullmatch(span.trace_id) and _SPAN_ID.fullmatch(span.span_id)):
            yield Refused(gettext("A span has no trace id or no span id."))
        elif (call := _call(span, attributes, operation, _ancestors(span, parents))) is not None:
            yield call


def _ancestors(span: Span, parents: Mapping[tuple[str, str], str]) -> list[str]:
    """Return the ids of the spans around it, nearest first, as far as the export tells."""
    found: list[str] = []
    above = span.parent_id
    while above and above not in found and above != span.span_id and len(found) < MOST_ANCESTORS:
        found.append(above)
        above = parents.get((span.trace_id, above), "")
    return found


# ── The call ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _call(span: Span, attributes: Attributes, operation: Flavour, ancestors: list[str]) -> Told | None:
    habit = emitters.habit_of(span.source.scope, span.source.version)
    answer = embedded.answer(attributes)
    answer_id = fact(attributes, "response_id") or answer.id
    model = fact(attributes, "response_model") or answer.model or fact(attributes, "request_model")
    api = _api(operation, attributes, answer_id)
    provider = served.provider_of(attributes, habit, api)
    told = usage.told(attributes, api=api, provider=provider, model=model, habit=habit)
    status = _status(span, attributes, habit, answer_id, has_usage=told.block is not None)
    if habit.begins_streams_empty and status == "succeeded" and told.block is None and not answer_id:
        return None
    block, context, of_tier = served.with_tier(attributes, told, answer.service_tier or "")
    fault = _fault(attributes, habit, has_usage=told.block is not None)
    unknown = (UNKNOWN_OPERATION,) if operation == "unknown" else ()
    missing = (*unknown, *told.missing, *of_tier, *((fault,) if fault else ()))
    started_ns, ended_ns = _times(span, attributes)
    call = ReportedCall(
        source="otlp",
        request_id=_request_id(span, attributes, answer_id, status),
        started_at=started_ns / 1e9,
        duration_ms=max(0, ended_ns - started_ns) // 1_000_000,
        provider=provider,
        model=model,
        api=told.api,
        usage=block,
        status=status,
        error_code=_error_code(attributes) if status == "failed" else "",
        context=context | served.region_of(attributes, provider),
        account={key: value for concept, key in names.ACCOUNT.items() if (value := fact(attributes, concept))},
        attribution=attribution_of(attributes),
        emitter=" ".join(filter(None, (span.source.scope, span.source.version)))[:200],
        missing=missing[0] if missing else "",
        told_cost_usd=amount(fact(attributes, "told_cost")),
        span=Place(trace_id=span.trace_id, span_id=span.span_id, ancestors=ancestors),
    )
    return Told(call, org_of(attributes), person_of(attributes), fault)


def _request_id(span: Span, attributes: Attributes, answer_id: str, status: Status) -> str:
    """Return the id of the answer, as our own recorder has it; of a failed call, that of the request."""
    given = (answer_id, fact(attributes, "request_id") if status == "failed" else "")
    return next((id_ for id_ in given if len(id_) >= SHORTEST_ID), f"{span.trace_id}:{span.span_id}")


def _api(operation: Flavour, attributes: Attributes, answer_id: str) -> Flavour:
    if operation == "embeddings":
        return "embeddings"
    is_response = fact(attributes, "api") == "responses" or answer_id.startswith("resp_")
    return "responses" if is_response else "chat"


def _times(span: Span, attributes: Attributes) -> tuple[int, int]:
    """Return start and end. An event that Logfire sends as a span stands at its end, and tells how long it took."""
    seconds = fact(attributes, "seconds")
    if fact(attributes, "span_kind") == "log" and re.fullmatch(r"\d{1,6}(\.\d+)?", seconds):
        return span.started_ns - round(float(seconds) * 1e9), span.started_ns
    return span.started_ns, span.ended_ns


def _status(span: Span, attributes: Attributes, habit: emitters.Habit, answer_id: str, *, has_usage: bool) -> Status:
    """Return `aborted` for a call whose answer began and whose usage is not told in full."""
    is_failed = span.status == 2 or bool(fact(attributes, "error"))
    if is_failed and not has_usage:
        return "aborted" if answer_id or fact(attributes, "http_status") == "200" else "failed"
    if habit.unset_is_cut and (is_failed or span.status == 0):
        return "aborted"
    return "failed" if is_failed else "succeeded"


def _error_code(attributes: Attributes) -> str:
    """Return the HTTP status and the kind of error: the name of a class without its module."""
    http_status, kind = fact(attributes, "http_status"), fact(attributes, "error").rpartition(".")[2]
    return " ".join(dict.fromkeys(filter(None, (http_status if len(http_status) == 3 else "", kind))))


def _fault(attributes: Attributes, habit: emitters.Habit, *, has_usage: bool) -> str:
    """Return the emitter's fault in this call. Some of its streams are not marked as such."""
    if not (habit.adds_first_output and has_usage):
        return ""
    match fact(attributes, "is_stream"):
        case "true":
            return emitters.OUTPUT_COUNTED_TWICE
        case "false":
            return ""
        case _:
            return emitters.OUTPUT_PERHAPS_COUNTED_TWICE
