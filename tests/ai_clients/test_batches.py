"""Results of batches: one event a request, when they are fetched; nothing of any other file."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from anthropic.types import Message
from anthropic.types.messages import MessageBatchIndividualResponse

from ai_clients import AsyncAnthropic
from ai_clients.usage.openai_batches import may_be_output
from tests.support.recorded import Recorded
from tests.support.scripted import REQUEST_ID, Body, Provider, plain, slices
from tests.support.wire import (
    CHAT_ID,
    CHAT_TOKENS,
    IMAGE_TOKENS,
    RESPONSE_ID,
    TOKENS,
    anthropic_of,
    async_openai_of,
    body,
    chat,
    embeddings,
    images,
    one,
    openai_of,
    response,
    seen,
)
from usage_billing import usage_context
from usage_billing.recording import health

LINE_ID = "batch_req_6a1b2c3d4e5f60718293"
BATCH = {"processing": "batch"}


# ── OpenAI ───────────────────────────────────────────────────────────────────────────────────────────────────────


def line(answer: Any, status: int = 200, **fields: Any) -> dict[str, Any]:
    made = {"status_code": status, "request_id": "a" * 32, "body": answer}
    return {"id": LINE_ID, "custom_id": "request-1", "response": made, "error": None, **fields}


def jsonl(*lines: Any, end: str = "\n") -> bytes:
    return "".join(json.dumps(one_line) + end for one_line in lines).encode()


def file_of(content: bytes, size: int = 1000) -> httpx2.Response:
    headers = {"content-type": "application/octet-stream", "x-request-id": REQUEST_ID}
    return httpx2.Response(200, headers=headers, stream=Body(slices(content, size)))


def expected(path: str, flavour: str, **fields: Any) -> dict[str, Any]:
    url = f"https://api.openai.com/v1/{path}"
    return {"flavour": flavour, "url": url, "status": "succeeded", "context": BATCH, **fields}


SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
LINES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "chat": (
        line(chat()),
        expected("chat/completions", "chat", request_id=CHAT_ID, model="gpt-4.1-2025-04-14", usage=CHAT_TOKENS),
    ),
    "legacy": (
        line({"id": "cmpl-uqkvlQyYK7bGYrRHQ0eXlWi7", "object": "text_completion", "model": "m", "usage": CHAT_TOKENS}),
        expected("completions", "chat", request_id="cmpl-uqkvlQyYK7bGYrRHQ0eXlWi7", model="m", usage=CHAT_TOKENS),
    ),
    "response": (
        line(response(service_tier="default", output=[SEARCH], tools=[{"type": "web_search"}])),
        expected(
            "responses",
            "responses",
            request_id=RESPONSE_ID,
            model="gpt-5.4-2026-03-05",
            usage=TOKENS,
            units={"web_searches": 1},
        ),
    ),
    "embeddings": (
        line(embeddings()),
        expected(
            "embeddings",
            "embeddings",
            request_id=LINE_ID,
            model="text-embedding-3-small",
            usage={"prompt_tokens": 8, "total_tokens": 8},
        ),
    ),
    "images": (line(images()), expected("images/generations", "images", request_id=LINE_ID, usage=IMAGE_TOKENS)),
    "refused": (
        line({"error": {"code": "invalid_value", "message": "secret"}}, 400),
        {
            "request_id": LINE_ID,
            "flavour": "chat",
            "url": "https://api.openai.com/v1/files/file-1/content",
            "status": "failed",
            "error_code": "400 invalid_value",
        },
    ),
    "expired": (
        line(None, response=None, error={"code": "batch_expired", "message": "secret"}),
        {
            "request_id": LINE_ID,
            "flavour": "chat",
            "url": "https://api.openai.com/v1/files/file-1/content",
            "status": "failed",
            "error_code": "batch_expired",
        },
    ),
}


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(("written", "event"), LINES.values(), ids=LINES.keys())
def test_line_of_a_batch_is_recorded(
    recorded: Recorded, written: dict[str, Any], event: dict[str, Any], size: int
) -> None:
    content = jsonl(written)
    assert openai_of(lambda _: file_of(content, size)).files.content("file-1").content == content
    assert one(recorded) == event


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_line_of_a_batch_is_recorded(recorded: Recorded, end: str) -> None:
    failed = line({"error": {"code": "invalid_value"}}, 400, id="batch_req_of_the_second_line")
    content = jsonl(line(chat()), failed, line(chat(id="chatcmpl-" + "c" * 29)), end=end).rstrip()
    with usage_context(agent_id="fetcher"):
        openai_of(lambda _: file_of(content)).files.content("file-1")
    events = recorded.all()
    assert [seen(event) for event in events] == [
        LINES["chat"][1],
        {
            "request_id": "batch_req_of_the_second_line",
            "flavour": "chat",
            "url": "https://api.openai.com/v1/chat/completions",
            "status": "failed",
            "error_code": "400 invalid_value",
        },
        {**LINES["chat"][1], "request_id": "chatcmpl-" + "c" * 29},
    ]
    assert {(event.duration_ms, event.attribution.agent_id) for event in events} == {(0, "fetcher")}


def test_lines_with_weak_ids_are_told_apart_and_found_again(recorded: Recorded) -> None:
    content = jsonl(line(chat(id="1"), id="1"), line(chat(id="1"), id="1", custom_id="request-2"))
    client = openai_of(lambda _: file_of(content))
    for _ in range(2):
        client.files.content("file-1")
    assert [event.request_id for event in recorded.all()] == ["file-1:request-1", "file-1:request-2"] * 2


OTHER_FILES: dict[str, bytes] = {
    "batch input": jsonl({"custom_id": "request-1", "method": "POST", "url": "/v1/responses", "body": {"model": "m"}}),
    "fine-tuning data": jsonl({"messages": [{"role": "user", "content": "custom_id"}]}),
    "text": b'The "custom_id" of a batch\n',
    "JSON": json.dumps({"custom_id": 7, "response": {"body": chat()}}, indent=1).encode(),
    "JSON on a line": json.dumps([line(chat())]).encode(),
    "sound": b"\xff\xfb\x00" * 5000,
    "nothing": b"",
    "an empty object": b"{}",
    "a cut line": jsonl(line(chat()))[:-9],
    "later lines only": jsonl({"a": 1}, line(chat())),
    "an answer": json.dumps(chat()).encode(),
    "moderation": jsonl(line({"id": "modr-1", "model": "omni-moderation-latest", "results": []})),
    "empty answer": jsonl(line(None)),
}


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("content", OTHER_FILES.values(), ids=OTHER_FILES.keys())
def test_other_file_is_not_recorded(recorded: Recorded, content: bytes, size: int) -> None:
    lost = health().lost
    assert openai_of(lambda _: file_of(content, size)).files.content("file-1").content == content
    assert (recorded.all(), health().lost) == ([], lost)


@pytest.mark.parametrize(
    ("beginning", "worth_keeping"),
    [
        (b"", None),
        (b"{", None),
        (b'{"id": "batch_req_1", ', None),
        (b'{"id": "batch_req_1", "custom_id": "a', True),
        (b'{"id": "batch_req_1"}\n', False),
        (b'{"a": ' + b" " * 5000, False),
        (b'{"a": ' + b" " * 5000 + b'"custom_id"', False),
        (b'["custom_id"', False),
        (b"\xff", False),
    ],
)
def test_only_what_may_be_a_batchs_output_is_kept(beginning: bytes, worth_keeping: bool | None) -> None:
    assert may_be_output(beginning) is worth_keeping


def test_file_that_is_not_there_is_not_recorded(recorded: Recorded) -> None:
    client = openai_of(lambda _: plain({"error": {"code": "not_found", "message": "secret"}}, 404))
    with pytest.raises(Exception, match="secret"):
        client.files.content("file-1")
    assert recorded.all() == []


def test_line_that_cannot_be_read_is_counted_as_lost(recorded: Recorded) -> None:
    content = jsonl(line(chat())) + b"{broken}\n" + jsonl(line(response()))
    openai_of(lambda _: file_of(content)).files.content("file-1")
    assert [event.request_id for event in recorded.all()] == [CHAT_ID, RESPONSE_ID]
    assert health().lost == 1


def test_file_closed_early_is_recorded_as_far_as_it_came(recorded: Recorded) -> None:
    content = jsonl(line(chat()), line(response()))
    cut = content.index(b"\n") + 100
    client = openai_of(lambda _: file_of(content, cut))
    with client.files.with_streaming_response.content("file-1") as answer:
        assert next(answer.iter_bytes()) == content[:cut]
    assert one(recorded) == LINES["chat"][1]


@pytest.mark.anyio
async def test_line_of_a_batch_is_recorded_async(recorded: Recorded) -> None:
    await async_openai_of(lambda _: file_of(jsonl(line(chat())))).files.content("file-1")
    assert one(recorded) == LINES["chat"][1]


# ── Anthropic ────────────────────────────────────────────────────────────────────────────────────────────────────

BATCH_ID = "msgbatch_013Zva2CMHLNnXjNJJKqJ2EF"
MESSAGE_ID = "msg_01XFDUDYJgAACzvnptvVoYEL"
USAGE = {"input_tokens": 10, "output_tokens": 20, "service_tier": "batch", "inference_geo": "us"}
RESULTS_URL = f"https://api.anthropic.com/v1/messages/batches/{BATCH_ID}/results"
MADE = {
    "id": BATCH_ID,
    "type": "message_batch",
    "processing_status": "ended",
    "results_url": RESULTS_URL,
}


def message(id_: str = MESSAGE_ID) -> dict[str, Any]:
    return body(
        Message,
        id=id_,
        type="message",
        role="assistant",
        model="claude-sonnet-4-6",
        content=[{"type": "text", "text": "Hi!"}],
        stop_reason="end_turn",
        stop_sequence=None,
        usage=USAGE,
    )


def result(custom_id: str, **fields: Any) -> dict[str, Any]:
    return body(MessageBatchIndividualResponse, custom_id=custom_id, result=fields)


RESULTS = [
    result("1", type="succeeded", message=message()),
    result(
        "2",
        type="errored",
        error={"type": "error", "error": {"type": "invalid_request_error", "message": "x"}, "request_id": None},
    ),
    result("3", type="canceled"),
    result("4", type="expired"),
    result("5", type="succeeded", message=message("msg_01Another0000000000000")),
]
SUCCEEDED = {
    "request_id": MESSAGE_ID,
    "flavour": "messages",
    "url": "https://api.anthropic.com/v1/messages",
    "status": "succeeded",
    "model": "claude-sonnet-4-6",
    "usage": USAGE,
    "context": BATCH,
}


def failed(custom_id: str, code: str) -> dict[str, Any]:
    return {
        "request_id": f"{BATCH_ID}:{custom_id}",
        "flavour": "messages",
        "url": "https://api.anthropic.com/v1/messages",
        "status": "failed",
        "error_code": code,
    }


ENDED = {
    "request_id": BATCH_ID,
    "flavour": "messages",
    "url": "https://api.anthropic.com/v1/messages/batches",
    "status": "succeeded",
    "context": BATCH,
    "completes": True,
}
"""The SDK retrieves the batch before its results."""
EVENTS = [
    ENDED,
    SUCCEEDED,
    failed("2", "invalid_request_error"),
    failed("3", "canceled"),
    failed("4", "expired"),
    {**SUCCEEDED, "request_id": "msg_01Another0000000000000"},
]


def results_of(size: int) -> Any:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.endswith("/results"):
            return plain(MADE)
        headers = {"content-type": "application/x-jsonl", "request-id": REQUEST_ID}
        return httpx2.Response(200, headers=headers, stream=Body(slices(jsonl(*RESULTS), size)))

    return answer


@pytest.mark.parametrize("size", [1, 50, 100_000])
def test_results_are_recorded_when_they_were_read(recorded: Recorded, size: int) -> None:
    read = list(anthropic_of(results_of(size)).messages.batches.results(BATCH_ID))
    assert [item.custom_id for item in read] == ["1", "2", "3", "4", "5"]
    assert [seen(event) for event in recorded.all()] == EVENTS
    assert {event.duration_ms for event in recorded.all()[1:]} == {0}
    assert [event.job and event.job.is_read for event in recorded.all()] == [False, None, None, None, None, True]
    assert {event.origin for event in recorded.all()} == {BATCH_ID}


def test_results_of_the_beta_are_recorded(recorded: Recorded) -> None:
    list(anthropic_of(results_of(100)).beta.messages.batches.results(BATCH_ID))
    assert [seen(event) for event in recorded.all()] == EVENTS


def test_results_closed_early_are_recorded_as_far_as_they_came(recorded: Recorded) -> None:
    size = len(jsonl(*RESULTS[:2])) + 5
    decoder = anthropic_of(results_of(size)).messages.batches.results(BATCH_ID)
    next(decoder)
    decoder.close()
    assert [seen(event) for event in recorded.all()] == EVENTS[:3]


@pytest.mark.anyio
async def test_results_are_recorded_async(recorded: Recorded) -> None:
    http_client = httpx2.AsyncClient(transport=Provider(results_of(50)))
    client = AsyncAnthropic(api_key="k", http_client=http_client, max_retries=0)
    assert len([item async for item in await client.messages.batches.results(BATCH_ID)]) == 5
    assert [seen(event) for event in recorded.all()] == EVENTS


def test_results_that_are_not_there_are_neither_recorded_nor_lost(recorded: Recorded) -> None:
    error = {"type": "error", "error": {"type": "not_found_error", "message": "secret"}}
    client = anthropic_of(lambda _: plain(error, 404))
    with pytest.raises(Exception, match="secret"):
        client.get(RESULTS_URL, cast_to=httpx2.Response)
    assert (recorded.all(), health().lost) == ([], 0)


def test_result_that_cannot_be_read_is_counted_as_lost(recorded: Recorded) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return plain(jsonl({"custom_id": "1"}, {"result": 7}) + jsonl(RESULTS[0]))

    raw = anthropic_of(answer).get(RESULTS_URL, cast_to=httpx2.Response)
    assert raw.status_code == 200
    assert one(recorded) == SUCCEEDED
    assert health().lost == 2
