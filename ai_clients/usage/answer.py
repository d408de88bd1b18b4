"""The facts that the ledger needs of an answer, and the functions that find them in a body or in a stream of events."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from usage_billing.recording.event import Flavour, Part, Status

NO_USAGE = msgspec.Raw(b"null")

STREAM_BEGINNINGS = (b"data:", b"event:")
"""The first bytes of server-sent events; JSON never begins like this."""

_USAGE_OBJECT = re.compile(rb'"usage"\s*:\s*\{')

T = TypeVar("T")


class CutLine(bytes):
    """The beginning of a line that is too large to be kept."""


class Answer(msgspec.Struct, frozen=True):
    """The facts of one answer, without its content.

    usage: the provider's own block, unchanged. units, parts: usage that the block leaves out (see `Event`). context:
    facts that affect the price. response: other facts (refusals, containers). completes: whether it ends a background
    response, a run, or another job.
    """

    id: str = ""
    model: str = ""
    usage: msgspec.Raw = NO_USAGE
    status: Status = "succeeded"
    error_code: str = ""
    units: dict[str, int | float] = {}
    parts: list[Part] = []
    completes: bool = False
    context: dict[str, str] = {}
    response: dict[str, Any] = {}


CUSTOM_ID = re.compile(rb'"custom_id"\s*:\s*"([^"\\]+)"')
"""The request that a line of a batch's results answers."""

UNREADABLE = Answer(error_code="unreadable-answer", context={"processing": "batch"})
"""The answer on a line of a batch's results that cannot be read."""


class BatchLine(msgspec.Struct, frozen=True):
    """The answer to one request of a batch. `path`: that of its API, below the version; empty if nothing tells."""

    answer: Answer
    flavour: Flavour
    path: str
    custom_id: str


def decoder(type_: type[T]) -> Callable[[bytes], T]:
    """A function that reads `type_` from JSON. It raises `msgspec.DecodeError` for every kind of bad input."""
    decode = msgspec.json.Decoder(type_).decode

    def read(body: bytes) -> T:
        try:
            return decode(body)
        except msgspec.ValidationError:
            raise
        except RecursionError as error:
            raise msgspec.DecodeError("nested too deeply") from error
        except (msgspec.DecodeError, UnicodeDecodeError):
            return decode(_well_formed(body))

    return read


def _well_formed(body: bytes) -> bytes:
    """The same JSON without half emoji (`\\ud83d`), which the SDKs (Python) can read and msgspec cannot."""
    try:
        return json.dumps(json.loads(bytes(body)), ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def text(value: Any) -> str:
    """The value if it is text, else an empty text: an odd answer must not stop the record."""
    return value if isinstance(value, str) else ""


def count(value: Any) -> int:
    """The value if it is a count above 0, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def seconds(value: Any) -> dict[str, int | float]:
    """The units of a length of audio in seconds; none if the value is not a positive number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        return {}
    return {"audio_seconds": value, "input_audio_seconds": value}


def has_usage(raw: msgspec.Raw) -> bool:
    """Whether there is a usage block (`null` is not one)."""
    return bytes(raw).lstrip().startswith(b"{")


def usage_block(raw: msgspec.Raw) -> msgspec.Raw:
    """The block if there is one. Raises `msgspec.DecodeError` for one that the ledger could not read."""
    if not has_usage(raw):
        return NO_USAGE
    _decode_usage(raw)
    return raw


_decode_usage = decoder(dict[str, Any])
_decode_raw = decoder(msgspec.Raw)


def payloads(lines: Iterable[bytes]) -> list[bytes]:
    """The `data:` of each server-sent event, in order, without a last one that was cut in two.

    Both providers write an event's data on one line.
    """
    found = [line[5:].strip() for line in lines if line and line.startswith(b"data:")]
    if found and found[-1] != b"[DONE]" and not is_json(found[-1]):
        del found[-1]
    return found


def is_json(payload: bytes) -> bool:
    try:
        _decode_raw(payload)
    except msgspec.DecodeError:
        return False
    return True


def names_usage(payload: bytes) -> bool:
    """Whether the payload holds a usage block. Quotes inside JSON strings are escaped, so no text can look like one."""
    return b'"usage"' in payload and _USAGE_OBJECT.search(payload) is not None
