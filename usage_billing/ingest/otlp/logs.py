"""Reads the logs of coding agents as calls: Claude Code and Codex tell their usage on the logs signal.

Claude Code, Monitoring: `claude_code.api_request`, `claude_code.api_error`. Codex, Configuration, otel:
`codex.sse_event`, `codex.api_request`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from usage_billing.ingest.otlp.records import LogRecord
from usage_billing.ingest.otlp.told import Told, attribution_of, merged, org_of, person_of
from usage_billing.ingest.otlp.values import Attributes, UnreadableCountError, amount, first, named_count
from usage_billing.ingest.provider_names import CACHE_WRITE_LIFETIME
from usage_billing.ingest.reported import ReportedCall

SHORTEST_ID = 20
SUBSCRIPTION = "subscription"
"""What is missing of a call that a plan pays for: its price."""


def read(records: Iterable[LogRecord]) -> Iterator[Told]:
    """Return the calls of an export; other records are left out."""
    for record in records:
        attributes = merged(record.source.resource, record.attributes)
        name = record.event or first(attributes, ("event.name",))
        agent = name.partition(".")[0] if "." in name else _AGENTS.get(record.source.scope, "")
        reader = _READERS.get((agent, name.rpartition(".")[2]))
        if reader is not None and (call := reader(record, attributes)) is not None:
            yield Told(call, org_of(attributes), person_of(attributes))


_AGENTS = {"com.anthropic.claude_code.events": "claude_code", "com.anthropic.claude_code": "claude_code"}
"""Scope → agent, for event names without it."""


def _claude_request(record: LogRecord, attributes: Attributes) -> ReportedCall | None:
    """Read `claude_code.api_request`. Its input count is without the cached tokens, and lifetimes are not told."""
    missing = ""
    try:
        counts = {
            "input_tokens": named_count(attributes, ("input_tokens",)) or 0,
            "output_tokens": named_count(attributes, ("output_tokens",)) or 0,
            "cache_read_input_tokens": named_count(attributes, ("cache_read_tokens",)) or 0,
            "cache_creation_input_tokens": named_count(attributes, ("cache_creation_tokens",)) or 0,
        }
    except UnreadableCountError as error:
        counts, missing = {}, f"unreadable-count:{error}"
    if counts.get("cache_creation_input_tokens"):
        missing = CACHE_WRITE_LIFETIME
    is_fast = first(attributes, ("speed",)) == "fast"
    block = {**counts, **({"speed": "fast"} if is_fast else {})}
    return _claude(record, attributes, usage=block or None, missing=missing)


def _claude_error(record: LogRecord, attributes: Attributes) -> ReportedCall | None:
    """Read `claude_code.api_error`: a call that failed for good. What the server said is not read."""
    return _claude(record, attributes, status="failed", error_code=_http_code(attributes, "status_code"))


def _claude(record: LogRecord, attributes: Attributes, **fields: object) -> ReportedCall:
    model = first(attributes, ("model",))
    given = first(attributes, ("request_id",))
    organization = first(attributes, ("organization.id",))
    return _call(
        record,
        attributes,
        request_id=given if len(given) >= SHORTEST_ID else _made_up(record, attributes, "session.id"),
        provider=_cloud_of(model),
        model=model,
        api="messages",
        account={"organization": organization} if organization else {},
        told_cost_usd=amount(first(attributes, ("cost_usd",))),
        **fields,
    )


def _cloud_of(model: str) -> str:
    """Return who serves a model of that name: Bedrock and Vertex have names of their own for Claude."""
    if "anthropic." in model:
        return "aws"
    return "google" if "@" in model else "anthropic"


def _codex_event(record: LogRecord, attributes: Attributes) -> ReportedCall | None:
    """Read `codex.sse_event`: the last event of an answer has its usage, in the manner of OpenAI's Responses API."""
    match first(attributes, ("event.kind",)):
        case "response.completed":
            return _codex_answer(record, attributes)
        case "response.failed":
            return _codex(record, attributes, status="failed", error_code="response.failed")
        case _:
            return None


def _codex_answer(record: LogRecord, attributes: Attributes) -> ReportedCall:
    missing = SUBSCRIPTION if "chatgpt" in first(attributes, ("auth_mode",)).lower() else ""
    try:
        given = named_count(attributes, ("input_token_count",))
        made = named_count(attributes, ("output_token_count",))
        cached = named_count(attributes, ("cached_token_count",)) or 0
        thought = named_count(attributes, ("reasoning_token_count",)) or 0
    except UnreadableCountError as error:
        return _codex(record, attributes, missing=f"unreadable-count:{error}")
    if given is None or made is None:
        return _codex(record, attributes, missing=missing)
    usage = {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": given + made,
    }
    return _codex(record, attributes, usage=usage, missing=missing)


def _codex_request(record: LogRecord, attributes: Attributes) -> ReportedCall | None:
    """Read `codex.api_request`: a call only if it failed, for an answered one tells its usage later."""
    code = _http_code(attributes, "http.response.status_code")
    return _codex(record, attributes, status="failed", error_code=code) if code >= "400" else None


def _codex(record: LogRecord, attributes: Attributes, **fields: object) -> ReportedCall:
    return _call(
        record,
        attributes,
        request_id=_made_up(record, attributes, "conversation.id"),
        provider="openai",
        model=first(attributes, ("model",)),
        api="responses",
        **fields,
    )


_READERS: dict[tuple[str, str], Callable[[LogRecord, Attributes], ReportedCall | None]] = {
    ("claude_code", "api_request"): _claude_request,
    ("claude_code", "api_error"): _claude_error,
    ("codex", "sse_event"): _codex_event,
    ("codex", "api_request"): _codex_request,
}
"""Agent, event → its reader."""


def _call(record: LogRecord, attributes: Attributes, **fields: object) -> ReportedCall:
    """Return a call that ended when its record was written."""
    duration_ms = _milliseconds(attributes)
    return ReportedCall(
        source="otlp",
        started_at=_ended_at(record, attributes) - duration_ms / 1000,
        duration_ms=duration_ms,
        attribution=attribution_of(attributes),
        emitter=" ".join(filter(None, (record.source.scope, record.source.version)))[:200],
        **fields,  # type: ignore[arg-type]
    )


def _ended_at(record: LogRecord, attributes: Attributes) -> float:
    if record.at_ns:
        return record.at_ns / 1e9
    try:
        return datetime.fromisoformat(first(attributes, ("event.timestamp",))).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _milliseconds(attributes: Attributes) -> int:
    text = first(attributes, ("duration_ms",))
    return round(float(text)) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) else 0


def _http_code(attributes: Attributes, name: str) -> str:
    text = first(attributes, (name,))
    return text if re.fullmatch(r"\d{3}", text) else ""


def _made_up(record: LogRecord, attributes: Attributes, conversation: str) -> str:
    """Return an id that is the same each time the record is sent: its event, conversation, moment and number."""
    parts = (conversation, "event.timestamp", "event.sequence")
    name = record.event or first(attributes, ("event.name",))
    return ":".join((name, *(first(attributes, (part,)) for part in parts), str(record.at_ns or "")))
