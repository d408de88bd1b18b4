"""The event of a call: its attribution, and the usage that the provider reported."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

import msgspec

from usage_billing.recording.context import NOBODY, Attribution

Flavour = Literal[
    "chat",
    "responses",
    "embeddings",
    "images",
    "transcription",
    "speech",
    "messages",
    "decisions",
    "containers",
    "realtime",
    "unknown",
]
"""The provider's API: it decides how the usage block is read. `messages` is Anthropic's, the others are OpenAI's.

`unknown`: an endpoint that is not in `FLAVOURS`; its usage block is read by its shape.
"""

FLAVOURS: dict[str, Flavour] = {
    "/completions": "chat",  # the legacy API's usage block is that of chat
    "/responses": "responses",
    "/responses/compact": "responses",
    "/embeddings": "embeddings",
    "/images/generations": "images",
    "/images/edits": "images",
    "/images/variations": "images",
    "/audio/transcriptions": "transcription",
    "/audio/translations": "transcription",
    "/audio/speech": "speech",
    "/decisions": "decisions",
    "/containers": "containers",  # a container is billed by itself, whether a response uses it or not
    "/v1/messages": "messages",
    # Websockets. The last two stand for a Live session, and for the transcription of what is said in a Realtime one.
    "/realtime": "realtime",
    "/realtime/translations": "realtime",
    "/live": "realtime",
    "/realtime/input_audio_transcription": "realtime",
    # Jobs: each has one path, without the ids in it.
    "/v1/messages/batches": "messages",
    "/batches": "responses",  # SDK: `types.batch_usage.BatchUsage`
    "/threads/runs": "chat",  # SDK: `types.beta.threads.run.Usage`
    "/evals/runs": "chat",  # SDK: `types.evals.run_retrieve_response.PerModelUsage`
    "/agents/sessions": "responses",  # SDK: `types.beta.token_usage.TokenUsage`
    "/agents/sessions/turns": "responses",
    "/v1/sessions": "messages",  # SDK: `types.beta.BetaManagedAgentsSessionUsage`
    "/v1/sessions/events": "messages",  # SDK: `types.beta.sessions.BetaManagedAgentsSpanModelUsage`
    "/videos": "unknown",  # told in seconds
    "/fine_tuning/jobs": "unknown",  # told in trained tokens
    "/v1/dreams": "messages",  # SDK: `types.beta.BetaDreamUsage`
}
"""End of the path → API. Azure and other hosts put their own words in front."""


@functools.lru_cache(maxsize=1024)
def flavour_of(path: str) -> Flavour | None:
    """Return the API of a path (without its query); None if the path bills nothing or is not known."""
    path = path.rstrip("/")
    return next((flavour for end, flavour in FLAVOURS.items() if path.endswith(end)), None)


Status = Literal["succeeded", "failed", "aborted", "pending", "refused"]
"""`refused`: a budget stopped the call before it was sent."""


class Part(msgspec.Struct, frozen=True):
    """Usage of another model within a call, such as an image that a tool made.

    `model` is empty where the answer does not name it: the cost is unknown then.
    """

    model: str
    api: Flavour
    usage: msgspec.Raw


ACCOUNT_COLUMNS = {
    "organization": "provider_organization",
    "project": "provider_project",
    "api_key": "api_key_fingerprint",
    "user_profile": "provider_user_profile",
}
"""Key of `Event.account` → column of `token_usage`."""


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of a job whose requests have records of their own: a batch, or a session.

    A batch ends; a session goes on, and its usage is the sum so far. requests: how many of a batch's requests were
    billed; None if nothing tells. is_read: the results of all requests have been read. files: ids of the files that the
    results are in.
    """

    is_session: bool = False
    has_ended: bool = False
    is_read: bool = False
    requests: int | None = None
    files: list[str] = []


class Hold(msgspec.Struct, frozen=True, array_like=True):
    """What a call has reserved of a budget's lease: `number` within the lease, `amount` in the budget's unit."""

    org_id: int
    lease_id: int
    number: int
    amount: Decimal


class Span(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a span stands in its trace: ids in hexadecimal. ancestors: of the spans around it that are known, nearest
    first.
    """

    trace_id: str
    span_id: str
    ancestors: list[str] = []


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One answered call. Never holds prompt or answer text, keys or headers.

    started_at: moment of the call, seconds since the epoch. duration_ms: from there to the last byte.
    url: without query or credentials. usage: the provider's usage block as it came; `null` if none came.
    units: usage that is not in the block, in genai-prices' words (`web_searches`, `input_characters`, …).
    parts: usage of other models. completes: this is the answer of a background call, whose pending record it completes.
    context: facts of the answer that change its price (`service_tier`, `processing`, …). response: other facts of it.
    account: who pays at the provider, by the keys of `ACCOUNT_COLUMNS`; `api_key` is a fingerprint, never the key.
    origin: the id of the job that the call belongs to (a batch, a file of its results, a session, a background
    response); the record is attributed to whoever began that job. The call that begins it has its id as `request_id`.
    job: the state of that job, if the event is about the job itself. is_listed: a list told it, among jobs that others
    began; it completes a record, and makes none. holds: what the call has reserved; the ledger settles it. provider:
    who answered, where a program that reports the call says so; empty: the URL tells. span: of a call that a span told.
    """

    request_id: str
    started_at: float
    duration_ms: int
    flavour: Flavour
    url: str
    status: Status
    error_code: str = ""
    model: str = ""
    usage: msgspec.Raw = msgspec.Raw(b"null")
    units: dict[str, int | float] = {}
    parts: list[Part] = []
    completes: bool = False
    context: dict[str, str] = {}
    response: dict[str, Any] = {}
    account: dict[str, str] = {}
    attribution: Attribution = NOBODY
    origin: str = ""
    job: Job | None = None
    is_listed: bool = False
    holds: list[Hold] = []
    provider: str = ""
    span: Span | None = None


def plain(value: Any) -> Any:
    """Return a value that JSON cannot hold as text. A function is called: its result is known only after the call."""
    if not inspect.isroutine(value):
        return str(value)
    try:
        return value()
    except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: a bug in metadata must not cost the record
        return f"{type(error).__name__}: {error}"


encode: Callable[[Event], bytes] = msgspec.json.Encoder(enc_hook=plain).encode
"""Write the event as JSON. Metadata that JSON cannot hold becomes text; a function becomes its result."""

decode: Callable[[bytes], Event] = msgspec.json.Decoder(Event).decode
"""Read an event that `encode` wrote. Raises `msgspec.DecodeError` for anything else."""
