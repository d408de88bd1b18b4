"""Reads an event: a call that another program reports as JSON. docs/ingest.md describes its fields."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from django.utils.translation import gettext
from msgspec import UNSET, Meta, UnsetType

from usage_billing.costing import usage_shapes
from usage_billing.costing.costs import CLOCK_TOLERANCE
from usage_billing.ingest.events_units import Told, Units, UnitsError, told_by
from usage_billing.ingest.provider_names import provider_of
from usage_billing.ingest.reported import ReportedCall, Source, event_of
from usage_billing.recording import Attribution, Event, gate, tags
from usage_billing.recording.event import Flavour
from usage_billing.recording.gate import LARGEST_NUMBER
from usage_billing.recording.texts import clean

EARLIEST = datetime(2015, 1, 1, tzinfo=UTC)
"""No provider sold calls before; an earlier time is a wrong one."""
MOST_TAGS = tags.MOST - 1
"""The most tags of an event: the name of its service token is one more."""


class EventError(ValueError):
    """Raised for an event that cannot be taken. The text says why."""


class Given(NamedTuple):
    """An event as a call of nobody yet, with the organisation and the user that it names."""

    event: Event
    org: int | str | None = None
    user: int | str | None = None

    @property
    def request_id(self) -> str:
        return self.event.request_id


_Id = Annotated[str, Meta(min_length=1, max_length=gate.LENGTHS["request_id"])]
_Word = Annotated[str, Meta(max_length=100)]
_Short = Annotated[str, Meta(max_length=50)]
_Key = Annotated[int, Meta(ge=0, le=2**63 - 1)] | _Word


class _Fields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    request_id: _Id
    provider: Annotated[str, Meta(min_length=1, max_length=gate.LENGTHS["ai_provider"])]
    model: Annotated[str, Meta(max_length=gate.LENGTHS["ai_model"])]
    api: Flavour | None = None
    usage: dict[str, Any] | UnsetType | None = UNSET
    units: Units | None = None
    time: int | float | str | None = None
    duration_ms: Annotated[float, Meta(ge=0, le=LARGEST_NUMBER)] = 0
    status: Literal["succeeded", "failed", "aborted"] = "succeeded"
    error_code: Annotated[str, Meta(max_length=gate.LENGTHS["error_code"])] = ""
    context: Annotated[dict[_Short, Annotated[str, Meta(max_length=64)]], Meta(max_length=gate.DEPTH)] = {}
    org: _Key | None = None
    user: _Key | None = None
    agent_id: _Word | None = None
    request_type: _Word | None = None
    workflow_id: _Key | None = None
    content_id: _Key | None = None
    platform: _Short | None = None
    content_type: _Short | None = None
    task_type: _Short | None = None
    tags: dict[str, str | int | float | bool | None] = {}
    metadata: dict[str, Any] = {}
    cost_usd: int | float | str | None = None


def read(given: Any, *, source: Source, now: datetime) -> Given:
    """Return the event. Raises `EventError`. now: the moment of an event without a time."""
    try:
        fields = msgspec.convert(given, _Fields)
    except msgspec.ValidationError as error:
        raise EventError(_plain(str(error))) from None
    provider = provider_of(fields.provider)
    told = _told(fields, provider)
    call = ReportedCall(
        source=source,
        request_id=_request_id(fields.request_id),
        started_at=_moment(fields.time, now).timestamp(),
        provider=provider,
        model=fields.model,
        api=told.api,
        usage=told.block,
        units=told.units,
        duration_ms=round(fields.duration_ms),
        status=fields.status,
        error_code=fields.error_code,
        context=fields.context,
        attribution=_attribution(fields),
        missing=told.missing,
        told_cost_usd=told_cost(fields.cost_usd),
    )
    return Given(bounded(event_of(call)), fields.org, fields.user)


def bounded(event: Event) -> Event:
    """Return the event within the gate's bounds. Raises `EventError` if its usage is not."""
    within = gate.admitted(event)
    if within.usage != event.usage and b'"unreadable"' in bytes(within.usage):
        reason = msgspec.json.decode(within.usage)["unreadable"]
        raise EventError(gettext("The usage cannot be read: %(reason)s.") % {"reason": reason})
    return within


def told_cost(given: Any) -> str:
    """Return a told cost as a decimal text; empty for None. Raises `EventError`."""
    if given is None or given == "":
        return ""
    try:
        amount = Decimal(str(given))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(given, bool) or not amount.is_finite() or not 0 <= amount <= LARGEST_NUMBER:
        raise EventError(gettext("cost_usd must be an amount in USD, 0 or more."))
    return format(amount.normalize() + 0, "f")


def _plain(message: str) -> str:
    """Return msgspec's message with the field's name alone: `$.units.input_tokens` is `units.input_tokens`."""
    return message.replace("`$.", "`").replace("`$`", "the event")


def _request_id(given: str) -> str:
    if clean(given) != given or given != given.strip():
        raise EventError(gettext("request_id must be printable text without spaces around it."))
    return given


def _moment(given: float | str | None, now: datetime) -> datetime:
    if given is None:
        return now
    try:
        moment = _from_text(given) if isinstance(given, str) else datetime.fromtimestamp(given, UTC)
    except (ValueError, OverflowError, OSError):
        raise EventError(
            gettext("time must be RFC 3339 with an offset, such as 2026-11-18T09:00:00Z, or epoch seconds.")
        ) from None
    if moment < EARLIEST:
        raise EventError(gettext("time lies before 2015."))
    if moment - now > CLOCK_TOLERANCE:
        raise EventError(gettext("time lies in the future. Epoch times are in seconds."))
    return moment


def _from_text(given: str) -> datetime:
    moment = datetime.fromisoformat(given)
    if moment.tzinfo is None or len(given) < len("2026-11-18T09:00Z"):
        raise ValueError("no offset")
    return moment


def _told(fields: _Fields, provider: str) -> Told:
    """Return the usage, from the block or from the units."""
    if fields.units is not None:
        if fields.usage is not UNSET and fields.usage is not None:
            return _beside_block(fields, fields.usage, fields.units, provider)
        try:
            return told_by(fields.units, api=fields.api, provider=provider, model=fields.model)
        except UnitsError as error:
            raise EventError(str(error)) from None
    if fields.usage is UNSET and fields.status == "succeeded":
        raise EventError(gettext("Give usage (the provider's block) or units. Usage that nobody told is null."))
    block = None if fields.usage is UNSET else fields.usage
    return Told(fields.api or api_of(block, provider, fields.model), block, {})


def _beside_block(fields: _Fields, block: dict[str, Any], units: Units, provider: str) -> Told:
    """Return a block and units that it does not report, such as the searches of a response."""
    beside = told_by(units, api="unknown", provider="", model="")
    if any((beside.block or {}).values()):
        raise EventError(gettext("Give tokens and seconds in usage or in units, not in both."))
    return Told(fields.api or api_of(block, provider, fields.model), block, beside.units)


def api_of(block: dict[str, Any] | None, provider: str, model: str) -> Flavour:
    """Return the API that a block looks like; of an event without one, the usual API of the provider."""
    shape = usage_shapes.shape_of(block, provider, model) if block else _USUAL.get(provider, "")
    if shape == "chat" and block and "completion_tokens" not in block and "embed" in model.lower():
        return "embeddings"
    return _FLAVOURS.get(shape, "unknown")


_USUAL = {"anthropic": "messages", "openai": "chat", "azure": "chat"}
_FLAVOURS: dict[str, Flavour] = {
    "chat": "chat",
    "responses": "responses",
    "messages": "messages",
    "realtime": "realtime",
    "transcription": "transcription",
}


def _attribution(fields: _Fields) -> Attribution:
    if len(fields.tags) > MOST_TAGS:
        raise EventError(gettext("An event has at most %(most)d tags.") % {"most": MOST_TAGS})
    words = {name: _text(value) for name, value in fields.tags.items() if _text(value)}
    if tags.bounded(words) != words:
        raise EventError(
            gettext(
                "Tags are short words: a key has up to %(key)d letters, digits and _ - . :, a value up to %(value)d"
                " printable characters."
            )
            % {"key": tags.KEY_LENGTH, "value": tags.VALUE_LENGTH}
        )
    return Attribution(
        agent_id=fields.agent_id or "",
        request_type=fields.request_type or "",
        workflow_id=_text(fields.workflow_id) or None,
        content_id=_text(fields.content_id) or None,
        platform=fields.platform or "",
        content_type=fields.content_type or "",
        task_type=fields.task_type or "",
        tags=words,
        metadata=fields.metadata,
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
