"""A relay that delays a database server, and counts how often the client waits for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

DELAY_S = 0.03
"""Long enough for a client to send everything that it sends without waiting for an answer."""


class FarServer:
    """`port`: connect here in place of the server. `waits`: how often the client sent data after an answer."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.waits = 0
        self._answered = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed: the test is over
            server = socket.create_connection(self._server)
            threading.Thread(target=self._relay, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._relay, args=(server, client, False), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, is_client: bool) -> None:
        try:
            while data := source.recv(65536):
                if is_client:
                    self.waits += self._answered
                    self._answered = False
                else:
                    time.sleep(DELAY_S)
                    self._answered = True
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return  # One side has closed. The relay of the other direction may still run.

    def close(self) -> None:
        self._listener.close()


@contextmanager
def far(host: str, port: int) -> Iterator[FarServer]:
    server = FarServer(host, port)
    try:
        yield server
    finally:
        server.close()
