"""Reads LiteLLM's spend logs: its table `LiteLLM_SpendLogs` as JSON, JSON Lines or CSV.

LiteLLM, schema.prisma, `LiteLLM_SpendLogs`: a row a request. `request_id` is the id of the answer where the provider
gave one. `metadata.usage_object` is the usage in the words of OpenAI's chat, whoever answered: its `prompt_tokens`
include cache reads and writes; older versions left the writes, or both, out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
from django.utils.translation import gettext

from usage_billing.ingest.events import EventError, Given, bounded, told_cost
from usage_billing.ingest.events_units import Units, UnitsError, told_by
from usage_billing.ingest.files.rows import (
    Maps,
    SkippedError,
    count_of,
    expect_past,
    moment_of,
    object_of,
    text_of,
)
from usage_billing.ingest.provider_names import provider_of
from usage_billing.ingest.reported import ReportedCall, event_of
from usage_billing.recording import Attribution, gate, tags
from usage_billing.recording.event import Flavour

APIS: dict[str, Flavour] = {
    "embedding": "embeddings",
    "image_generation": "images",
    "image_edit": "images",
    "transcription": "transcription",
    "speech": "speech",
    "responses": "responses",
    "anthropic_messages": "messages",
    "realtime": "realtime",
}
"""`call_type`, without the `a` of its asynchronous twin → API. Any other one is told by provider and model."""

_READ = {
    "text_tokens", "cached_tokens", "cache_creation_tokens", "cache_write_tokens", "audio_tokens", "reasoning_tokens",
    "web_search_requests", "accepted_prediction_tokens", "rejected_prediction_tokens", "ephemeral_5m_input_tokens",
    "ephemeral_1h_input_tokens", "image_tokens",
}  # fmt: skip


def call_of(row: Mapping[str, Any], maps: Maps, now: datetime) -> Given:
    """Return the call of a row. Raises `EventError`, and `SkippedError` for an answer of LiteLLM's own cache."""
    request_id = text_of(row.get("request_id"))
    if not request_id or len(request_id) > gate.LENGTHS["request_id"]:
        raise EventError(
            gettext("request_id must have 1 to %(most)d characters.") % {"most": gate.LENGTHS["request_id"]}
        )
    if text_of(row.get("cache_hit")).lower() == "true":
        raise SkippedError("an answer of LiteLLM's own cache: no provider was called")
    started_at = expect_past(moment_of(row, ("startTime", "start_time")), now)
    metadata = object_of(row.get("metadata"))
    provider = provider_of(text_of(row.get("custom_llm_provider")) or _vendor(text_of(row.get("model"))))
    model = text_of(row.get("model")).removeprefix(f"{text_of(row.get('custom_llm_provider'))}/")
    has_failed = text_of(row.get("status")).lower() in ("failure", "failed", "error")
    usage = metadata.get("usage_object") or metadata.get("additional_usage_values")
    units, unread = _units(row, usage if isinstance(usage, dict) else {})
    call_type = text_of(row.get("call_type"))
    api = APIS.get(call_type) or APIS.get(call_type.removeprefix("a"))
    try:
        told = told_by(units, api=api, provider=provider, model=model)
    except UnitsError as error:
        raise EventError(str(error)) from None
    is_empty = units == Units()
    call = ReportedCall(
        source="import",
        emitter="litellm",
        request_id=request_id,
        started_at=started_at.timestamp(),
        duration_ms=_duration(row, started_at),
        provider=provider,
        model=model,
        api=told.api,
        usage=None if is_empty else told.block,
        units=told.units,
        context=_context(usage if isinstance(usage, dict) else {}),
        status="failed" if has_failed else "succeeded",
        error_code=_error(metadata) if has_failed else "",
        attribution=_attribution(row, metadata),
        missing=told.missing or (f"unread-usage:{unread}" if unread else ""),
        told_cost_usd=told_cost(row.get("spend")),
    )
    org = maps.org(
        row.get("organization_id"), row.get("team_id"), row.get("api_key"), metadata.get("user_api_key_alias")
    )
    return Given(bounded(event_of(call)), org, maps.user(row.get("user"), row.get("end_user")))


def _context(usage: Mapping[str, Any]) -> dict[str, str]:
    """Return what the price depends on beside the counts. LiteLLM, `Usage`: `speed`, `inference_geo`."""
    told = {name: text_of(usage.get(name)) for name in ("service_tier", "speed", "inference_geo")}
    return {name: text for name, text in told.items() if text}


def _vendor(model: str) -> str:
    vendor, slash, _ = model.partition("/")
    return vendor if slash else "unknown"


def _units(row: Mapping[str, Any], usage: Mapping[str, Any]) -> tuple[Units, str]:
    """Return the units, and the name of a count that has none of them; empty if all are read."""
    inputs, outputs = object_of(usage.get("prompt_tokens_details")), object_of(usage.get("completion_tokens_details"))
    writes = object_of(inputs.get("cache_creation_token_details"))
    counts = {
        "cached_input_tokens": _most(inputs, "cached_tokens", usage, "cache_read_input_tokens"),
        "cache_write_tokens": max(
            _most(inputs, "cache_creation_tokens", usage, "cache_creation_input_tokens"),
            count_of(inputs, "cache_write_tokens"),
        ),
        "cache_write_5m_tokens": count_of(writes, "ephemeral_5m_input_tokens"),
        "cache_write_1h_tokens": count_of(writes, "ephemeral_1h_input_tokens"),
        "input_audio_tokens": count_of(inputs, "audio_tokens"),
        "output_tokens": _most(usage, "completion_tokens", row, "completion_tokens"),
        "reasoning_tokens": count_of(outputs, "reasoning_tokens"),
        "output_audio_tokens": count_of(outputs, "audio_tokens"),
        "web_searches": _most(
            inputs, "web_search_requests", object_of(usage.get("server_tool_use")), "web_search_requests"
        ),
    }
    prompt = _most(usage, "prompt_tokens", row, "prompt_tokens")
    cached, written = counts["cached_input_tokens"], counts["cache_write_tokens"]
    if cached + written > prompt:
        # The counts contradict each other only if they stand beside the prompt, or the writes alone do: LiteLLM's
        # older versions. Neither tells the lifetime of writes, so the lower sum is the lower bound of the cost.
        prompt += written if 0 < cached <= prompt and written else cached + written
    image = count_of(inputs, "image_tokens")
    if text_of(row.get("call_type")).removeprefix("a").startswith("image"):
        counts["input_image_tokens"] = image
        counts["output_image_tokens"] = count_of(outputs, "image_tokens")
    elif image or count_of(outputs, "image_tokens"):
        return msgspec.convert({**counts, "input_tokens": prompt}, Units), "image_tokens"
    return msgspec.convert({**counts, "input_tokens": prompt}, Units), next(_unread(inputs, outputs), "")


def _most(one: Mapping[str, Any], name: str, other: Mapping[str, Any], its_name: str) -> int:
    """Return a count that may stand in either place."""
    return max(count_of(one, name), count_of(other, its_name))


def _unread(*details: Mapping[str, Any]) -> Iterator[str]:
    for each in details:
        for name, value in each.items():
            if isinstance(value, int | float) and value > 0 and name not in _READ:
                yield name


def _duration(row: Mapping[str, Any], started_at: datetime) -> int:
    if told := count_of(row, "request_duration_ms"):
        return told
    try:
        ended_at = moment_of(row, ("endTime", "end_time"))
    except EventError:
        return 0
    return max(0, round((ended_at - started_at).total_seconds() * 1000))


def _error(metadata: Mapping[str, Any]) -> str:
    """Return the code and class of an error, without its message, which may quote the prompt."""
    told = object_of(metadata.get("error_information"))
    return " ".join(filter(None, (text_of(told.get("error_code")), text_of(told.get("error_class")))))


_TAG = re.compile(r"([\w.-]{1,40})[:=]\s*(.{1,100})")


def _attribution(row: Mapping[str, Any], metadata: Mapping[str, Any]) -> Attribution:
    given = row.get("request_tags")
    try:
        names = msgspec.json.decode(given) if isinstance(given, str) and given.startswith("[") else given
    except msgspec.DecodeError:
        names = []
    words = [text_of(each) for each in names] if isinstance(names, list) else []
    labels = {found[1]: found[2] for word in words if (found := _TAG.fullmatch(word)) and found[1] != "User-Agent"}
    own = {
        "litellm_team": text_of(metadata.get("user_api_key_team_alias")) or text_of(row.get("team_id")),
        "litellm_key": text_of(metadata.get("user_api_key_alias")),
    }
    kept = {
        "litellm_user": text_of(row.get("user")),
        "litellm_end_user": text_of(row.get("end_user")),
        "session_id": text_of(row.get("session_id")),
        "model_group": text_of(row.get("model_group")),
    }
    return Attribution(
        agent_id=text_of(row.get("agent_id")),
        tags=tags.bounded({name: value for name, value in (own | labels).items() if value}),
        metadata={name: value for name, value in kept.items() if value},
    )
