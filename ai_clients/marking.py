"""Lets an SDK client record: the requests that it builds are marked, and its HTTP client records what it sends.

The mark tells a call from another request that the program sends through the same HTTP client.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, Protocol

import httpx2

from ai_clients.endpoints import MARK, Mark, add_base_url, endpoint_of
from ai_clients.transport import UnrecordableClientError, record_calls
from usage_billing.recording import lost

logger = logging.getLogger(__name__)


class _Client(Protocol):
    """The common part of both SDKs' clients. `_client` is private; pyproject.toml caps the SDKs' major versions."""

    _client: Any

    @property
    def base_url(self) -> httpx2.URL: ...


def mark(client: Any, path: str, request: httpx2.Request) -> httpx2.Request:
    """Mark a request that `client` built for the endpoint at `path`, and return it.

    A request that cannot be recorded is counted as lost (`usage_lost_events_total`).
    """
    try:
        record_calls(client._client)
        request.extensions[MARK] = Mark(path)
    except UnrecordableClientError as error:
        if endpoint_of(request.method, *_address(request.url), Mark(path)) is not None:
            lost(error)
    except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the request goes out in any case
        lost(error)
    return request


def record_client(client: _Client) -> None:
    """Let the HTTP client of an SDK client record. Raises ImproperlyConfigured if nothing says where to record."""
    try:
        record_calls(client._client)
    except UnrecordableClientError as error:
        logger.error("The calls of this client are not recorded but counted as lost: %s.", error)
        return
    url = client.base_url
    if url.host:  # Google Cloud's client without a project learns its URL with the first request
        add_base_url(url.raw_scheme, url.raw_host, url.port, url.path)


def _address(url: Any) -> tuple[bytes, bytes, int | None, bytes]:
    return url.raw_scheme, url.raw_host, url.port, url.raw_path


def record_http_client(client: Any, *base_urls: str) -> None:
    """Let an HTTP client record the AI calls that the program sends through it itself, without an SDK's client.

    client: of `httpx2` or `httpx`. base_urls: those of gateways, below which the endpoints with a known usage block are
    recorded; a provider's own host needs none. Raises ImproperlyConfigured if nothing says where to record, and
    `UnrecordableClientError` for a client of another library.
    """
    record_calls(client)
    for base_url in base_urls:
        url = httpx2.URL(base_url)
        add_base_url(url.raw_scheme, url.raw_host, url.port, url.path)


def recording_class(
    official: Any, module: str, completed: Callable[[dict[str, Any]], dict[str, Any]] = lambda options: options
) -> Any:
    """A subclass of an official client that records.

    module: the one that it is to be found in, by the same name. completed: turns the options that were given into those
    of the official class.
    """

    class Recording(RecordingMixin, official):  # type: ignore[misc]
        @functools.wraps(official.__init__)  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **completed(options))
            record_client(self)

    Recording.__name__ = Recording.__qualname__ = official.__name__
    Recording.__module__ = module
    Recording.__doc__ = f"`{official.__module__.partition('.')[0]}.{official.__name__}`; every call is recorded."
    return Recording


class RecordingMixin:
    """The part that all recording clients share: it stands before the official class."""

    def _build_request(self, options: Any, **kwargs: Any) -> httpx2.Request:
        # `_build_request` is private to the SDKs: tests/ai_clients/test_instrumentation.py names it.
        return mark(self, options.url, super()._build_request(options, **kwargs))  # type: ignore[misc]
