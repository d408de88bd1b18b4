"""`python -m bench.provider`: a provider that answers chat completions with fixed bytes, as quickly as it can.

A thread for each connection. The answers are made beforehand, so that usage makes none of them slower: the benchmark
measures the client.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import threading

CHUNKS = 50
_NUMBER = b"0" * 29
_numbers = itertools.count(1)


def _plain() -> bytes:
    answer = {
        "id": "chatcmpl-" + _NUMBER.decode(),
        "object": "chat.completion",
        "created": 1790000000,
        "model": "gpt-4.1-mini-2025-04-14",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "It costs next to nothing. " * 20, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 140,
            "completion_tokens": 120,
            "total_tokens": 260,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
    }
    body = json.dumps(answer).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _stream(*, tells_usage: bool) -> list[bytes]:
    """The head and the chunks of one stream, each as one piece of HTTP's chunked encoding."""
    head = {"id": "chatcmpl-" + _NUMBER.decode(), "object": "chat.completion.chunk", "created": 1790000000}
    head |= {"model": "gpt-4.1-mini-2025-04-14", "service_tier": "default"}
    nothing = {"usage": None} if tells_usage else {}
    events = [
        head | {"choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}]} | nothing
        for _ in range(CHUNKS - 1)
    ]
    events.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]} | nothing)
    if tells_usage:
        usage = {"prompt_tokens": 140, "completion_tokens": 49, "total_tokens": 189}
        events.append(head | {"choices": [], "usage": usage})
    lines = [b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n" for event in events]
    pieces = [b"%x\r\n%b\r\n" % (len(line), line) for line in [*lines, b"data: [DONE]\n\n"]]
    return [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        *pieces,
        b"0\r\n\r\n",
    ]


_ANSWER = [_plain()]
_STREAM = _stream(tells_usage=False)
_STREAM_WITH_USAGE = _stream(tells_usage=True)


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, connection.makefile("rb") as requests:
        while requests.readline():
            length = 0
            while (line := requests.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = requests.read(length)
            pieces = _ANSWER
            if b'"stream":true' in body:
                pieces = _STREAM_WITH_USAGE if b"include_usage" in body else _STREAM
            number = b"%029d" % next(_numbers)
            for piece in pieces:
                connection.sendall(piece.replace(_NUMBER, number, 1))


def main() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}/v1\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
