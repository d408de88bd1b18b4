"""An HTTP server on loopback that answers as a test says, for wire shapes that the simulator does not make."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answered:
    """An answer. `chunks`: of its body, each sent at once; a body that breaks off has no end. headers: further ones."""

    chunks: Iterable[bytes]
    status: int = 200
    content_type: str = "application/json"
    breaks_off: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Loopback:
    """The server. `url`: without a slash at its end. `requests`: all that it received."""

    url: str
    requests: list[Received] = field(default_factory=list)


def of_json(value: Any, status: int = 200) -> Answered:
    return Answered([json.dumps(value).encode()], status)


def of_events(*events: Mapping[str, Any]) -> Answered:
    """A stream of server-sent events, one network chunk each. An event with a type has it as its name too."""
    named = ((f"event: {event['type']}\n" if "type" in event else "", json.dumps(event)) for event in events)
    return Answered([f"{name}data: {data}\n\n".encode() for name, data in named], content_type="text/event-stream")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # clients may come all at once


@contextlib.contextmanager
def serving(answer: Callable[[Received], Answered]) -> Iterator[Loopback]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            received = Received(
                self.path, dict(self.headers), self.rfile.read(int(self.headers.get("content-length", 0)))
            )
            loopback.requests.append(received)
            answered = answer(received)
            self.send_response(answered.status)
            self.send_header("content-type", answered.content_type)
            self.send_header("transfer-encoding", "chunked")
            for name, value in answered.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for chunk in answered.chunks:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                    self.wfile.flush()
                if not answered.breaks_off:
                    self.wfile.write(b"0\r\n\r\n")
            except ConnectionError:  # the client hung up
                self.close_connection = True
            self.close_connection |= answered.breaks_off

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        loopback = Loopback(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield loopback
        finally:
            server.shutdown()
