"""The transport that records: it wraps the one that an SDK's HTTP client has, whatever that is.

It sees every attempt of every method, plain and streamed, retried or not, because the SDKs send all through it. The
answer passes through as it is; `Call.finish` runs when its body has been read or closed, before the SDK returns.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any

import httpx2

from ai_clients import usage_chunk_filter
from ai_clients.body.buffer import LARGE_CHUNK, encoded
from ai_clients.call import Call
from ai_clients.endpoints import destination_of
from ai_clients.usage.answer import STREAM_BEGINNINGS
from usage_billing.recording import lost

logger = logging.getLogger(__name__)

REFUSALS = (400, 422)

_refusing_origins: set[tuple[bytes, bytes, int | None]] = set()
"""Hosts that do not know `stream_options`: they are asked no more."""


def record_calls(client: httpx2.Client | httpx2.AsyncClient) -> None:
    """Let `client` record the AI calls that are sent through it. Doing it again changes nothing."""
    if not isinstance(client, httpx2.Client | httpx2.AsyncClient):
        # The OpenAI SDK still takes a client of the older `httpx`, whose transports are of another kind.
        logger.error(
            "The calls of this client are not recorded: its http_client is a %s.%s; pass one of httpx2.",
            type(client).__module__,
            type(client).__qualname__,
        )
        return
    wrap: Any = _wrapped if isinstance(client, httpx2.Client) else _wrapped_async
    client._transport = wrap(client._transport)
    mounts: Any = client._mounts
    client._mounts = {pattern: transport and wrap(transport) for pattern, transport in mounts.items()}


def _wrapped(transport: httpx2.BaseTransport) -> httpx2.BaseTransport:
    return transport if isinstance(transport, RecordingTransport) else RecordingTransport(transport)


def _wrapped_async(transport: httpx2.AsyncBaseTransport) -> httpx2.AsyncBaseTransport:
    return transport if isinstance(transport, AsyncRecordingTransport) else AsyncRecordingTransport(transport)


class RecordingTransport(httpx2.BaseTransport):
    """Hands every request to `inner` and records those that are AI calls."""

    def __init__(self, inner: httpx2.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        call, sent = _begin(request)
        response = self._inner.handle_request(sent)
        if call is None:
            return response
        if sent is not request and response.status_code in REFUSALS:
            body = response.read()
            if b"stream_options" in body:
                sent, response = request, self._inner.handle_request(request)
                _note_refusal(request, response)
            else:
                response = _unread(response, body)
        return _watched(response, call, hide=sent is not request, stream=ObservedStream)

    def __enter__(self) -> RecordingTransport:
        self._inner.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._inner.__exit__(exc_type, exc_value, traceback)

    def close(self) -> None:
        self._inner.close()


class AsyncRecordingTransport(httpx2.AsyncBaseTransport):
    """Hands every request to `inner` and records those that are AI calls."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call, sent = _begin(request)
        response = await self._inner.handle_async_request(sent)
        if call is None:
            return response
        if sent is not request and response.status_code in REFUSALS:
            body = await response.aread()
            if b"stream_options" in body:
                sent, response = request, await self._inner.handle_async_request(request)
                _note_refusal(request, response)
            else:
                response = _unread(response, body)
        return _watched(response, call, hide=sent is not request, stream=AsyncObservedStream)

    async def __aenter__(self) -> AsyncRecordingTransport:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(exc_type, exc_value, traceback)

    async def aclose(self) -> None:
        await self._inner.aclose()


_Filter = usage_chunk_filter.UsageChunkFilter | usage_chunk_filter.UndeclaredStreamFilter


class _Observed:
    """What both kinds of stream share: the body, the call, and what to keep from the caller.

    `decoded` is a response over the body where that is compressed and must be read all the same, to hide a part of it.
    """

    def __init__(
        self, stream: Any, call: Call, *, usage_filter: _Filter | None, decoded: httpx2.Response | None = None
    ) -> None:
        self._stream = stream
        self._call = call
        self._filter = usage_filter
        self._decoded = decoded

    def __del__(self) -> None:
        # An answer that nobody read or closed was paid for all the same.
        self._call.finish()


class ObservedStream(_Observed, httpx2.SyncByteStream):
    """The answer's body, noted chunk by chunk on its way to the caller."""

    def __iter__(self) -> Iterator[bytes]:
        body, usage_filter = self._call.body, self._filter
        chunks = body.chunks
        try:
            for chunk in self._stream if self._decoded is None else self._decoded.iter_bytes():
                # `body.take`, without the call: this runs for each chunk of every stream.
                chunks.append(chunk)
                if len(chunks) >= body.look_at or len(chunk) > LARGE_CHUNK:
                    self._call.look()
                if usage_filter is None:
                    yield chunk
                elif visible := usage_filter.feed(chunk):
                    yield visible
        except Exception:
            # Cut by the network: the caller gets what came of the last event, as it does without us, then the error.
            if usage_filter is not None and (rest := usage_filter.flush()):
                yield rest
            raise
        if usage_filter is not None and (rest := usage_filter.flush()):
            yield rest
        self._call.ended = True

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._call.finish()


class AsyncObservedStream(_Observed, httpx2.AsyncByteStream):
    """The answer's body, noted chunk by chunk on its way to the caller."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body, usage_filter = self._call.body, self._filter
        chunks = body.chunks
        try:
            async for chunk in self._stream if self._decoded is None else self._decoded.aiter_bytes():
                # `body.take`, without the call: this runs for each chunk of every stream.
                chunks.append(chunk)
                if len(chunks) >= body.look_at or len(chunk) > LARGE_CHUNK:
                    self._call.look()
                if usage_filter is None:
                    yield chunk
                elif visible := usage_filter.feed(chunk):
                    yield visible
        except Exception:
            # Cut by the network: the caller gets what came of the last event, as it does without us, then the error.
            if usage_filter is not None and (rest := usage_filter.flush()):
                yield rest
            raise
        if usage_filter is not None and (rest := usage_filter.flush()):
            yield rest
        self._call.ended = True

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._call.finish()


def _begin(request: httpx2.Request) -> tuple[Call | None, httpx2.Request]:
    """The call to record, if this is one, and the request to send: the caller's own, or the same asking for usage."""
    try:
        url = request.url
        destination = destination_of(request.method, url.raw_scheme, url.raw_host, url.port, url.raw_path)
        if destination is None:
            return None, request
        route, address = destination
        asking = None
        if (
            route.flavour == "chat"
            and route.purpose == "create"
            and (not _refusing_origins or _origin(request) not in _refusing_origins)
        ):
            asking = usage_chunk_filter.asking(request)
        return Call(request, route, address), asking or request
    except Exception as error:  # noqa: BLE001 - promise 1: the request goes out whatever the recorder makes of it
        lost(error)
        return None, request


def _watched(response: httpx2.Response, call: Call, *, hide: bool, stream: type[_Observed]) -> httpx2.Response:
    """The response, its body noted on the way. Without what `hide` says came only because we asked."""
    if 300 <= response.status_code < 400:
        return response  # a redirect; the answer comes from where it leads
    if hasattr(response, "_content"):
        return _read_already(response, call, hide=hide)
    headers, body, decoded = response.headers, response.stream, None
    encoding, is_stream = headers.get("content-encoding"), _is_stream(response)
    usage_filter: _Filter | None = None
    if hide and is_stream:
        usage_filter = usage_chunk_filter.UsageChunkFilter()
        if encoding is not None:
            # Asked for as it is; what a server compresses all the same is decoded here: there is a part to take out.
            decoded = encoded(encoding, stream=body)
            del headers["content-encoding"]
            encoding = None
        headers.pop("content-length", None)
    elif hide and not _TOLD.intersection(headers):
        usage_filter = usage_chunk_filter.UndeclaredStreamFilter()
    call.answered(response, encoding=encoding, is_stream=is_stream)
    response.stream = stream(body, call, usage_filter=usage_filter, decoded=decoded)  # type: ignore[assignment]
    return response


def _read_already(response: httpx2.Response, call: Call, *, hide: bool) -> httpx2.Response:
    """The response of a transport that has read its body: to log it, from a cache, in a test. Recorded at once."""
    body = response.content
    call.answered(response, encoding=None, is_stream=_is_stream(response))
    call.body.chunks.append(body)
    call.look()
    call.ended = True
    call.finish()
    if not hide or not (_is_stream(response) or body.startswith(STREAM_BEGINNINGS)):
        return response
    usage_filter = usage_chunk_filter.UsageChunkFilter()
    visible = usage_filter.feed(body) + usage_filter.flush()
    return httpx2.Response(
        response.status_code, headers=_of_plain_body(response), content=visible, extensions=response.extensions
    )


_TOLD = frozenset(("content-length", "content-encoding"))
"""What a body has that was made before it was sent, and a stream has not."""


def _is_stream(response: httpx2.Response) -> bool:
    return response.headers.get("content-type", "").startswith("text/event-stream")


def _unread(response: httpx2.Response, body: bytes) -> httpx2.Response:
    """The response as it was before its body was read."""
    return httpx2.Response(
        response.status_code,
        headers=_of_plain_body(response),
        stream=httpx2.ByteStream(body),
        extensions=response.extensions,
    )


def _of_plain_body(response: httpx2.Response) -> httpx2.Headers:
    """The response's headers, for its body without the compression."""
    headers = response.headers.copy()
    if headers.pop("content-encoding", None):
        headers.pop("content-length", None)
    return headers


def _note_refusal(request: httpx2.Request, response: httpx2.Response) -> None:
    """Ask this host no more if it takes the caller's own request. If it does not, it is that request which is wrong."""
    if response.is_success:
        _refusing_origins.add(_origin(request))


def _origin(request: httpx2.Request) -> tuple[bytes, bytes, int | None]:
    return request.url.raw_scheme, request.url.raw_host, request.url.port
