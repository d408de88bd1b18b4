"""A websocket server on loopback that plays the provider: each connection is handed to a function of the test."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve


class Peer:
    """The server's end of a connection. number: how many came before it."""

    def __init__(self, connection: ServerConnection, number: int) -> None:
        self._connection = connection
        self.number = number
        self.path = connection.request.path if connection.request else ""

    def tell(self, type_: str, **members: Any) -> None:
        self._connection.send(json.dumps({"type": type_, **members}))

    def send(self, message: str | bytes) -> None:
        self._connection.send(message)

    def hear(self) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(self._connection.recv(timeout=20))
        return heard

    def wait_closed(self) -> None:
        try:
            while True:
                self._connection.recv(timeout=20)
        except ConnectionClosed:
            pass

    def break_off(self) -> None:
        """End the connection without a word, as a network does."""
        self._connection.socket.shutdown(socket.SHUT_RDWR)

    def close(self, code: int = 1000) -> None:
        self._connection.close(code)


@contextmanager
def socket_server(play: Callable[[Peer], None]) -> Iterator[str]:
    """Run a server that plays each connection; it is closed when `play` returns. Yields `ws://…/v1`'s http address."""
    numbers = iter(range(1000))

    def handle(connection: ServerConnection) -> None:
        try:
            play(Peer(connection, next(numbers)))
        except (ConnectionClosed, OSError):
            return  # the client has gone

    with serve(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}/v1"
        server.shutdown()
    thread.join(10)
