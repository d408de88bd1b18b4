"""Lets the websockets that the OpenAI SDK opens record, whatever is built on them: events, handlers, sessions, lanes.

The SDK hands out its connections by the method `connect` of a resource. Its result, a connection manager, opens the
connection of the library `websockets`, and a new one when that breaks. That object is observed; all above it stays the
SDK's own.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any

import httpx2
from openai._resource import AsyncAPIResource, SyncAPIResource

from ai_clients import budget_check
from ai_clients.account import account_of
from ai_clients.refusal import refused_response
from ai_clients.websockets.calls import SocketCalls
from ai_clients.websockets.queues import is_flushing, remember_senders, sender_of
from ai_clients.websockets.waiting import Request
from usage_billing.recording import Attribution, current_attribution, lost
from usage_billing.recording.admission import Admitted, Planned, Refusal

_clients: tuple[type, ...] = ()
"""Classes of the clients whose connections are recorded."""

_PATCHED = "_ai_costs_patched"
_OBSERVER = "_ai_costs_observer"


def record_websockets(*clients: type) -> None:
    """Record the connections that clients of these classes open. A second time changes nothing.

    For all clients of a process: their base class.
    """
    global _clients
    _clients = tuple({*_clients, *clients})
    _install()


def leave_websockets(*clients: type) -> None:
    """Stop recording the connections that clients of these classes open from now on."""
    global _clients
    _clients = tuple({*_clients}.difference(clients))


@functools.cache
def _install() -> None:
    """Patch `connect` of the resources that are there, and of each other one when it is first used.

    Importing them all takes as long as half the SDK. `SyncAPIResource` and `AsyncAPIResource` are private to it.
    """
    remember_senders()
    for base in (SyncAPIResource, AsyncAPIResource):
        for resource in base.__subclasses__():
            _record_connections_of(resource)
        base.__init__ = _patching(base.__init__)  # type: ignore[method-assign]


def _patching(construct: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(construct)
    def constructed(self: Any, client: Any) -> None:
        construct(self, client)
        _record_connections_of(type(self))

    return constructed


def _record_connections_of(resource: type) -> None:
    for kind in resource.__mro__:
        connect = kind.__dict__.get("connect")
        if connect is not None and not hasattr(connect, _PATCHED):
            kind.connect = _recording(connect)  # type: ignore[attr-defined]


def _recording(connect: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(connect)
    def recording(self: Any, *args: Any, **options: Any) -> Any:
        manager = connect(self, *args, **options)
        if isinstance(self._client, _clients):
            _observe_connections_of(manager)
        return manager

    setattr(recording, _PATCHED, True)
    return recording


def _observe_connections_of(manager: Any) -> None:
    try:
        observer = _Observer()
        if hasattr(manager, "_connect_ws"):
            manager._connect_ws = observer.observing(manager._connect_ws)
        else:
            # The beta of Realtime opens its connection where it is entered, and does not reconnect.
            _patch_entering(type(manager))
            setattr(manager, _OBSERVER, observer)
    except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the caller gets its connection
        lost(error)


def _patch_entering(manager: type) -> None:
    name = "__aenter__" if hasattr(manager, "__aenter__") else "__enter__"
    enter = getattr(manager, name)
    if hasattr(enter, _PATCHED):
        return

    def observe(self: Any, connection: Any) -> Any:
        if (observer := getattr(self, _OBSERVER, None)) is not None:
            observer.observe(connection._connection)
        return connection

    if inspect.iscoroutinefunction(enter):

        @functools.wraps(enter)
        async def entered_async(self: Any) -> Any:
            return observe(self, await enter(self))

        entered: Any = entered_async
    else:

        @functools.wraps(enter)
        def entered(self: Any) -> Any:
            return observe(self, enter(self))

    setattr(entered, _PATCHED, True)
    setattr(manager, name, entered)
    manager.enter = entered  # type: ignore[attr-defined]


class _Observer:
    """Observes the connections of one manager. Those that follow a broken one belong to who opened the first."""

    def __init__(self) -> None:
        self._opener: Attribution | None = None
        self._ended: dict[str, None] = {}

    def observing(self, connect: Callable[..., Any]) -> Callable[..., Any]:
        """The function that opens a connection of the library `websockets`, which is observed from then on."""
        if inspect.iscoroutinefunction(connect):

            @functools.wraps(connect)
            async def connected_async(*args: Any, **options: Any) -> Any:
                socket = await connect(*args, **options)
                self.observe(socket)
                return socket

            return connected_async

        @functools.wraps(connect)
        def connected(*args: Any, **options: Any) -> Any:
            socket = connect(*args, **options)
            self.observe(socket)
            return socket

        return connected

    def observe(self, socket: Any) -> None:
        """Let a connection record. Never raises."""
        try:
            if self._opener is None:
                self._opener = current_attribution()
            calls = SocketCalls(_url_of(socket), self._opener, self._ended, _account_of(socket))
            # Nobody may close it: then it ends with the object, or with the process.
            weakref.finalize(socket, calls.closed)
            if inspect.iscoroutinefunction(socket.recv):
                _observe_async(socket, calls)
            else:
                _observe_sync(socket, calls)
        except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the caller gets its connection
            lost(error)


def _url_of(socket: Any) -> str:
    """The address of a connection. `uri` is the argument of `websockets.client.ClientProtocol`; version 13 and 14 of
    the library call it `wsuri`.
    """
    protocol = socket.protocol
    uri = protocol.uri if hasattr(protocol, "uri") else protocol.wsuri
    host = f"[{uri.host}]" if ":" in uri.host else uri.host
    port = "" if uri.port == (443 if uri.secure else 80) else f":{uri.port}"
    return f"{'wss' if uri.secure else 'ws'}://{host}{port}{uri.resource_name}"


class _Headers:
    """The headers of a handshake, as `account_of` reads them."""

    def __init__(self, handshake: Any) -> None:
        self.raw = [(name.encode(), value.encode()) for name, value in handshake.headers.raw_items()]


def _account_of(socket: Any) -> dict[str, str]:
    """Return the account that pays, by the headers of the handshake."""
    return account_of(_Headers(socket.request), None if socket.response is None else _Headers(socket.response))


def _admitted(calls: SocketCalls, planned: Planned, decision: Admitted | Refusal) -> Admitted:
    """What a request holds. Raises the SDK's error for one that a budget stops, before it is sent."""
    if not isinstance(decision, Refusal):
        return decision
    from openai import RateLimitError  # the SDK may be in the middle of its own import when this module is imported

    calls.refused(planned, decision)
    request = httpx2.Request("GET", planned.url)
    response = refused_response(request, planned.flavour, decision)
    raise RateLimitError(decision.message, response=response, body=response.json()["error"])


def _sending(calls: SocketCalls, message: Any, holds: Admitted) -> Request | None:
    request = calls.sending(message, sender_of)
    if request is None:
        budget_check.released(holds)
    else:
        request.holds = holds
    return request


def _observe_sync(socket: Any, calls: SocketCalls) -> None:
    from websockets.exceptions import ConnectionClosed  # an extra of the SDK, which has imported it by now

    recv, send, close = socket.recv, socket.send, socket.close

    @functools.wraps(recv)
    def observed_recv(*args: Any, **options: Any) -> Any:
        try:
            message = recv(*args, **options)
        except ConnectionClosed as error:
            calls.closed(type(error).__name__)
            raise
        calls.received(message)
        return message

    @functools.wraps(send)
    def observed_send(message: Any, *args: Any, **options: Any) -> Any:
        planned = None if is_flushing() else calls.planned(message)
        holds = budget_check.NO_HOLDS if planned is None else _admitted(calls, planned, budget_check.ask(planned))
        request = _sending(calls, message, holds)
        try:
            return send(message, *args, **options)
        except Exception:
            if request is not None:
                calls.not_sent(request)
            raise

    @functools.wraps(close)
    def observed_close(*args: Any, **options: Any) -> Any:
        try:
            return close(*args, **options)
        finally:
            calls.closed()

    socket.recv, socket.send, socket.close = observed_recv, observed_send, observed_close


def _observe_async(socket: Any, calls: SocketCalls) -> None:
    from websockets.exceptions import ConnectionClosed  # as above

    recv, send, close = socket.recv, socket.send, socket.close

    @functools.wraps(recv)
    async def observed_recv(*args: Any, **options: Any) -> Any:
        try:
            message = await recv(*args, **options)
        except ConnectionClosed as error:
            calls.closed(type(error).__name__)
            raise
        calls.received(message)
        return message

    @functools.wraps(send)
    async def observed_send(message: Any, *args: Any, **options: Any) -> Any:
        planned = None if is_flushing() else calls.planned(message)
        holds = budget_check.NO_HOLDS
        if planned is not None:
            holds = _admitted(calls, planned, await budget_check.ask_async(planned))
        request = _sending(calls, message, holds)
        try:
            return await send(message, *args, **options)
        except Exception:
            if request is not None:
                calls.not_sent(request)
            raise

    @functools.wraps(close)
    async def observed_close(*args: Any, **options: Any) -> Any:
        try:
            return await close(*args, **options)
        finally:
            calls.closed()

    socket.recv, socket.send, socket.close = observed_recv, observed_send, observed_close
