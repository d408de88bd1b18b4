"""Passes one request on to a provider, and its answer back, piece by piece as it comes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import anyio
import httpx2
from django.utils.translation import gettext as _

from ai_clients.proxy.errors import RefusedError
from ai_clients.proxy.headers import to_client
from ai_clients.proxy.providers import Provider

logger = logging.getLogger(__name__)

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MOST_ERROR_BYTES = 2**20
"""An error's body is read as a whole before it is passed on, up to this size."""


class PassedAnswer:
    """A provider's answer on its way to the client. has_begun: whether the client has its head."""

    def __init__(self, send: Send, provider: Provider, secret: str) -> None:
        self._send = send
        self._provider = provider
        self._secret = secret.encode("latin-1")
        self.has_begun = False

    async def fetch(self, client: httpx2.AsyncClient, request: httpx2.Request) -> None:
        """Send the request, and pass the answer on.

        Raises `RefusedError` if no answer came that may be passed on, and `httpx2.TransportError` if the provider broke
        off after the client had got the head. Nobody sends the request a second time.
        """
        try:
            response = await client.send(request, stream=True, follow_redirects=False)
        except httpx2.TransportError as error:
            raise _unreachable(error, self._provider) from error
        try:
            await self._pass(response)
        except httpx2.TransportError as error:
            if self.has_begun:
                raise
            raise _unreachable(error, self._provider) from error
        finally:
            # The call is recorded here, also that of a client that hung up.
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def _pass(self, response: httpx2.Response) -> None:
        if response.status_code >= 400:
            pieces = await self._checked_error(response)
        else:
            pieces = _raw(response)
        headers = to_client(response.headers.raw, self._secret)
        length = response.headers.get("content-length", "")
        left = int(length) if length.isdecimal() else None
        last = b""
        await self._send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        self.has_begun = True
        async for piece in pieces:
            if left is not None:
                left -= len(piece)
                if left <= 0:
                    last += piece
                    continue
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        # Once the client has the whole answer, its record survives whatever happens here.
        with anyio.CancelScope(shield=True):
            await response.aclose()
        await self._send({"type": "http.response.body", "body": last})

    async def _checked_error(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """The body of an error. One about our key is not for the client, nor one that repeats it."""
        raw, size = [], 0
        pieces = _raw(response)
        async for piece in pieces:
            raw.append(piece)
            size += len(piece)
            if size > MOST_ERROR_BYTES:
                break
        body = b"".join(raw)
        if response.status_code == 401:
            logger.error("%s refuses the key that is set up for the proxy (401).", self._provider.title)
            raise RefusedError(
                502,
                "provider_key_refused",
                _("%(provider)s refuses the key that is set up here. An owner or a superadmin saves one that is valid.")
                % {"provider": self._provider.title},
            )
        if self._secret in body or self._secret in _decoded(response.headers.get("content-encoding"), body):
            logger.error("An error of %s repeats the key; it is not passed on.", self._provider.title)
            raise RefusedError(
                502,
                "provider_error",
                _("%(provider)s answered with an error (%(status)d) that cannot be shown.")
                % {"provider": self._provider.title, "status": response.status_code},
            )
        return _chained(body, pieces)


async def _raw(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The body as the provider sent it. That of a budget's refusal comes from no network, and is at hand."""
    if response.is_stream_consumed:
        yield response.content
        return
    async for piece in response.aiter_raw():
        yield piece


async def _chained(body: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield body
    async for piece in rest:
        yield piece


def _decoded(encoding: str | None, body: bytes) -> bytes:
    if encoding is None:
        return body
    try:
        return httpx2.Response(200, headers={"content-encoding": encoding}, content=body).content
    except httpx2.DecodingError:
        return b""


def _unreachable(error: httpx2.TransportError, provider: Provider) -> RefusedError:
    """Say why no answer came. The error's own text may name hosts of this network: it stays in the log."""
    logger.warning("No answer of %s: %s.", provider.title, type(error).__name__)
    if isinstance(error, httpx2.TimeoutException) and not isinstance(error, httpx2.ConnectTimeout):
        message = _("%(provider)s did not answer in time.") % {"provider": provider.title}
        return RefusedError(504, "provider_timeout", message, may_retry=True)
    message = _("%(provider)s cannot be reached from here, or it closed the connection without an answer.") % {
        "provider": provider.title
    }
    return RefusedError(502, "provider_not_reached", message, may_retry=True)
