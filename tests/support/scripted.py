"""A provider in memory, for wire shapes that the simulator does not make."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx2

NO_HEADERS: Mapping[str, str] = {}
REQUEST_ID = "req_0123456789abcdef0123456789abcdef"
CHAT: dict[str, Any] = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Hello"}]}
MESSAGE: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello"}],
}
USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
CHAT_ANSWER: dict[str, Any] = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion",
    "created": 1741569952,
    "model": "gpt-4.1-mini-2025-04-14",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "stop"}],
    "usage": USAGE,
    "service_tier": "default",
}


class Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that arrives in these network chunks and may then break off with an error."""

    def __init__(self, chunks: Sequence[bytes], breaks_with: Exception | None = None) -> None:
        self._chunks = chunks
        self._breaks_with = breaks_with

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        if self._breaks_with is not None:
            raise self._breaks_with

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


class Provider(httpx2.MockTransport):
    """Answers each request with `answer`, and keeps the requests."""

    def __init__(self, answer: Callable[[httpx2.Request], httpx2.Response]) -> None:
        self.requests: list[httpx2.Request] = []

        def handle(request: httpx2.Request) -> httpx2.Response:
            self.requests.append(request)
            return answer(request)

        super().__init__(handle)

    @property
    def bodies(self) -> list[bytes]:
        return [request.content for request in self.requests]


def plain(body: bytes | object, status: int = 200, headers: Mapping[str, str] = NO_HEADERS) -> httpx2.Response:
    """A plain answer in one chunk. A body that is not bytes becomes JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx2.Response(
        status,
        headers={"content-type": "application/json", "x-request-id": REQUEST_ID, **headers},
        stream=Body([content]),
    )


def streamed(
    *chunks: bytes, breaks_with: Exception | None = None, headers: Mapping[str, str] = NO_HEADERS
) -> httpx2.Response:
    """A stream of server-sent events that arrives in these network chunks."""
    return httpx2.Response(
        200,
        headers={"content-type": "text/event-stream; charset=utf-8", "x-request-id": REQUEST_ID, **headers},
        stream=Body(chunks, breaks_with),
    )


def sse(*payloads: object, end: str = "\n", names: bool = False) -> list[bytes]:
    """Server-sent events, one per payload. `[DONE]` stays as it is; others become compact JSON."""
    events = []
    for payload in payloads:
        text = payload if isinstance(payload, str) else json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
        name = f"event: {payload['type']}{end}" if names and isinstance(payload, dict) else ""
        events.append(f"{name}data: {text}{end}{end}".encode())
    return events


def chat_chunk(content: str | None = "Hi", **fields: object) -> dict[str, Any]:
    """A chunk of a streamed chat completion. Without content it has no choices."""
    choices = [] if content is None else [{"index": 0, "delta": {"content": content}, "finish_reason": None}]
    return {
        "id": CHAT_ANSWER["id"],
        "object": "chat.completion.chunk",
        "created": 1741569952,
        "model": CHAT_ANSWER["model"],
        "choices": choices,
        **fields,
    }


def is_asked_for_usage(request: httpx2.Request) -> bool:
    return (json.loads(request.content).get("stream_options") or {}).get("include_usage") is True


def chat_events(*, asked: bool, end: str = "\n") -> list[bytes]:
    """A chat completion as OpenAI streams it, with or without a request for usage."""
    null = {"usage": None} if asked else {}
    chunks = [chat_chunk(content, **null) for content in ("", "При", 'в, "usage":null, world', "\n\n")]
    return sse(*chunks, *([chat_chunk(None, usage=USAGE)] if asked else []), "[DONE]", end=end)


def slices(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]
