"""Tells which requests are calls to record: all that go to a provider, but those that are known to be free.

An endpoint that is not known here is recorded too: providers add endpoints faster than this list grows.
"""

from __future__ import annotations

import functools
import re
import urllib.parse
from typing import Literal, NamedTuple

import msgspec

from ai_clients.free_endpoints import is_free
from ai_clients.job_endpoints import PLACES, JobEndpoint, job_endpoint_of
from usage_billing.recording.event import Flavour, flavour_of

Purpose = Literal["create", "complete", "batch", "job"]
"""`create` makes an answer; `complete` fetches that of a background response; `batch` fetches a batch's results; `job`
begins, changes or reads a job."""


MARK = "ai_costs"
"""The key of a `Mark` among a request's extensions."""


class Mark(NamedTuple):
    """A note on a request that an SDK client built. `path`: the endpoint's, below the client's base URL."""

    path: str


class Endpoint(msgspec.Struct, frozen=True):
    """The endpoint of a request, and why it is recorded.

    flavour: of a batch, that of its provider until its lines tell. url: without query and credentials. region: whose
    prices hold there; empty where there is one price for all. job: which job the request is about, and how, if its
    purpose is `job`.
    """

    purpose: Purpose
    flavour: Flavour
    url: str
    region: str = ""
    job: JobEndpoint | None = None


@functools.lru_cache(maxsize=1024)
def endpoint_of(
    method: str, raw_scheme: bytes, raw_host: bytes, port: int | None, raw_path: bytes, mark: Mark | None = None
) -> Endpoint | None:
    """The endpoint of a request, from the raw parts of its URL; None for one that is not recorded.

    mark: tells the endpoint's path, whatever stands before it in the URL. Without one, only requests to a provider's
    own host, or below the base URL of a client (`add_base_url`), are recorded.
    """
    raw_path = raw_path.partition(b"?")[0]
    path = urllib.parse.unquote(raw_path.decode("ascii", "replace"))
    if mark is None and not (_is_provider(raw_host) or _is_below_base_url(raw_scheme, raw_host, port, path)):
        return None
    own_path = _own_path(mark.path if mark is not None and mark.path.startswith("/") else path)
    job = job_endpoint_of(method, own_path)
    kind = _kind_of(method, own_path) if job is None else ("job", PLACES[job.kind].flavour)
    if kind is None:
        return None
    host = raw_host.decode("ascii")
    netloc = f"[{host}]" if ":" in host else host
    if port is not None:
        netloc += f":{port}"
    url_path = f"/v1{own_path}" if kind[1] == "unknown" else path
    if job is not None:
        url_path = f"/v1{PLACES[job.kind].path}"
    return Endpoint(
        *kind,
        f"{raw_scheme.decode('ascii')}://{netloc}{url_path}",
        region=_region_of(raw_host),
        job=job,
    )


# ── Hosts ────────────────────────────────────────────────────────────────────────────────────────────────────────

_PROVIDER_HOST = re.compile(
    rb"(.+\.)?(api\.openai\.com|api\.anthropic\.com"
    rb"|openai\.azure\.com|services\.ai\.azure\.com|cognitiveservices\.azure\.com"
    rb"|bedrock-(runtime|runtime-fips|mantle)\.[a-z0-9-]+\.(amazonaws\.(com(\.cn)?|eu)|api\.aws)"
    rb"|aws-external-anthropic\.[a-z0-9-]+\.api\.aws"
    rb"|([a-z0-9-]+-)?aiplatform\.googleapis\.com|aiplatform\.(us|eu)\.rep\.googleapis\.com|claude\.googleapis\.com)"
)
"""The hosts that the clients of both SDKs call by themselves."""

_base_urls: set[tuple[bytes, bytes, int | None, str]] = set()
"""Scheme, host, port and path of the base URLs of clients."""
MOST_BASE_URLS = 1000


def add_base_url(raw_scheme: bytes, raw_host: bytes, port: int | None, path: str) -> None:
    """Record requests below this base URL, also those that no SDK client built."""
    base_url = (raw_scheme, raw_host, port, path.rstrip("/"))
    if base_url not in _base_urls and len(_base_urls) < MOST_BASE_URLS:
        _base_urls.add(base_url)
        endpoint_of.cache_clear()


def _is_provider(raw_host: bytes) -> bool:
    return _PROVIDER_HOST.fullmatch(raw_host) is not None


def _is_below_base_url(raw_scheme: bytes, raw_host: bytes, port: int | None, path: str) -> bool:
    return flavour_of(path) is not None and any(
        base[:3] == (raw_scheme, raw_host, port) and path.startswith(f"{base[3]}/") for base in _base_urls
    )


_REGIONAL = re.compile(rb"([a-z]{2})\.api\.openai\.com")


def _region_of(host: bytes) -> str:
    """The region whose prices hold at this host (OpenAI, Data residency: `eu.api.openai.com`).

    Regions are countries, of two letters; `mtls.api.openai.com` is not one.
    """
    found = _REGIONAL.fullmatch(host)
    return found[1].decode("ascii") if found else ""


# ── Paths ────────────────────────────────────────────────────────────────────────────────────────────────────────

_VERSION = re.compile(r".*/v\d{1,2}([a-z]{1,8}\d{0,2})?(?=/|$)")
_PLATFORM_MESSAGES = re.compile(
    r"/model/.+/invoke(-with-response-stream)?|.*/publishers/anthropic/models/(?!count-tokens:)[^/:]+:(raw|streamRaw)Predict"
)
"""Messages on Bedrock and on Vertex (SDK: `anthropic.lib.bedrock`, `anthropic.lib.vertex`)."""
_RESPONSE = re.compile(r"/responses/[^/]+$")
_CANCELLED_RESPONSE = re.compile(r"/responses/[^/]+/cancel$")
_FILE_CONTENT = re.compile(r"/files/[^/]+/content$")
_MESSAGE_BATCH_RESULTS = re.compile(r"/messages/batches/[^/]+/results$")


def _own_path(path: str) -> str:
    """The path below the version: `/chat/completions`."""
    found = _VERSION.match(path)
    return (path[found.end() :] if found else path).rstrip("/")


def _kind_of(method: str, path: str) -> tuple[Purpose, Flavour] | None:
    """Purpose and flavour of a request; None for one that is free. `path`: below the version."""
    if method == "POST":
        if _PLATFORM_MESSAGES.fullmatch(path):
            return "create", "messages"
        if flavour := flavour_of(f"/v1{path}"):
            return "create", flavour
        if _CANCELLED_RESPONSE.search(path):
            return "complete", "responses"
    elif method == "GET":
        if _RESPONSE.search(path):
            return "complete", "responses"
        if _FILE_CONTENT.search(path):
            return "batch", "chat"
        if _MESSAGE_BATCH_RESULTS.search(path):
            return "batch", "messages"
    return None if is_free(method, path) else ("create", "unknown")
