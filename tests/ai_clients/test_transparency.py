"""A caller sees the same with the official class and with ours, in every way to read a stream."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_clients import Anthropic, AsyncAnthropic, AsyncOpenAI, OpenAI
from tests.ai_clients.test_fuzz import MESSAGE_EVENTS
from tests.support.scripted import (
    CHAT,
    CHAT_ANSWER,
    MESSAGE,
    REQUEST_ID,
    Body,
    Provider,
    chat_events,
    is_asked_for_usage,
    slices,
    sse,
)
from tests.support.wire import response_events

Observed = list[Any]
ENCODERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
RESPONSE = {"model": "gpt-4.1-mini", "input": "Hello"}


def events_of(api: str, request: httpx2.Request) -> list[bytes]:
    if api == "chat":
        return chat_events(asked=is_asked_for_usage(request))
    if api == "responses":
        return sse(*response_events("completed"), names=True)
    return sse(*MESSAGE_EVENTS, names=True)


def cut_after(events: list[bytes], whole: int) -> bytes:
    """So many whole events and the beginning of another, which is the same whether usage was asked for or not."""
    return b"".join(events) if whole >= len(events) else b"".join([*events[:whole], events[whole][:60]])


def answer_of(
    api: str, request: httpx2.Request, *, encoding: str, size: int, cut: int, breaks: bool, sized: bool
) -> httpx2.Response:
    """A stream, compressed if the request accepts that, cut after some events."""
    body = cut_after(events_of(api, request), cut)
    headers = {"content-type": "text/event-stream", "x-request-id": REQUEST_ID, "openai-processing-ms": "7"}
    if encoding in request.headers.get("accept-encoding", ""):
        body, headers["content-encoding"] = ENCODERS[encoding](body), encoding
    if sized:
        headers["content-length"] = str(len(body))
    return httpx2.Response(
        200, headers=headers, stream=Body(slices(body, size), httpx2.ReadError("cut") if breaks else None)
    )


def ways(api: str, client: Any) -> dict[str, Callable[[], Any]]:
    """The ways to open a stream. The SDK's own `stream()` reads one that it can complete."""
    if api == "messages":
        create, asked = client.messages, MESSAGE
    else:
        create, asked = (client.chat.completions, CHAT) if api == "chat" else (client.responses, RESPONSE)
    streamed = {**asked, "stream": True}
    return {
        "create": lambda: create.create(**streamed),
        "raw": lambda: create.with_raw_response.create(**streamed),
        "streaming": lambda: create.with_streaming_response.create(**streamed),
        "helper": lambda: create.stream(**asked),
    }


READS = ("iter_lines", "iter_text", "iter_bytes", "parse")
UNLIKE = {"content-length", "content-encoding"}
"""Of a body without the parts that came only because we asked: it is plain and of another length."""


def headers_of(headers: httpx2.Headers) -> list[tuple[str, str]]:
    return [item for item in headers.multi_items() if item[0] not in UNLIKE]


def plain(item: Any) -> Any:
    return item.to_dict() if hasattr(item, "to_dict") else item


def observed(api: str, client: Any, way: str, read: str, most: int) -> Observed:
    """The headers, items and error that a caller sees who reads `most` items and then closes the stream."""
    seen: Observed = []
    try:
        opened = ways(api, client)[way]()
        if way == "create":
            with opened as stream:
                seen.append(headers_of(stream.response.headers))
                take(stream, most, seen)
        elif way == "raw":
            seen += [opened.status_code, headers_of(opened.headers)]
            with opened.parse() as stream:
                take(stream, most, seen)
        elif way == "helper":
            with opened as stream:
                take(stream, most, seen)
        else:
            with opened as response:
                seen.append(headers_of(response.headers))
                take(response.parse() if read == "parse" else getattr(response, read)(), most, seen)
    except Exception as error:  # noqa: BLE001 - it is compared
        seen.append((type(error), str(error)))
    return joined(seen) if read in ("iter_text", "iter_bytes") and way == "streaming" else seen


def take(items: Iterator[Any], most: int, seen: Observed) -> None:
    for item, _ in zip(items, range(most), strict=False):
        seen.append(plain(item))


async def observed_async(api: str, client: Any, way: str, read: str, most: int) -> Observed:
    seen: Observed = []
    try:
        opened = ways(api, client)[way]()
        if way == "create":
            async with await opened as stream:
                seen.append(headers_of(stream.response.headers))
                await take_async(stream, most, seen)
        elif way == "raw":
            raw = await opened
            seen += [raw.status_code, headers_of(raw.headers)]
            parsed = raw.parse()
            async with await parsed if asyncio.iscoroutine(parsed) else parsed as stream:
                await take_async(stream, most, seen)
        elif way == "helper":
            async with opened as stream:
                await take_async(stream, most, seen)
        else:
            async with opened as response:
                seen.append(headers_of(response.headers))
                await take_async(await response.parse() if read == "parse" else getattr(response, read)(), most, seen)
    except Exception as error:  # noqa: BLE001 - it is compared
        seen.append((type(error), str(error)))
    return joined(seen) if read in ("iter_text", "iter_bytes") and way == "streaming" else seen


async def take_async(items: AsyncIterator[Any], most: int, seen: Observed) -> None:
    taken = 0
    async for item in items:
        if taken == most:
            break
        taken += 1
        seen.append(plain(item))


def joined(seen: Observed) -> Observed:
    """The same without the borders of the network chunks, which differ where a part is hidden."""
    pieces: list[Any] = [item for item in seen if isinstance(item, str | bytes)]
    return [
        *(item for item in seen if not isinstance(item, str | bytes)),
        pieces[:1] and type(pieces[0])().join(pieces),
    ]


OFFICIAL = {"openai": openai.OpenAI, "anthropic": anthropic.Anthropic}
OURS = {"openai": OpenAI, "anthropic": Anthropic}
OFFICIAL_ASYNC = {"openai": openai.AsyncOpenAI, "anthropic": anthropic.AsyncAnthropic}
OURS_ASYNC = {"openai": AsyncOpenAI, "anthropic": AsyncAnthropic}

SHAPES = {
    "api": st.sampled_from(["chat", "chat", "responses", "messages"]),
    "way": st.sampled_from(["create", "raw", "streaming", "helper"]),
    "read": st.sampled_from(READS),
    "encoding": st.sampled_from(["none", "gzip", "deflate"]),
    "size": st.sampled_from([1, 7, 100, 100_000]),
    "cut": st.sampled_from([0, 1, 2, 3, 100, 100, 100]),
    "breaks": st.booleans(),
    "sized": st.booleans(),
    "early": st.sampled_from([0, 1, 2, 10_000, 10_000]),
}


class Hooks:
    """The requests and responses that the caller's event hooks see."""

    def __init__(self) -> None:
        self.seen: Observed = []

    def request(self, request: httpx2.Request) -> None:
        self.seen.append((request.method, str(request.url), request.content, request.headers.multi_items()))

    def response(self, response: httpx2.Response) -> None:
        self.seen.append((response.status_code, headers_of(response.headers), response.request.content))

    async def request_async(self, request: httpx2.Request) -> None:
        self.request(request)

    async def response_async(self, response: httpx2.Response) -> None:
        self.response(response)


def most_of(read: str, way: str, early: int) -> int:
    # Without the borders of network chunks, a caller who reads so many of them cannot be compared.
    return 10_000 if way == "streaming" and read in ("iter_text", "iter_bytes") else early


@given(**SHAPES)
@settings(max_examples=100)
def test_caller_sees_the_same(
    api: str, way: str, read: str, encoding: str, size: int, cut: int, breaks: bool, sized: bool, early: int
) -> None:
    sdk = "anthropic" if api == "messages" else "openai"

    def seen(kinds: dict[str, Any]) -> Observed:
        provider = Provider(
            lambda request: answer_of(
                api, request, encoding=encoding, size=size, cut=cut, breaks=breaks, sized=sized and not breaks
            )
        )
        hooks = Hooks()
        http_client = httpx2.Client(
            transport=provider, event_hooks={"request": [hooks.request], "response": [hooks.response]}
        )
        with kinds[sdk](api_key="k", http_client=http_client, max_retries=0) as client:
            return [observed(api, client, way, read, most_of(read, way, early)), hooks.seen]

    assert seen(OURS) == seen(OFFICIAL)


@given(**SHAPES)
@settings(max_examples=60)
def test_async_caller_sees_the_same(
    api: str, way: str, read: str, encoding: str, size: int, cut: int, breaks: bool, sized: bool, early: int
) -> None:
    sdk = "anthropic" if api == "messages" else "openai"

    async def seen(kinds: dict[str, Any]) -> Observed:
        provider = Provider(
            lambda request: answer_of(
                api, request, encoding=encoding, size=size, cut=cut, breaks=breaks, sized=sized and not breaks
            )
        )
        hooks = Hooks()
        http_client = httpx2.AsyncClient(
            transport=provider, event_hooks={"request": [hooks.request_async], "response": [hooks.response_async]}
        )
        async with kinds[sdk](api_key="k", http_client=http_client, max_retries=0) as client:
            return [await observed_async(api, client, way, read, most_of(read, way, early)), hooks.seen]

    assert asyncio.run(seen(OURS_ASYNC)) == asyncio.run(seen(OFFICIAL_ASYNC))


@pytest.mark.parametrize("encoding", ["none", "gzip"])
def test_headers_of_a_plain_answer_are_the_providers(encoding: str) -> None:
    """Nothing is hidden of it, so its length and its encoding are the provider's too."""
    body = ENCODERS.get(encoding, bytes)(json.dumps(CHAT_ANSWER).encode())
    headers = {"content-type": "application/json", "content-length": str(len(body)), "x-request-id": REQUEST_ID}
    if encoding != "none":
        headers["content-encoding"] = encoding
    found = []
    for kind in (openai.OpenAI, OpenAI):
        provider = Provider(lambda _: httpx2.Response(200, headers=headers, stream=Body([body])))
        client = kind(api_key="k", http_client=httpx2.Client(transport=provider))
        raw = client.chat.completions.with_raw_response.create(**CHAT)
        found.append((raw.headers.multi_items(), raw.content))
    assert found[0] == found[1]
