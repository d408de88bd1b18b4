"""Tells which requests are calls to record: those that make an answer, and those that fetch one made before."""

from __future__ import annotations

import functools
import re
import urllib.parse
from typing import Literal

import msgspec

from usage_billing.recording.event import Flavour, flavour_of

Purpose = Literal["create", "complete", "batch"]
"""`create` makes an answer; `complete` fetches that of a background response; `batch` fetches a batch's results."""

_RESPONSE = re.compile(r"/responses/[^/]+$")
_CANCELLED_RESPONSE = re.compile(r"/responses/[^/]+/cancel$")
_FILE_CONTENT = re.compile(r"/files/[^/]+/content$")
_REGIONAL = re.compile(rb"([a-z]{2})\.api\.openai\.com")
_MESSAGE_BATCH_RESULTS = re.compile(r"/messages/batches/[^/]+/results$")


class Endpoint(msgspec.Struct, frozen=True):
    """The endpoint of a request, and why it is recorded.

    flavour: of a batch, that of its provider until its lines tell. url: without query and credentials. region: whose
    prices hold there; empty where there is one price for all.
    """

    purpose: Purpose
    flavour: Flavour
    url: str
    region: str = ""


@functools.lru_cache(maxsize=1024)
def endpoint_of(method: str, raw_scheme: bytes, raw_host: bytes, port: int | None, raw_path: bytes) -> Endpoint | None:
    """The endpoint of a request, from the raw parts of its URL; None for one that is not recorded."""
    raw_path = raw_path.partition(b"?")[0]
    kind = _kind_of(method, raw_path.rstrip(b"/").decode("ascii", "replace"))
    if kind is None:
        return None
    host = raw_host.decode("ascii")
    netloc = f"[{host}]" if ":" in host else host
    if port is not None:
        netloc += f":{port}"
    path = urllib.parse.unquote(raw_path.decode("ascii"))
    return Endpoint(*kind, f"{raw_scheme.decode('ascii')}://{netloc}{path}", _region_of(raw_host))


def _kind_of(method: str, path: str) -> tuple[Purpose, Flavour] | None:
    """Purpose and flavour of a request; None for one that bills nothing, or is unknown."""
    if method == "POST":
        if flavour := flavour_of(path):
            return "create", flavour
        return ("complete", "responses") if _CANCELLED_RESPONSE.search(path) else None
    if method == "GET":
        if _RESPONSE.search(path):
            return "complete", "responses"
        if _FILE_CONTENT.search(path):
            return "batch", "chat"
        if _MESSAGE_BATCH_RESULTS.search(path):
            return "batch", "messages"
    return None


def _region_of(host: bytes) -> str:
    """The region whose prices hold at this host (OpenAI, Data residency: `eu.api.openai.com`).

    Regions are countries, of two letters; `mtls.api.openai.com` is not one.
    """
    found = _REGIONAL.fullmatch(host)
    return found[1].decode("ascii") if found else ""
