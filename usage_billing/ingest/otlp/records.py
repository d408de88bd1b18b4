"""Spans and log records with the attributes that are wanted, whichever encoding they came in."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from usage_billing.ingest.otlp.values import Value


class UnreadableError(ValueError):
    """Raised for a body that is no export request."""


class Source(msgspec.Struct, frozen=True):
    """Who sent it: the resource's attributes, and the instrumentation scope."""

    resource: Mapping[str, Value]
    scope: str
    version: str


class Span(msgspec.Struct, frozen=True):
    """Ids in lower-case hexadecimal, times in nanoseconds. status: 0 unset, 1 OK, 2 ERROR."""

    source: Source
    trace_id: str
    span_id: str
    parent_id: str
    started_ns: int
    ended_ns: int
    status: int
    attributes: Mapping[str, Value]


class LogRecord(msgspec.Struct, frozen=True):
    """`event`: its name, wherever the emitter put it: the field of the protocol, or the body."""

    source: Source
    event: str
    at_ns: int
    attributes: Mapping[str, Value]


_EVENT = re.compile(r"[a-z_.]{1,60}")


def event_name(name: str, body: str) -> str:
    """Return the event's name. A body that is no name may be a prompt: it is left out."""
    return next((text for text in (name, body) if _EVENT.fullmatch(text)), "")
