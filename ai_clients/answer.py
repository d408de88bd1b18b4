"""What an answer says about itself that the ledger wants, and how it is found in a body or in a stream of events."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from usage_billing.recording.event import Status

NO_USAGE = msgspec.Raw(b"null")

_USAGE_OBJECT = re.compile(rb'"usage"\s*:\s*\{')


class Answer(msgspec.Struct, frozen=True):
    """`usage`: the provider's own block as it came. `context`: the answer's words on its price. No content."""

    id: str = ""
    model: str = ""
    usage: msgspec.Raw = NO_USAGE
    status: Status = "succeeded"
    error_code: str = ""
    context: dict[str, str] = {}


def text(value: Any) -> str:
    """The value if it is text; providers that answer otherwise must not stop the record."""
    return value if isinstance(value, str) else ""


def has_usage(raw: msgspec.Raw) -> bool:
    """Whether a block came at all (`null` is none)."""
    return bytes(raw).lstrip().startswith(b"{")


def payloads(lines: Iterable[bytes]) -> list[bytes]:
    """The `data:` of each server-sent event, in order, without one that the end of the stream cut in two.

    Both providers write an event's data on one line.
    """
    found = [line[5:].strip() for line in lines if line.startswith(b"data:")]
    if found and found[-1] != b"[DONE]" and not _is_json(found[-1]):
        del found[-1]
    return found


def _is_json(payload: bytes) -> bool:
    try:
        msgspec.json.decode(payload, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def names_usage(payload: bytes) -> bool:
    """Whether the payload holds a usage block. Quotes inside JSON strings are escaped, so no text can look like one."""
    return b'"usage"' in payload and _USAGE_OBJECT.search(payload) is not None
