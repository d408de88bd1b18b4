"""OpenAI's answers on the wire, plain and streamed, and the exact event of each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
from openai.types import Completion

from ai_clients import OpenAI
from tests.support.recorded import Recorded, usage_of
from tests.support.scripted import REQUEST_ID, Provider, plain, sse, streamed
from tests.support.wire import (
    CHAT_ID,
    CHAT_TOKENS,
    IMAGE_TOKENS,
    RESPONSE_ID,
    TOKENS,
    body,
    chat,
    chat_chunks,
    embeddings,
    images,
    one,
    openai_of,
    response,
    response_events,
)

HOST = "https://api.openai.com/v1"
ASK_CHAT: dict[str, Any] = {"model": "asked-for", "messages": [{"role": "user", "content": "Hello"}]}
ASK_IMAGE: dict[str, Any] = {"model": "gpt-image-1.5", "prompt": "A desk"}
EDIT: dict[str, Any] = {**ASK_IMAGE, "image": [("a.png", b"PNG-1"), ("b.png", b"PNG-2")]}

CHAT = {
    "request_id": CHAT_ID,
    "flavour": "chat",
    "url": f"{HOST}/chat/completions",
    "status": "succeeded",
    "model": "gpt-4.1-2025-04-14",
    "usage": CHAT_TOKENS,
    "context": {"service_tier": "default"},
}
RESPONSE = {
    "request_id": RESPONSE_ID,
    "flavour": "responses",
    "url": f"{HOST}/responses",
    "status": "succeeded",
    "model": "gpt-5.4-2026-03-05",
    "usage": TOKENS,
    "context": {"service_tier": "default"},
}
IMAGES = {
    "request_id": REQUEST_ID,
    "flavour": "images",
    "url": f"{HOST}/images/generations",
    "status": "succeeded",
    "model": "gpt-image-1.5",
    "usage": IMAGE_TOKENS,
}
LEGACY = {
    "id": "cmpl-uqkvlQyYK7bGYrRHQ0eXlWi7ab",
    "object": "text_completion",
    "created": 1589478378,
    "model": "gpt-3.5-turbo-instruct",
}


def legacy(text: str | None, **fields: Any) -> dict[str, Any]:
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}
    return body(Completion, **LEGACY, choices=[choice] if text else [], **fields)


def image_done(kind: str = "image_generation", **fields: Any) -> dict[str, Any]:
    return {
        "type": f"{kind}.completed",
        "b64_json": "AAAA",
        "created_at": 1,
        "background": "opaque",
        "output_format": "png",
        "quality": "low",
        "size": "1024x1024",
        "usage": IMAGE_TOKENS,
        **fields,
    }


def partial_image(kind: str = "image_generation") -> dict[str, Any]:
    return {**image_done(kind), "type": f"{kind}.partial_image", "partial_image_index": 0, "usage": None}


CITATION = {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 2, "title": "t", "url": "u"}}
SVG = {"model": "gpt-5.4", "input_tokens": 5, "output_tokens": 9, "reasoning_tokens": 4, "total_tokens": 14}
SVG_PART = {
    "model": "gpt-5.4",
    "api": "responses",
    "usage": {"input_tokens": 5, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}},
}

PLAIN: dict[str, tuple[Callable[[OpenAI], object], object, dict[str, Any]]] = {
    "chat": (lambda c: c.chat.completions.create(**ASK_CHAT), chat(), CHAT),
    "chat, priority": (
        lambda c: c.chat.completions.create(**ASK_CHAT, service_tier="priority"),
        chat(service_tier="priority"),
        {**CHAT, "context": {"service_tier": "priority"}},
    ),
    "chat, cites": (
        lambda c: c.chat.completions.create(**ASK_CHAT, web_search_options={}),
        chat(message={"annotations": [CITATION]}),
        {**CHAT, "context": {"service_tier": "default", "search": "unknown-number"}},
    ),
    "chat, text like a citation": (
        lambda c: c.chat.completions.create(**ASK_CHAT),
        chat(message={"content": '"url_citation" {"usage": {"prompt_tokens": 1}}'}),
        CHAT,
    ),
    "chat, search model": (
        lambda c: c.chat.completions.create(**ASK_CHAT),
        chat(model="gpt-4o-search-preview-2025-03-11"),
        {
            **CHAT,
            "model": "gpt-4o-search-preview-2025-03-11",
            "context": {"service_tier": "default", "search": "unknown-number"},
        },
    ),
    "chat, search api": (
        lambda c: c.chat.completions.create(**ASK_CHAT),
        chat(model="gpt-5-search-api-2025-10-14", service_tier=None),
        {**CHAT, "model": "gpt-5-search-api-2025-10-14", "context": {"search": "unknown-number"}},
    ),
    "legacy": (
        lambda c: c.completions.create(model="m", prompt="Hello"),
        legacy("Hi", usage=CHAT_TOKENS),
        {
            "request_id": LEGACY["id"],
            "flavour": "chat",
            "url": f"{HOST}/completions",
            "status": "succeeded",
            "model": LEGACY["model"],
            "usage": CHAT_TOKENS,
        },
    ),
    "embeddings": (
        lambda c: c.embeddings.create(model="m", input="Hello"),
        embeddings(),
        {
            "request_id": REQUEST_ID,
            "flavour": "embeddings",
            "url": f"{HOST}/embeddings",
            "status": "succeeded",
            "model": "text-embedding-3-small",
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        },
    ),
    "response": (lambda c: c.responses.create(model="m", input="Hello"), response(), RESPONSE),
    "response, incomplete": (
        lambda c: c.responses.create(model="m", input="Hello"),
        response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        RESPONSE,
    ),
    "response, failed": (
        lambda c: c.responses.create(model="m", input="Hello"),
        response(status="failed", error={"code": "server_error", "message": "secret"}),
        {**RESPONSE, "status": "failed", "error_code": "server_error"},
    ),
    "compaction": (
        lambda c: c.responses.compact(model="gpt-5.4", input="Hello"),
        {"id": RESPONSE_ID, "object": "response.compaction", "created_at": 1, "output": [], "usage": TOKENS},
        {
            "request_id": RESPONSE_ID,
            "flavour": "responses",
            "url": f"{HOST}/responses/compact",
            "status": "succeeded",
            "model": "gpt-5.4",
            "usage": TOKENS,
        },
    ),
    "images": (lambda c: c.images.generate(**ASK_IMAGE), images(), IMAGES),
    "images, by the piece": (
        lambda c: c.images.generate(model="dall-e-3", prompt="A desk"),
        images(usage=None),
        {name: value for name, value in IMAGES.items() if name != "usage"} | {"model": "dall-e-3"},
    ),
    "images, svg": (lambda c: c.images.generate(**ASK_IMAGE), images(svg_usage=SVG), {**IMAGES, "parts": [SVG_PART]}),
    "image edits": (lambda c: c.images.edit(**EDIT), images(), {**IMAGES, "url": f"{HOST}/images/edits"}),
    "image variations": (
        lambda c: c.images.create_variation(model="dall-e-2", image=b"PNG"),
        images(usage=None),
        {
            "request_id": REQUEST_ID,
            "flavour": "images",
            "url": f"{HOST}/images/variations",
            "status": "succeeded",
            "model": "dall-e-2",
        },
    ),
}

STREAMS: dict[str, tuple[Callable[[OpenAI], object], list[bytes], dict[str, Any]]] = {
    "chat": (
        lambda c: c.chat.completions.create(**ASK_CHAT, stream=True),
        sse(*chat_chunks({}), "[DONE]"),
        CHAT,
    ),
    "chat, null usage last": (
        lambda c: c.chat.completions.create(**ASK_CHAT, stream=True),
        sse(*chat_chunks({}), chat_chunks({})[0], "[DONE]"),
        CHAT,
    ),
    "chat, cites": (
        lambda c: c.chat.completions.create(**ASK_CHAT, stream=True),
        sse(*chat_chunks({"annotations": [CITATION]}), "[DONE]"),
        {**CHAT, "context": {"service_tier": "default", "search": "unknown-number"}},
    ),
    "chat, error inside": (
        lambda c: c.chat.completions.create(**ASK_CHAT, stream=True),
        sse(chat_chunks({})[0], {"error": {"code": "server_error", "message": "secret", "type": "server_error"}}),
        {name: value for name, value in CHAT.items() if name != "usage"}
        | {"status": "aborted", "error_code": "server_error"},
    ),
    "legacy": (
        lambda c: c.completions.create(model="m", prompt="Hello", stream=True),
        sse(legacy("Hi", usage=None), legacy(None, usage=CHAT_TOKENS), "[DONE]"),
        PLAIN["legacy"][2],
    ),
    "response": (
        lambda c: c.responses.create(model="m", input="Hello", stream=True),
        sse(*response_events("completed"), names=True),
        RESPONSE,
    ),
    "response, incomplete": (
        lambda c: c.responses.create(model="m", input="Hello", stream=True),
        sse(*response_events("incomplete"), names=True),
        RESPONSE,
    ),
    "response, failed": (
        lambda c: c.responses.create(model="m", input="Hello", stream=True),
        sse(*response_events("failed", error={"code": "rate_limit_exceeded", "message": "secret"}), names=True),
        {**RESPONSE, "status": "failed", "error_code": "rate_limit_exceeded"},
    ),
    "response, cut short": (
        lambda c: c.responses.create(model="m", input="Hello", stream=True),
        sse(*response_events("completed")[:3], names=True),
        {name: value for name, value in RESPONSE.items() if name != "usage"}
        | {"status": "aborted", "context": {"service_tier": "auto"}},
    ),
    "response, error inside": (
        lambda c: c.responses.create(model="m", input="Hello", stream=True),
        sse(
            *response_events("completed")[:3],
            {"type": "error", "code": "server_error", "message": "secret", "param": None, "sequence_number": 3},
            names=True,
        ),
        {name: value for name, value in RESPONSE.items() if name != "usage"}
        | {"status": "aborted", "error_code": "server_error", "context": {"service_tier": "auto"}},
    ),
    "images": (
        lambda c: c.images.generate(**ASK_IMAGE, stream=True, partial_images=1),
        sse(partial_image(), image_done(), names=True),
        IMAGES,
    ),
    "images, several": (
        lambda c: c.images.generate(**ASK_IMAGE, stream=True, n=2),
        sse(image_done(), image_done(), names=True),
        {**IMAGES, "context": {"images": "several-usages"}},
    ),
    "images, cut short": (
        lambda c: c.images.generate(**ASK_IMAGE, stream=True),
        sse({**partial_image(), "usage": IMAGE_TOKENS}, names=True),
        {name: value for name, value in IMAGES.items() if name != "usage"} | {"status": "aborted"},
    ),
    "image edits": (
        lambda c: c.images.edit(**EDIT, stream=True),
        sse(partial_image("image_edit"), image_done("image_edit"), names=True),
        {**IMAGES, "url": f"{HOST}/images/edits"},
    ),
}


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # variations, by the SDK
@pytest.mark.parametrize(("call", "answer", "expected"), PLAIN.values(), ids=PLAIN.keys())
def test_plain_answer(
    recorded: Recorded, call: Callable[[OpenAI], object], answer: object, expected: dict[str, Any]
) -> None:
    call(openai_of(lambda _: plain(answer)))
    assert one(recorded) == expected


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/octet-stream"])
@pytest.mark.parametrize(("call", "events", "expected"), STREAMS.values(), ids=STREAMS.keys())
def test_streamed_answer(
    recorded: Recorded,
    call: Callable[[OpenAI], Any],
    events: list[bytes],
    expected: dict[str, Any],
    content_type: str,
) -> None:
    client = openai_of(lambda _: streamed(*events, headers={"content-type": content_type}))
    stream = call(client)
    try:
        for _ in stream:
            pass
    except openai.APIError:
        assert expected["error_code"]
    assert one(recorded) == expected


@pytest.mark.parametrize("asks", [False, True])
def test_stream_that_does_not_say_so_shows_the_usage_only_to_those_who_asked(recorded: Recorded, asks: bool) -> None:
    events = sse(*chat_chunks({}), "[DONE]")
    client = openai_of(lambda _: streamed(*events, headers={"content-type": "text/plain"}))
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if asks else {}
    chunks = list(client.chat.completions.create(**ASK_CHAT, stream=True, **options))
    assert [len(chunk.choices) for chunk in chunks] == ([1, 0] if asks else [1])
    assert one(recorded) == CHAT


def test_plain_answer_to_a_stream_that_was_asked_for_is_untouched(recorded: Recorded) -> None:
    answer = b'{"id":"x","a":1,"usage":null}\n\n{"usage": {}}'
    client = openai_of(lambda _: plain(answer))
    with client.chat.completions.with_streaming_response.create(**ASK_CHAT, stream=True) as raw:
        assert b"".join(raw.iter_bytes()) == answer
    assert recorded.one().status == "succeeded"


@pytest.mark.parametrize("empty", [b"", b" "])
def test_empty_answer_is_recorded_without_usage(recorded: Recorded, empty: bytes) -> None:
    openai_of(lambda _: plain(empty)).chat.completions.with_raw_response.create(**ASK_CHAT)
    expected = {name: CHAT[name] for name in ("flavour", "url", "status")}
    expected |= {"request_id": REQUEST_ID, "model": "asked-for", "error_code": "unreadable-answer"}
    assert one(recorded) == expected


def test_events_that_nobody_asked_for_are_no_answer(recorded: Recorded) -> None:
    client = openai_of(lambda _: plain(b"".join(sse(*chat_chunks({}), "[DONE]"))))
    client.chat.completions.with_raw_response.create(**ASK_CHAT)
    event = recorded.one()
    assert (event.status, event.error_code, event.model) == ("succeeded", "unreadable-answer", "asked-for")


@pytest.mark.parametrize("region", ["us", "eu"])
def test_region_is_that_of_the_host(recorded: Recorded, region: str) -> None:
    base_url = f"https://{region}.api.openai.com/v1"
    openai_of(lambda _: plain(chat()), base_url=base_url).chat.completions.create(**ASK_CHAT)
    context = {"service_tier": "default", "region": region}
    assert one(recorded) == {**CHAT, "url": f"{base_url}/chat/completions", "context": context}


def test_calls_that_bill_nothing_are_not_recorded(recorded: Recorded) -> None:
    client = openai_of(lambda _: plain({"object": "list", "data": []}))
    client.chat.completions.update(CHAT_ID, metadata={"a": "b"})
    client.chat.completions.retrieve(CHAT_ID)
    client.models.list()
    client.moderations.create(input="Hello")
    client.responses.input_tokens.count(model="m", input="Hello")
    client.responses.input_items.list(RESPONSE_ID)
    client.post("/threads/thread_1/messages", body={"content": "Hello", "role": "user"}, cast_to=object)
    client.batches.list()
    assert recorded.all() == []


def test_form_reaches_the_provider_byte_for_byte(recorded: Recorded) -> None:
    provider = Provider(lambda _: plain(images()))
    boundary = {"content-type": "multipart/form-data; boundary=the-boundary"}
    for kind in (openai.OpenAI, OpenAI):
        openai_options: dict[str, Any] = {"extra_headers": boundary}
        client = kind(api_key="k", http_client=openai.DefaultHttpxClient(transport=provider))
        client.images.edit(**EDIT, **openai_options)
    official, ours = provider.requests
    assert official.read() == ours.read()
    assert b"PNG-2" in ours.content
    assert recorded.one().model == "gpt-image-1.5"


NEW = {"id": "new_0123456789abcdef0123456789abcdef", "model": "gpt-7", "usage": {"input_tokens": 5, "output_tokens": 1}}


@pytest.mark.parametrize("method", ["post", "get", "put", "patch"])
def test_call_of_an_endpoint_that_is_not_known_is_recorded(recorded: Recorded, method: str) -> None:
    client = openai_of(lambda _: plain(NEW))
    getattr(client, method)("/brand_new/thing_1/run", cast_to=object)
    event = recorded.one()
    assert (event.flavour, event.url) == ("unknown", "https://api.openai.com/v1/brand_new/*/run")
    assert (event.request_id, event.model, usage_of(event)) == (NEW["id"], NEW["model"], NEW["usage"])


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (plain({"ok": True}), "succeeded"),
        (httpx2.Response(200, content=b"\x89PNG", headers={"content-type": "image/png"}), "succeeded"),
        (httpx2.Response(204), "succeeded"),
        (plain({"error": {"code": "model_not_found"}}, status=404), "failed"),
    ],
)
def test_call_of_an_endpoint_that_is_not_known_is_recorded_without_usage(
    recorded: Recorded, answer: httpx2.Response, status: str
) -> None:
    client = openai_of(lambda _: answer)
    with contextlib.suppress(openai.APIStatusError):
        client.post("/brand_new", body={"model": "asked-for"}, cast_to=httpx2.Response)
    event = recorded.one()
    assert (event.status, event.model, usage_of(event)) == (status, "asked-for", None)
