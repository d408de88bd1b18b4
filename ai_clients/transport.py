"""The transport that records: it wraps the one that an SDK's HTTP client has.

It sees every attempt of every method, plain and streamed, retried or not, because the SDKs send everything through it.
The answer passes through unchanged; `Call.finish` runs when the body has been read or closed, before the SDK returns.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, ClassVar

import httpx2

from ai_clients.body.buffer import encoded
from ai_clients.call import Call
from ai_clients.endpoints import MARK, endpoint_of
from ai_clients.http_library import NEWER, by_name, libraries, library_of
from ai_clients.job_calls import call_of
from ai_clients.refusal import refused_response
from ai_clients.usage.answer import STREAM_BEGINNINGS
from ai_clients.usage_chunk_filter import UnaskedStream, UndeclaredStreamFilter, UsageChunkFilter
from ai_clients.usage_option import StreamedUsage, streamed_usage
from usage_billing.recording import lost
from usage_billing.recording.recorder import check_configuration

REFUSALS = (400, 422)

NOT_SENT = (
    "ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "LocalProtocolError",
    "WriteError", "WriteTimeout",
)  # fmt: skip
"""Errors of a request that did not reach the provider as a whole: it cannot be billed."""

RECORDED = "recorded"
"""Takes the place of the mark while a transport sends the request: one that is wrapped in it must not record it too."""


class UnrecordableClientError(TypeError):
    """Raised for an HTTP client that cannot record: it is neither of `httpx2` nor of `httpx`."""


def record_calls(client: Any) -> None:
    """Let `client`, of `httpx2` or the older `httpx`, record the AI calls that are sent through it.

    A second time changes nothing. Raises ImproperlyConfigured if nothing says where to record them, and
    `UnrecordableClientError`.
    """
    if isinstance(getattr(client, "_transport", None), _RECORDING):
        return
    check_configuration()
    library = library_of(client)
    if library is None:
        found = type(client)
        raise UnrecordableClientError(
            f"its http_client is a {found.__module__}.{found.__qualname__}, not one of httpx2"
        )
    kind: Any = RecordingTransport if isinstance(client, library.Client) else AsyncRecordingTransport

    def wrapped(transport: Any) -> Any:
        return transport if transport is None or isinstance(transport, kind) else kind(transport)

    # Both are private to the libraries. `httpx2` is capped in pyproject.toml, `httpx` by the SDKs that need it.
    client._mounts = {pattern: wrapped(transport) for pattern, transport in client._mounts.items()}
    client._transport = wrapped(client._transport)


class RecordingTransport(httpx2.BaseTransport):
    """Hands every request to `inner` and records those that are AI calls."""

    def __init__(self, inner: httpx2.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        call, usage = _begin(request)
        if call is None:
            return self._inner.handle_request(request)
        if (refusal := call.refused()) is not None:
            return refused_response(request, call.flavour, refusal)
        sent = request if usage is None else usage.request
        body = _watched(sent, self._inner, call)
        try:
            response = self._inner.handle_request(sent)
            if usage is not None and usage.asks and response.status_code in REFUSALS:
                response.read()
                if _refuses_options(response):
                    response = self._inner.handle_request(request)
                    usage = usage.refused(accepted=response.is_success)
                else:
                    response = _unread(response)
        except BaseException as error:
            _given_up(call, error, body)
            raise
        finally:
            _unwatched(request, sent, body)
        return _observed(response, call, usage, stream=ObservedStream)

    def __enter__(self) -> RecordingTransport:
        self._inner.__enter__()
        return self

    def __exit__(self, *args: Any, **kwargs: Any) -> None:
        self._inner.__exit__(*args, **kwargs)

    def close(self) -> None:
        self._inner.close()


class AsyncRecordingTransport(httpx2.AsyncBaseTransport):
    """Hands every request to `inner` and records those that are AI calls."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call, usage = _begin(request)
        if call is None:
            return await self._inner.handle_async_request(request)
        if (refusal := await call.refused_async()) is not None:
            return refused_response(request, call.flavour, refusal)
        sent = request if usage is None else usage.request
        body = _watched(sent, self._inner, call)
        try:
            response = await self._inner.handle_async_request(sent)
            if usage is not None and usage.asks and response.status_code in REFUSALS:
                await response.aread()
                if _refuses_options(response):
                    response = await self._inner.handle_async_request(request)
                    usage = usage.refused(accepted=response.is_success)
                else:
                    response = _unread(response)
        except BaseException as error:
            _given_up(call, error, body)
            raise
        finally:
            _unwatched(request, sent, body)
        return _observed(response, call, usage, stream=AsyncObservedStream)

    async def __aenter__(self) -> AsyncRecordingTransport:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *args: Any, **kwargs: Any) -> None:
        await self._inner.__aexit__(*args, **kwargs)

    async def aclose(self) -> None:
        await self._inner.aclose()


_RECORDING = (RecordingTransport, AsyncRecordingTransport)


class _WatchedBody:
    """A request's body that knows whether it was written as a whole: nothing else tells it of a cancelled call.

    call: is told so, while it is waiting. The library's connection keeps the body for longer than that.
    """

    bases: ClassVar = ("SyncByteStream", "AsyncByteStream")

    def __init__(self, stream: Any, call: Call) -> None:
        self.stream = stream
        self.is_written = False
        self.call: Call | None = call

    def __iter__(self) -> Iterator[bytes]:
        yield from self.stream
        self._written()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.stream:
            yield chunk
        self._written()

    def _written(self) -> None:
        self.is_written = True
        if self.call is not None:
            self.call.sent()


def _watched(request: httpx2.Request, inner: Any, call: Call) -> _WatchedBody | None:
    """Watch the body of a request to the network. Other transports may look at it: they get it as it is."""
    library = _library_of(request)
    if not isinstance(inner, (library.HTTPTransport, library.AsyncHTTPTransport)):
        return None
    body: _WatchedBody = _of_library(_WatchedBody, library)(request.stream, call)
    request.stream = body  # type: ignore[assignment]
    return body


def _unwatched(request: httpx2.Request, sent: httpx2.Request, body: _WatchedBody | None) -> None:
    request.extensions.pop(MARK, None)
    if sent is not request:
        sent.extensions.pop(MARK, None)
    if body is not None:
        body.call = None
        if sent.stream is body:  # type: ignore[comparison-overlap]
            sent.stream = body.stream


def _given_up(call: Call, error: BaseException, body: _WatchedBody | None) -> None:
    """Record an attempt that ended without an answer, if it was sent."""
    is_of_network = isinstance(error, tuple(library.TransportError for library in libraries()))
    not_sent = tuple(getattr(library, name) for library in libraries() for name in NOT_SENT)
    if not isinstance(error, not_sent) and (is_of_network or body is None or body.is_written):
        call.given_up(error)
    else:
        call.not_sent()


_Filter = UsageChunkFilter | UndeclaredStreamFilter | UnaskedStream


class _Observed:
    """The part that both kinds of stream share: the call takes each chunk, the filter hides parts from the caller.

    `decoded`: a response over a compressed body that has to be decoded, because a part of it is hidden.
    """

    bases: ClassVar[tuple[str, ...]]

    def __init__(
        self, stream: Any, call: Call, *, usage_filter: _Filter | None, decoded: httpx2.Response | None = None
    ) -> None:
        self._stream = stream
        self._call = call
        self._filter = usage_filter
        self._decoded = decoded

    def _rest(self) -> bytes:
        return b"" if self._filter is None else self._filter.flush()

    def __del__(self) -> None:
        # The provider charges for an answer even if nobody read or closed it.
        self._call.finish()


class ObservedStream(_Observed):
    """The answer's body, noted chunk by chunk on its way to the caller."""

    bases = ("SyncByteStream",)

    def __iter__(self) -> Iterator[bytes]:
        take, feed = self._call.take, None if self._filter is None else self._filter.feed
        try:
            for chunk in self._stream if self._decoded is None else self._decoded.iter_bytes():
                try:
                    if take(chunk):
                        self._call.fold()
                except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md
                    self._call.broken(error)
                if visible := chunk if feed is None else feed(chunk):
                    yield visible
        except Exception:
            # Cut by the network: the caller gets the part of the last event that came, as without us, then the error.
            if rest := self._rest():
                yield rest
            raise
        if rest := self._rest():
            yield rest
        self._call.ended = True

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._call.finish()


class AsyncObservedStream(_Observed):
    """The answer's body, noted chunk by chunk on its way to the caller."""

    bases = ("AsyncByteStream",)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        take, feed = self._call.take, None if self._filter is None else self._filter.feed
        try:
            async for chunk in self._stream if self._decoded is None else self._decoded.aiter_bytes():
                try:
                    if take(chunk):
                        self._call.fold()
                except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md
                    self._call.broken(error)
                if visible := chunk if feed is None else feed(chunk):
                    yield visible
        except Exception:
            # Cut by the network: the caller gets the part of the last event that came, as without us, then the error.
            if rest := self._rest():
                yield rest
            raise
        if rest := self._rest():
            yield rest
        self._call.ended = True

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._call.finish()


def _library_of(value: Any) -> Any:
    """The library of a request or response. One of another class was made for `httpx2`."""
    return httpx2 if isinstance(value, NEWER) else library_of(value) or httpx2


@functools.cache
def _of_library(kind: Any, library: Any) -> Any:
    """The class as a stream of this HTTP library, which takes no other."""
    return type(kind.__name__, (kind, *(getattr(library, name) for name in kind.bases)), {})


def _begin(request: httpx2.Request) -> tuple[Call | None, StreamedUsage | None]:
    """The call to record, if there is one, and how its usage comes, if it is a streamed chat completion."""
    try:
        url, mark = request.url, request.extensions.pop(MARK, None)
        if mark is RECORDED:
            request.extensions[MARK] = mark
            return None, None
        endpoint = endpoint_of(request.method, url.raw_scheme, url.raw_host, url.port, url.raw_path, mark)
        if endpoint is None:
            return None, None
        request.extensions[MARK] = RECORDED
        streams_chat = endpoint.flavour == "chat" and endpoint.purpose == "create"
        return call_of(request, endpoint, mark), streamed_usage(request) if streams_chat else None
    except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the request goes out in any case
        lost(error)
        return None, None


def _observed(
    response: httpx2.Response, call: Call, usage: StreamedUsage | None, *, stream: type[_Observed]
) -> httpx2.Response:
    """The response with its body observed, and without the parts that came only because we asked for usage."""
    if 300 <= response.status_code < 400:
        call.redirected()
        return response  # the answer comes from the place that it leads to
    if hasattr(response, "_content"):
        return _already_read(response, call, usage)
    headers, body, decoded = response.headers, response.stream, None
    told = by_name(headers)
    is_stream = _is_stream(told)
    encoding = headers["content-encoding"] if b"content-encoding" in told else None
    usage_filter: _Filter | None = None
    if usage is not None and usage.asks and is_stream:
        usage_filter = usage.declared_filter()
        if encoding is not None:
            # We asked for a plain body. If the server compresses it anyway, decode it, because a part must be hidden.
            decoded = encoded(encoding, stream=body, library=_library_of(response))
            del headers["content-encoding"]
            encoding = None
        headers.pop("content-length", None)
    elif usage is not None and is_stream and encoding is None:
        usage_filter = usage.declared_filter()
    elif usage is not None and _OF_COMPLETE_BODY.isdisjoint(told):
        usage_filter = usage.undeclared_filter()
    call.answered(response, told, encoding=encoding, is_stream=is_stream)
    observed = _of_library(stream, _library_of(response))  # type: ignore[arg-type]
    response.stream = observed(body, call, usage_filter=usage_filter, decoded=decoded)
    return response


def _already_read(response: httpx2.Response, call: Call, usage: StreamedUsage | None) -> httpx2.Response:
    """Record at once the response of a transport that has read the body: for its log, from a cache, in a test."""
    body, told = response.content, by_name(response.headers)
    call.answered(response, told, encoding=None, is_stream=_is_stream(told))
    for _ in ObservedStream([body], call, usage_filter=None):
        pass
    call.finish()
    if usage is None or not (_is_stream(told) or body.startswith(STREAM_BEGINNINGS)):
        return response
    usage_filter = usage.declared_filter()
    visible = usage_filter.feed(body) + usage_filter.flush()
    if not usage.asks:
        return response
    visible_response: httpx2.Response = _library_of(response).Response(
        response.status_code, headers=_plain_headers(response), content=visible, extensions=response.extensions
    )
    return visible_response


_OF_COMPLETE_BODY = frozenset((b"content-length", b"content-encoding"))
"""Headers of a body that was complete before it was sent, which a stream is not."""


def _is_stream(told: Mapping[bytes, bytes]) -> bool:
    return told.get(b"content-type", b"").startswith(b"text/event-stream")


def _refuses_options(response: httpx2.Response) -> bool:
    return b"stream_options" in response.content


def _unread(response: httpx2.Response) -> httpx2.Response:
    """The response as it was before its body was read."""
    library = _library_of(response)
    unread: httpx2.Response = library.Response(
        response.status_code,
        headers=_plain_headers(response),
        stream=library.ByteStream(response.content),
        extensions=response.extensions,
    )
    return unread


def _plain_headers(response: httpx2.Response) -> httpx2.Headers:
    """The response's headers, for its decoded body."""
    headers = response.headers.copy()
    if headers.pop("content-encoding", None):
        headers.pop("content-length", None)
    return headers
