"""`python -m bench.large_provider`: answers of many megabytes, at `/<kind>/<megabytes>/<encoding>/chat/completions`.

Kinds: `json`, one body; `sse`, a stream with all of its text in one event. Each is made once and sent from memory.
"""

from __future__ import annotations

import functools
import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = 'It costs next to nothing, “and less every year”.\n"So they say", he said: C:\\costs. '
CONTENT_TYPES = {"json": "application/json", "sse": "text/event-stream"}


@functools.cache
def answer(kind: str, megabytes: int, encoding: str, *, tells_usage: bool) -> bytes:
    """The body of such an answer."""
    text = TEXT * (megabytes * 2**20 // len(json.dumps(TEXT, ensure_ascii=False).encode()))
    head = {"id": "chatcmpl-" + "0" * 29, "created": 1790000000, "model": "gpt-4.1-mini-2025-04-14"}
    usage = {"prompt_tokens": 140, "completion_tokens": 120, "total_tokens": 260}
    if kind == "json":
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        body = _json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    else:
        head |= {"object": "chat.completion.chunk"}
        nothing = {"usage": None} if tells_usage else {}
        delta = {"index": 0, "delta": {"content": text}, "finish_reason": "stop"}
        events = [_json({**head, "choices": [delta], **nothing})]
        if tells_usage:
            events.append(_json({**head, "choices": [], "usage": usage}))
        body = b"".join(b"data: %b\n\n" % event for event in [*events, b"[DONE]"])
    return gzip.compress(body, 6) if encoding == "gzip" else body


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"]))
        _, kind, megabytes, encoding, *_ = self.path.split("/")
        body = answer(kind, int(megabytes), encoding, tells_usage=b"include_usage" in asked)
        self.send_response(200)
        self.send_header("content-type", CONTENT_TYPES[kind])
        self.send_header("content-length", str(len(body)))
        if encoding != "identity":
            self.send_header("content-encoding", encoding)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the benchmark's own figures are the output."""


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
