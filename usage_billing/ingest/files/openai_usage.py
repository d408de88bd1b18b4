"""Reads OpenAI's usage export: the CSV of the dashboard, with a row for each bucket of time, model, project, key.

Its columns are those of the Usage API (SDK: `UsageCompletionsResponse`): `input_tokens` includes cached and
cache-written tokens, `input_audio_tokens` is uncached audio alone. A row is the sum of many calls. It becomes one
record at the beginning of its bucket, which says how many calls it is the sum of (`response_metadata.requests`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.utils.translation import gettext

from usage_billing.ingest.events import EventError, Given, bounded
from usage_billing.ingest.events_units import Units, UnitsError, told_by
from usage_billing.ingest.files.rows import Maps, SkippedError, count_of, expect_past, moment_of, text_of
from usage_billing.ingest.reported import ReportedCall, event_of
from usage_billing.recording import Attribution
from usage_billing.recording.event import Flavour

KEY = (
    "start_time",
    "end_time",
    "project_id",
    "user_id",
    "api_key_id",
    "model",
    "batch",
    "service_tier",
    "source",
    "size",
)
"""The columns that tell rows of a bucket apart."""


class Reader:
    """Reads the rows of one file, in their order: a bucket may have several rows with the same key."""

    def __init__(self) -> None:
        self._bucket = ""
        self._seen: dict[str, int] = {}

    def __call__(self, row: Mapping[str, Any], maps: Maps, now: datetime) -> Given:
        """Return the calls of a row as one. Raises `EventError`, and `SkippedError` for an empty bucket."""
        model = text_of(row.get("model"))
        requests = count_of(row, "num_model_requests") or count_of(row, "n_requests")
        units, api = _units(row)
        if not model and units == Units() and not requests:
            raise SkippedError(gettext("an empty bucket"))
        if not model:
            raise EventError(gettext("The row names no model. Export the usage grouped by model."))
        started_at = expect_past(moment_of(row, ("start_time", "start_time_iso")), now)
        if _end(row) > now:
            raise EventError(gettext("The bucket is not over, so its sums still grow. Export it again when it is."))
        try:
            told = told_by(units, api=api, provider="openai", model=model)
        except UnitsError as error:
            raise EventError(str(error)) from None
        is_batch = text_of(row.get("batch")).lower() == "true"
        tier = "" if is_batch else text_of(row.get("service_tier"))
        context = {"processing": "batch"} if is_batch else {"service_tier": tier} if tier else {}
        call = ReportedCall(
            source="import",
            emitter="openai-usage",
            request_id=self._id(row),
            started_at=started_at.timestamp(),
            provider="openai",
            model=model,
            api=told.api,
            usage=told.block,
            units=told.units,
            context=context,
            account={"project": text_of(row.get("project_id"))},
            attribution=_attribution(row),
            missing=_missing(row),
            requests=requests,
        )
        org = maps.org(row.get("project_id"), row.get("api_key_id"))
        return Given(bounded(event_of(call)), org, maps.user(row.get("user_id")))

    def _id(self, row: Mapping[str, Any]) -> str:
        """Return an id that the same row has in each export: of its key, and of its number among equal keys."""
        bucket = text_of(row.get("start_time")) or text_of(row.get("start_time_iso"))
        if bucket != self._bucket:
            self._bucket, self._seen = bucket, {}
        key = "\n".join((bucket, *(text_of(row.get(name)) for name in KEY)))
        self._seen[key] = number = self._seen.get(key, 0) + 1
        return f"openai-usage-{hashlib.sha256(f'{key}#{number}'.encode()).hexdigest()[:32]}"


def _end(row: Mapping[str, Any]) -> datetime:
    try:
        return moment_of(row, ("end_time", "end_time_iso"))
    except EventError:
        return datetime.min.replace(tzinfo=UTC)


def _units(row: Mapping[str, Any]) -> tuple[Units, Flavour | None]:
    written = count_of(row, "input_cache_write_tokens")
    longer = count_of(row, "input_cache_write_12h_tokens")
    cached_audio = count_of(row, "input_cached_audio_tokens")
    counts = {
        "input_tokens": count_of(row, "input_tokens") or count_of(row, "n_context_tokens_total"),
        "output_tokens": count_of(row, "output_tokens") or count_of(row, "n_generated_tokens_total"),
        "cached_input_tokens": count_of(row, "input_cached_tokens"),
        "cache_write_tokens": max(written, longer + count_of(row, "input_cache_write_30m_tokens")),
        "cache_write_12h_tokens": longer,
        "input_audio_tokens": count_of(row, "input_audio_tokens") + cached_audio,
        "cached_input_audio_tokens": cached_audio,
        "output_audio_tokens": count_of(row, "output_audio_tokens"),
        "images": count_of(row, "images"),
        "input_characters": count_of(row, "characters"),
        "audio_seconds": count_of(row, "seconds"),
    }
    return msgspec.convert(counts, Units), None


def _missing(row: Mapping[str, Any]) -> str:
    """Return a fact that the price depends on: image tokens have no place in a block of text."""
    images = ("input_image_tokens", "input_cached_image_tokens", "output_image_tokens")
    return "image-tokens-of-a-sum" if any(count_of(row, name) for name in images) else ""


def _attribution(row: Mapping[str, Any]) -> Attribution:
    names = {"openai_user": "user_id", "openai_api_key": "api_key_id"}
    kept = {name: text_of(row.get(column)) for name, column in names.items()}
    return Attribution(metadata={name: value for name, value in kept.items() if value})
