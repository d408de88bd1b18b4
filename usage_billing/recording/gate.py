"""Bounds on everything that comes from outside the process: a provider's answer, a caller's attribution, an import.

An event passes here before the outbox and again before the ledger. It is never refused. Text is cleaned, ids that are
too long are hashed, and a usage block that is out of bounds is replaced by the reason, so that the ledger records the
call as unpriced (`unpriced:unreadable-usage`). No content of an event makes a function here raise.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from usage_billing.recording import request_paths, tags
from usage_billing.recording.context import Attribution
from usage_billing.recording.event import ACCOUNT_COLUMNS, FLAVOURS, Event, Job, Part, Span, plain
from usage_billing.recording.texts import REPLACEMENT, UNPRINTABLE, clean, text

LARGEST_NUMBER = 10**12
"""The largest count of any unit (tokens, characters, …), amount of money and duration (ms) of one call.

A total of 64 bits holds nine million such calls.
"""
LENGTHS = {
    "request_id": 200,
    "ai_model": 200,
    "agent_id": 100,
    "request_type": 100,
    "org_key": 100,
    "org_name": 200,
    "org_timezone": 64,
    "workflow_id": 100,
    "content_id": 100,
    "platform": 50,
    "content_type": 50,
    "task_type": 50,
    "error_code": 200,
    "endpoint": 200,
    "ai_provider": 50,
    "price_source": 200,
    "provider_organization": 64,
    "provider_project": 64,
    "api_key_fingerprint": 16,
    "provider_user_profile": 64,
}
"""The longest text, in characters, of each column of `token_usage`."""
USAGE_BYTES = 32 * 1024
"""The largest usage block, as JSON; real ones have less than 2 KB."""
METADATA_CHARACTERS = 16 * 1024
"""The largest `metadata` of a call: all its keys and values together."""
LONGEST_TEXT = 2000
"""The longest single text in `metadata`, and in what is kept of an answer."""
LONGEST_NUMBER = 20
"""The most digits, with the sign, of a whole number that is read."""
DEPTH = 16
"""How deeply a usage block and `metadata` may be nested; real ones are nested four deep."""
PARTS = 100
"""The most other models that one call may have used."""

_EARLIEST, _LATEST = 1_420_070_400.0, 4_102_444_800.0
"""1 January 2015 and 2100, seconds since the epoch: no working clock is outside."""
_Count = Annotated[int, Meta(ge=0, le=LARGEST_NUMBER)]
_Seconds = Annotated[float, Meta(ge=0, le=LARGEST_NUMBER)]
_Tier = Annotated[str, Meta(max_length=64)]
_Details = dict[str, _Count | _Seconds | _Tier | bool | None]
_PlainUsage = dict[str, _Count | _Seconds | _Tier | bool | _Details | None] | None
_expect_plain_usage = msgspec.json.Decoder(_PlainUsage).decode
"""Raise for an unusual block. Nearly all blocks are whole counts and short words, in two levels."""

_UNPRINTABLE_BUT_LINES = re.compile(UNPRINTABLE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b\x0c\x0e-\x1f"))


def admitted(event: Event) -> Event:
    """Return the event within the bounds; the same object if it is within them already. Idempotent."""
    try:
        is_plain = _is_plain(event)
    except Exception:  # noqa: BLE001 - an odd block, a field of an undeclared type, a text that fails when it is read
        is_plain = False
    return event if is_plain else _bounded(event)


def _is_plain(event: Event) -> bool:
    """Whether the event needs no closer check, as nearly all do. Fast, because callers wait for it."""
    given, usage = event.attribution, bytes(event.usage)
    return (
        f"{event.request_id}{event.model}{event.origin}".isprintable()
        and len(event.request_id) <= LENGTHS["request_id"]
        and len(event.model) <= LENGTHS["ai_model"]
        and len(event.origin) <= LENGTHS["request_id"]
        and (given is _latest.attribution or _has_plain_names(given))
        and len(usage) <= USAGE_BYTES
        and usage.isascii()
        and b"\\" not in usage
        and b"\x7f" not in usage
        and not (event.units or event.parts or event.error_code or given.metadata or event.job)
        and (not event.provider or bool(_is_word(event.provider)))
        and not event.span
        and (not given.tags or given.tags == tags.bounded(given.tags))
        and (event.context == _latest.context or _is_plain_context(event.context))
        and (not event.response or event.response.keys() == _HTTP_STATUS or _is_short(event.response))
        and (event.account == _latest.account or _is_plain_account(event.account))
        and _EARLIEST < event.started_at < _LATEST
        and 0 <= event.duration_ms <= LARGEST_NUMBER
        and known_url(event.url) == event.url
        and (usage == b"null" or bool(_expect_plain_usage(usage)) or usage == b"{}")
    )


class _Latest:
    """Parts of the latest event that were found to be plain: those of the next one are mostly equal (3 µs less)."""

    attribution: Attribution | None = None
    account: Mapping[str, str] = {}
    context: Mapping[str, str] = {}


_latest = _Latest()


def _has_plain_names(given: Attribution) -> bool:
    names = (
        given.agent_id, given.request_type, given.workflow_id or "", given.content_id or "", given.platform,
        given.content_type, given.task_type, given.org_key, given.org_name,
    )  # fmt: skip
    is_plain = (
        "".join(names).isprintable()
        and all(map(int.__le__, map(len, names), _LONGEST))
        and _is_number_or_none(given.org_id)
        and not given.org_timezone
        and _is_number_or_none(given.user_id)
    )
    if is_plain:
        _latest.attribution = given
    return is_plain


def _is_plain_context(context: Mapping[str, str]) -> bool:
    is_plain = all(_is_word(word) for word in context.values())
    if is_plain:
        _latest.context = dict(context)
    return is_plain


def _is_plain_account(account: Mapping[str, str]) -> bool:
    is_plain = account == _account(account)
    if is_plain:
        _latest.account = dict(account)
    return is_plain


_LONGEST = tuple(
    LENGTHS[name]
    for name in (
        "agent_id", "request_type", "workflow_id", "content_id", "platform", "content_type", "task_type", "org_key",
        "org_name",
    )
)  # fmt: skip
_HTTP_STATUS = {"http_status"}


def _is_short(response: Mapping[str, Any]) -> bool:
    """Return whether the facts are a few short words, as those of a reported call are."""
    return len(response) <= DEPTH and all(
        type(fact) is str and len(fact) <= 64 and f"{name}{fact}".isprintable() for name, fact in response.items()
    )


def _bounded(event: Event) -> Event:
    started_at: Any = event.started_at
    is_sound = isinstance(started_at, int | float) and _EARLIEST < started_at < _LATEST
    units, parts = _units(event.units), _parts(event.parts)
    usage = _usage(event.usage)
    if units is None or parts is None:
        usage, units, parts = _unreadable("units beside the block are out of bounds"), {}, []
    duration: Any = event.duration_ms
    named = _named_in_path(event)
    location = {"location": named.location} if named.location else {}
    deployment = {"deployment": named.deployment} if named.deployment else {}
    return replace(
        event,
        request_id=identifier(event.request_id, "request_id"),
        started_at=started_at if is_sound else time.time(),
        duration_ms=min(max(0, duration), LARGEST_NUMBER) if isinstance(duration, int) else 0,
        url=known_url(event.url),
        error_code=known_code(text(event.error_code)),
        model=name(named.model or event.model, "ai_model"),
        usage=usage,
        units=units,
        parts=parts,
        context={_word(key): _word(value) for key, value in list((location | event.context).items())[:DEPTH]},
        response=metadata(deployment | event.response),
        account=_account(event.account),
        attribution=attribution(event.attribution),
        origin=identifier(event.origin, "request_id"),
        job=event.job and _job(event.job),
        provider=name(event.provider, "ai_provider"),
        span=event.span and _span(event.span),
    )


_is_hexadecimal = re.compile(r"[0-9a-f]{1,32}").fullmatch


def _span(span: Span) -> Span | None:
    """Return the span's ids; None if they are no ids of OpenTelemetry."""
    if not (_is_hexadecimal(span.trace_id) and _is_hexadecimal(span.span_id) and len(span.span_id) <= 16):
        return None
    ancestors = [each for each in span.ancestors[:PARTS] if _is_hexadecimal(each) and len(each) <= 16]
    return replace(span, ancestors=ancestors)


def _job(job: Job) -> Job:
    requests: Any = job.requests
    return replace(
        job,
        requests=requests if isinstance(requests, int) and 0 <= requests <= LARGEST_NUMBER else None,
        files=[identifier(file, "request_id") for file in job.files[:DEPTH]],
    )


def _named_in_path(event: Event) -> request_paths.Named:
    """Return the names in the path, which `known_url` leaves out."""
    try:
        return request_paths.named_in(text(event.url)[:LONGEST_TEXT])
    except ValueError:
        return request_paths.Named()


def attribution(given: Attribution) -> Attribution:
    """Return the attribution with each id and word within its bounds."""
    return replace(
        given,
        org_id=_id(given.org_id),
        org_key=given.org_key and identifier(given.org_key, "org_key"),
        org_name=name(given.org_name, "org_name"),
        org_timezone=name(given.org_timezone, "org_timezone"),
        user_id=_id(given.user_id),
        agent_id=name(given.agent_id, "agent_id"),
        request_type=name(given.request_type, "request_type"),
        workflow_id=given.workflow_id and identifier(given.workflow_id, "workflow_id"),
        content_id=given.content_id and identifier(given.content_id, "content_id"),
        platform=name(given.platform, "platform"),
        content_type=name(given.content_type, "content_type"),
        task_type=name(given.task_type, "task_type"),
        tags=tags.bounded(given.tags),
        metadata=metadata(given.metadata),
    )


# ── Text ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def name(value: Any, column: str) -> str:
    """Return the text without unprintable characters, cut to the length of the column."""
    return clean(text(value)[:LONGEST_TEXT])[: LENGTHS[column]]


def identifier(value: Any, column: str) -> str:
    """Return the id cleaned. If cleaning or cutting changes it, a hash of the whole id keeps it unique."""
    given, longest = text(value), LENGTHS[column]
    cleaned = clean(given[:longest])
    if cleaned == given:
        return given
    mark = f"~{_hash(given)}"
    return cleaned[: longest - len(mark)] + mark


_is_word = re.compile(r"[\w.:/+-]{1,64}|~[0-9a-f]{16}", re.ASCII).fullmatch


def _word(value: Any) -> str:
    """Return a short word of an answer, such as its service tier. Anything else becomes a hash, and stays distinct."""
    word = text(value)
    return word if _is_word(word) else f"~{_hash(word)}"


_is_fingerprint = re.compile(r"[0-9a-f]{16}").fullmatch


def _account(given: Mapping[str, Any]) -> dict[str, str]:
    """Return who paid at the provider, as short words. Anything but a fingerprint in a key's place is left out.

    It may be the key itself, and a hash without a secret would tell which of some known keys it is.
    """
    account = {key: _word(given[key]) for key in ACCOUNT_COLUMNS if given.get(key)}
    if not _is_fingerprint(account.get("api_key", "")):
        account.pop("api_key", None)
    return account


_CODE = re.compile(
    r"(\d{3}( |$))?"
    r"([a-z]{1,20}([_.-][a-z]{1,20}){0,4}\d{0,3}|[A-Z]{1,20}(_[A-Z]{1,20}){0,4}|[A-Z]?[a-z]{1,19}([A-Z][a-z]{1,19}){0,4}"
    r"|other~[0-9a-f]{16})?",
    re.ASCII,
)
"""`rate_limit_exceeded`, `RATE_LIMIT`, `DeploymentNotFound`, `throttlingException`: few words of a usual length."""


def known_code(error_code: str) -> str:
    """Return an error code as providers write them: an HTTP status, words joined by `_`.

    Anything else becomes a hash: a server may put a key or a prompt there.
    """
    if len(error_code) <= LENGTHS["error_code"] and _CODE.fullmatch(error_code):
        return error_code
    status, _, said = error_code.partition(" ")
    if not (len(status) == 3 and status.isascii() and status.isdecimal()):
        status, said = "", error_code
    return f"{status} other~{_hash(said)}".lstrip()


def _hash(given: str) -> str:
    """Return 16 hexadecimal digits of any text, even of a lone surrogate."""
    return hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:16]


# ── Addresses ────────────────────────────────────────────────────────────────────────────────────────────────────

_BEFORE = frozenset(("api", "openai", "anthropic", "inference", "compatible-mode", "chat", "deployments", "engines"))
"""Path segments of providers and gateways, between the host and the path of the API."""
_SCHEMES = frozenset(("http", "https", "ws", "wss"))
_VERSION = re.compile(r"v\d{1,2}([a-z]{2,8}\d{0,2})?")
_ID = r"[\w.:-]{1,128}"
_API_PATH = re.compile(
    rf"({'|'.join(path.removeprefix('/v1') for path in FLAVOURS)}|/responses/{_ID}(/cancel)?|/files/{_ID}/content"
    rf"|/messages/batches/{_ID}/results)/?$",
    re.ASCII,
)
OTHER_PATH = "/*"
"""Stands for any other path."""


def known_url(url: str) -> str:
    """Return the URL of a call: scheme, host and the provider's own path.

    The rest of a base URL is left out, for some gateways put a secret there. `*` stands for a name of the caller's own,
    such as an Azure deployment.
    """
    return _known_url(url) if len(url) <= LONGEST_TEXT else _unknown_url(url)


@functools.lru_cache(maxsize=1024)
def _known_url(url: str) -> str:
    try:
        parts = urlsplit(clean(url))
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        return _unknown_url(url)
    if parts.scheme not in _SCHEMES or not host:
        return _unknown_url(url)
    netloc = f"[{host}]" if ":" in host else host[:253]
    return f"{parts.scheme}://{netloc}{port}{_known_path(parts.path)}"


def _unknown_url(url: str) -> str:
    return f"https://{_hash(url)}.invalid{OTHER_PATH}"


_PLATFORM_PATH = re.compile(
    r"/model/.+(?P<bedrock>/invoke(?:-with-response-stream)?)$"
    r"|(?P<vertex>/publishers/anthropic/models)/[^/:]+(?P<verb>:(?:rawPredict|streamRawPredict))$"
)
"""Claude on Bedrock and on Vertex: the path names the model, which may be a profile of the caller's own."""


def _known_path(path: str) -> str:
    if platform := _PLATFORM_PATH.search(path):
        bedrock, vertex, verb = platform.group("bedrock", "vertex", "verb")
        return f"/model/*{bedrock}" if bedrock else f"{vertex}/*{verb}"
    found = _API_PATH.search(path)
    if found is None:
        return _plain_path(path)
    *left, last = path[: found.start()].split("/")
    known: list[str] = []
    while left:
        if last in _BEFORE or _VERSION.fullmatch(last):
            known.insert(0, f"/{last}")
        elif left[-1] in ("deployments", "engines"):
            known.insert(0, "/*")
        else:
            break
        last = left.pop()
    return "".join(known) + found[1]


_PLAIN_PATH = re.compile(r"/v\d{1,2}((/[^/]+){1,8})$")
_PLAIN_WORD = re.compile(r"[a-z]{2,24}([_-][a-z]{2,24}){0,3}", re.ASCII)


def _plain_path(path: str) -> str:
    """Return the path of an endpoint that is not known: the words below its version, and `*` for everything else."""
    found = _PLAIN_PATH.fullmatch(path)
    if found is None:
        return OTHER_PATH
    words = [word if _PLAIN_WORD.fullmatch(word) else "*" for word in found[1][1:].split("/")]
    return f"/v1/{'/'.join(words)}" if any(word != "*" for word in words) else OTHER_PATH


# ── Usage ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _unreadable(reason: str) -> msgspec.Raw:
    """Return a block that no usage reader understands: the call is recorded without tokens and unpriced."""
    return msgspec.Raw(msgspec.json.encode({"unreadable": reason}))


_decode = msgspec.json.Decoder().decode


def _usage(raw: msgspec.Raw) -> msgspec.Raw:
    """Return the block as it came, with cleaned texts, or with the reason if it is out of bounds.

    The block is written again if a key comes twice: only the last value was checked here.
    """
    has_twice = False

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal has_twice
        found = dict(pairs)
        has_twice = has_twice or len(found) < len(pairs)
        return found

    content = bytes(raw)
    if len(content) > USAGE_BYTES:
        return _unreadable(f"larger than {USAGE_BYTES // 1024} KB")
    try:
        # Unlike msgspec, `json` reads half an emoji, as the SDKs do.
        block = json.loads(content.decode(), parse_int=_whole_number, object_pairs_hook=mapping)
    except ValueError:
        return msgspec.Raw(b"null")  # not JSON: no block came
    except RecursionError:
        return _unreadable(f"nested more than {DEPTH} deep")
    if reason := _out_of_bounds(block):
        return _unreadable(reason)
    cleaned = _cleaned(block)
    return raw if cleaned == block and not has_twice else msgspec.Raw(msgspec.json.encode(cleaned))


def _whole_number(digits: str) -> float:
    """Return the number; infinity if it has too many digits for Python to read."""
    return int(digits) if len(digits) <= LONGEST_NUMBER else math.inf


def _out_of_bounds(block: Any) -> str:
    """Return why a usage block is out of bounds; empty if it is not."""
    for depth, value in _values(block):
        if depth > DEPTH:
            return f"nested more than {DEPTH} deep"
        if isinstance(value, int | float) and not _is_count(value):
            return f"a number beyond {LARGEST_NUMBER}"
    return ""


def _values(value: Any) -> Iterator[tuple[int, Any]]:
    """Yield every value inside a JSON value, with its depth, without recursion."""
    waiting = [(0, value)]
    while waiting:
        depth, value = waiting.pop()
        yield depth, value
        if depth <= DEPTH and isinstance(value, dict | list):
            waiting += [(depth + 1, each) for each in (value.values() if isinstance(value, dict) else value)]


def _is_count(number: float) -> bool:
    return -LARGEST_NUMBER <= number <= LARGEST_NUMBER  # False for NaN


def _cleaned(value: Any) -> Any:
    """Return a JSON value within `DEPTH` with its texts cleaned and cut."""
    if isinstance(value, str):
        return clean(value[:LONGEST_TEXT])
    if isinstance(value, dict):
        return {name(key, "ai_model"): _cleaned(item) for key, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, list) else value


def _units(units: Mapping[str, Any]) -> dict[str, int | float] | None:
    """Return the units beside the block; None if one is out of bounds."""
    if not all(isinstance(each, int | float) and _is_count(each) for each in units.values()) or len(units) > PARTS:
        return None
    return {_word(unit): number for unit, number in units.items()}


def _parts(parts: Sequence[Part]) -> list[Part] | None:
    """Return the usage of other models; None if there is too much of it."""
    if len(parts) > PARTS or sum(len(bytes(part.usage)) for part in parts) > USAGE_BYTES:
        return None
    return [replace(part, model=name(part.model, "ai_model"), usage=_usage(part.usage)) for part in parts]


# ── Attribution and metadata ─────────────────────────────────────────────────────────────────────────────────────


def _is_number_or_none(value: Any) -> bool:
    return value is None or (type(value) is int and abs(value) < 2**63)


def _id(value: Any) -> int | str | None:
    """Return a number or a text that may be an id. Too large a number, and a truth value, become text."""
    if _is_number_or_none(value):
        return value  # type: ignore[no-any-return]
    return identifier(text(value), "workflow_id")


def metadata(given: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the metadata within the bounds, as JSON can hold it. The key `…` says that it was cut.

    An object becomes text; a function becomes its result.
    """
    if not given:
        return {}
    copying = _Metadata()
    copied = copying.mapping(given, depth=0)
    return copied if copying.left > 0 else {**copied, CUT: True}


CUT = "…"


class _Metadata:
    """One call's metadata, copied until `METADATA_CHARACTERS` are used up."""

    def __init__(self) -> None:
        self.left = METADATA_CHARACTERS

    def mapping(self, given: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        copied: dict[str, Any] = {}
        for key, value in list(given.items()):
            if self.left <= 0:
                break
            key = name(key, "ai_model")
            self.left -= len(key)
            copied[key] = self._value(value, depth + 1)
        return copied

    def _value(self, value: Any, depth: int) -> Any:
        self.left -= 1
        try:
            return self._copied(value, depth)
        except Exception:  # noqa: BLE001 - the caller's object; the call must be recorded all the same
            return self._text(text(value))

    def _copied(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(text(value))
        if _is_number_or_none(value) or isinstance(value, bool):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else None
        if type(value) is int:
            return self._text(text(value))  # no column and no reader holds such a number
        if depth >= DEPTH:
            return self._text(REPLACEMENT)
        if isinstance(value, Mapping):
            return self.mapping(value, depth)
        if isinstance(value, list | tuple | set | frozenset):
            # Lazily: what lies in an element counts before the next one is looked at.
            return [self._value(each, depth + 1) for each in itertools.takewhile(self._has_room, value)]
        # msgspec writes some that JSON has no form for, such as a moment or a dataclass.
        return self._value(_decode(msgspec.json.encode(value, enc_hook=plain)), depth + 1)

    def _has_room(self, _value: Any) -> bool:
        return self.left > 0

    def _text(self, given: str) -> str:
        cut = given[: max(0, min(LONGEST_TEXT, self.left))].replace("\x00", "")
        cleaned = _UNPRINTABLE_BUT_LINES.sub(REPLACEMENT, cut)
        self.left -= len(cleaned)
        return cleaned
