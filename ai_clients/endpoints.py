"""Which requests are calls to record: those that make an answer, and those that fetch one made before."""

from __future__ import annotations

import functools
import re
import urllib.parse
from typing import Literal

import msgspec

from usage_billing.recording.event import Flavour, flavour_of

Purpose = Literal["create", "settle", "batch"]
"""`create` makes an answer; `complete` brings the answer of a response made in the background; `batch` brings many."""

_RESPONSE = re.compile(r"/responses/[^/]+$")
_CANCELLED_RESPONSE = re.compile(r"/responses/[^/]+/cancel$")
_FILE_CONTENT = re.compile(r"/files/[^/]+/content$")
_REGIONAL = re.compile(rb"([a-z]{2})\.api\.openai\.com")
_MESSAGE_BATCH_RESULTS = re.compile(r"/messages/batches/[^/]+/results$")


class Route(msgspec.Struct, frozen=True):
    """What a request is to us. The flavour of a batch is that of its provider until its lines tell."""

    purpose: Purpose
    flavour: Flavour


_CREATE: dict[Flavour, Route] = {}
_SETTLE = Route("settle", "responses")
_OPENAI_BATCH = Route("batch", "chat")
_ANTHROPIC_BATCH = Route("batch", "messages")


def route_of(method: str, raw_path: bytes) -> Route | None:
    """What to record of a request to this path with its query; None for one that bills nothing or is not known."""
    path = raw_path.partition(b"?")[0].rstrip(b"/").decode("ascii", "replace")
    if method == "POST":
        if flavour := flavour_of(path):
            return _CREATE.setdefault(flavour, Route("create", flavour))
        return _SETTLE if _CANCELLED_RESPONSE.search(path) else None
    if method == "GET":
        if _RESPONSE.search(path):
            return _SETTLE
        if _FILE_CONTENT.search(path):
            return _OPENAI_BATCH
        if _MESSAGE_BATCH_RESULTS.search(path):
            return _ANTHROPIC_BATCH
    return None


class Address(msgspec.Struct, frozen=True):
    """Where a request goes: its URL without query and credentials, and the region whose prices hold there."""

    url: str
    region: str


def address_of(raw_scheme: bytes, raw_host: bytes, port: int | None, raw_path: bytes) -> Address:
    """The address of a URL's raw parts."""
    host = raw_host.decode("ascii")
    netloc = f"[{host}]" if ":" in host else host
    if port is not None:
        netloc += f":{port}"
    path = urllib.parse.unquote(raw_path.partition(b"?")[0].decode("ascii"))
    return Address(f"{raw_scheme.decode('ascii')}://{netloc}{path}", region_of(raw_host))


@functools.lru_cache(maxsize=1024)
def destination_of(
    method: str, raw_scheme: bytes, raw_host: bytes, port: int | None, raw_path: bytes
) -> tuple[Route, Address] | None:
    """Route and address of a request, found out once; None if there is nothing to record.

    By the raw parts of its URL: the transport below reads those too, so that they are ready.
    """
    route = route_of(method, raw_path)
    return None if route is None else (route, address_of(raw_scheme, raw_host, port, raw_path))


def region_of(host: bytes) -> str:
    """The region whose prices hold at this host (OpenAI, Data residency: `eu.api.openai.com`); none is empty.

    Regions are countries, of two letters; `mtls.api.openai.com` is none.
    """
    found = _REGIONAL.fullmatch(host)
    return found[1].decode("ascii") if found else ""
