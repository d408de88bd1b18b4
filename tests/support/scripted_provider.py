"""A provider on loopback that gives scripted answers: real HTTP, to clients as everybody makes them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Mapping[str, Any]
"""`GET /v1/batches/batch_1` → its answer: an object is JSON, bytes are a file, a list is a stream of events."""


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """Serve the script; yield the server's address without a path. An answer that is missing is a 404."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            answer = script.get(f"{self.command} {self.path.partition('?')[0]}")
            kind, body = _written(answer)
            self.send_response(404 if answer is None else 200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _written(answer: Any) -> tuple[str, bytes]:
    if isinstance(answer, bytes):
        return "application/octet-stream", answer
    if isinstance(answer, list):
        events = [
            f"event: {event.get('type') or event['event']}\ndata: {json.dumps(event.get('data', event))}\n\n"
            for event in answer
        ]
        return "text/event-stream", "".join(events).encode()
    return "application/json", json.dumps(answer if answer is not None else {"error": {"code": "not_found"}}).encode()
