"""Faults asked for by header, seen through the SDKs."""

import gzip
import time
from collections.abc import Iterable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic.types import MessageParam
from openai.types.chat import ChatCompletionMessageParam

from ai_clients.simulator import Simulator

OPENAI_MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is late?"}]
ANTHROPIC_MESSAGES: list[MessageParam] = [{"role": "user", "content": "What is late?"}]
OPENAI_CALL: dict[str, Any] = {"model": "gpt-4.1-mini", "messages": OPENAI_MESSAGES}
ANTHROPIC_CALL: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 300,
    "messages": ANTHROPIC_MESSAGES,
}


def read_until_error(stream: Iterable[Any]) -> tuple[list[Any], Exception]:
    """The events before the stream failed, and its error."""
    given = []
    try:
        for item in stream:
            given.append(item)  # noqa: PERF402 - a list would be lost with the error
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return given, error
    raise AssertionError("the stream ended well")


def test_statuses_are_retried_until_the_good_one(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic
) -> None:
    headers = {"X-Simulator-Statuses": "429,500,200"}
    raw = openai_client.chat.completions.with_raw_response.create(**OPENAI_CALL, extra_headers=headers)
    assert raw.retries_taken == 2
    message = anthropic_client.messages.with_raw_response.create(**ANTHROPIC_CALL, extra_headers=headers)
    assert message.retries_taken == 2


@pytest.mark.anyio
async def test_statuses_are_retried_async(
    async_openai_client: openai.AsyncOpenAI, async_anthropic_client: anthropic.AsyncAnthropic
) -> None:
    headers = {"X-Simulator-Statuses": "503,200"}
    raw = await async_openai_client.chat.completions.with_raw_response.create(**OPENAI_CALL, extra_headers=headers)
    assert raw.retries_taken == 1
    message = await async_anthropic_client.messages.with_raw_response.create(**ANTHROPIC_CALL, extra_headers=headers)
    assert message.retries_taken == 1


def test_last_status_repeats(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        openai_client.chat.completions.create(**OPENAI_CALL, extra_headers={"X-Simulator-Statuses": "500,429"})
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "2"
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.request_id is not None
    assert "x-should-retry" not in caught.value.response.headers


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_openai_status_has_openais_body(
    openai_client: openai.OpenAI, status: int, error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error) as caught:
        openai_client.with_options(max_retries=0).chat.completions.create(
            **OPENAI_CALL, extra_headers={"X-Simulator-Statuses": str(status)}
        )
    assert caught.value.status_code == status
    assert set(caught.value.response.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
    ],
)
def test_anthropic_status_has_anthropics_body(anthropic_client: anthropic.Anthropic, status: int, kind: str) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        anthropic_client.with_options(max_retries=0).messages.create(
            **ANTHROPIC_CALL, extra_headers={"X-Simulator-Statuses": str(status)}
        )
    assert caught.value.status_code == status
    body = caught.value.response.json()
    assert body["type"] == "error"
    assert body["error"]["type"] == kind
    assert body["request_id"] == caught.value.response.headers["request-id"]


def test_delay_holds_the_answer_back(openai_client: openai.OpenAI) -> None:
    started_at = time.monotonic()
    openai_client.models.list(extra_headers={"X-Simulator-Delay-Ms": "60"})
    assert time.monotonic() - started_at >= 0.06


def test_cut_after_drops_the_connection(openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic) -> None:
    headers = {"X-Simulator-Cut-After": "3"}
    stream = openai_client.chat.completions.create(**OPENAI_CALL, stream=True, extra_headers=headers)
    chunks, error = read_until_error(stream)
    assert isinstance(error, openai.APIConnectionError)
    assert len(chunks) == 3
    messages = anthropic_client.messages.create(**ANTHROPIC_CALL, stream=True, extra_headers=headers)
    events, error = read_until_error(messages)
    assert isinstance(error, httpx2.RemoteProtocolError | anthropic.APIConnectionError)
    # The third event is the ping, which the SDK keeps to itself.
    assert [event.type for event in events] == ["message_start", "content_block_start"]


def test_cut_after_zero_sends_only_headers(openai_client: openai.OpenAI) -> None:
    stream = openai_client.chat.completions.create(
        **OPENAI_CALL, stream=True, extra_headers={"X-Simulator-Cut-After": "0"}
    )
    with pytest.raises(openai.APIConnectionError):
        list(stream)


@pytest.mark.anyio
async def test_cut_after_async(async_openai_client: openai.AsyncOpenAI) -> None:
    stream = await async_openai_client.chat.completions.create(
        **OPENAI_CALL, stream=True, extra_headers={"X-Simulator-Cut-After": "3"}
    )
    with pytest.raises(openai.APIConnectionError):
        async for _chunk in stream:
            pass


def test_stream_error_after_sends_openais_error(openai_client: openai.OpenAI) -> None:
    stream = openai_client.chat.completions.create(
        **OPENAI_CALL, stream=True, extra_headers={"X-Simulator-Stream-Error-After": "2"}
    )
    chunks, error = read_until_error(stream)
    assert isinstance(error, openai.APIError)
    assert "The server had an error" in error.message
    assert len(chunks) == 2


def test_stream_error_after_sends_the_responses_error(openai_client: openai.OpenAI) -> None:
    events = list(
        openai_client.responses.create(
            model="gpt-4.1-mini",
            input="What is late?",
            stream=True,
            extra_headers={"X-Simulator-Stream-Error-After": "2"},
        )
    )
    assert [event.type for event in events] == ["response.created", "response.in_progress", "error"]
    assert [event.sequence_number for event in events] == [0, 1, 2]


def test_stream_error_after_sends_the_images_error(openai_client: openai.OpenAI) -> None:
    stream = openai_client.images.generate(
        prompt="A desk", stream=True, extra_headers={"X-Simulator-Stream-Error-After": "0"}
    )
    with pytest.raises(openai.APIError, match="The server had an error"):
        list(stream)


def test_stream_error_after_sends_anthropics_error(anthropic_client: anthropic.Anthropic) -> None:
    stream = anthropic_client.messages.create(
        **ANTHROPIC_CALL, stream=True, extra_headers={"X-Simulator-Stream-Error-After": "2"}
    )
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        list(stream)


@pytest.mark.parametrize("size", ["1", "7", "1000"])
def test_chunk_bytes_changes_nothing_for_the_sdk(openai_client: openai.OpenAI, size: str) -> None:
    call = {**OPENAI_CALL, "stream": True}
    usual = list(openai_client.chat.completions.create(**call))
    sliced = list(openai_client.chat.completions.create(**call, extra_headers={"X-Simulator-Chunk-Bytes": size}))
    assert [chunk.choices for chunk in sliced] == [chunk.choices for chunk in usual]


def test_chunk_bytes_slices_events_on_the_wire(simulator: Simulator) -> None:
    with httpx2.stream(
        "POST",
        simulator.openai_base_url + "/chat/completions",
        json={**OPENAI_CALL, "stream": True},
        headers={"Authorization": "Bearer k", "X-Simulator-Chunk-Bytes": "10"},
    ) as response:
        chunks = list(response.iter_raw())
    assert len(chunks) > 100
    assert max(map(len, chunks)) == 10


def test_gzip_compresses_a_plain_answer(openai_client: openai.OpenAI, simulator: Simulator) -> None:
    headers = {"X-Simulator-Gzip": "1"}
    assert openai_client.chat.completions.create(**OPENAI_CALL, extra_headers=headers).usage is not None
    with httpx2.stream(
        "POST",
        simulator.openai_base_url + "/chat/completions",
        json=OPENAI_CALL,
        headers={"Authorization": "Bearer k", **headers},
    ) as response:
        assert response.headers["content-encoding"] == "gzip"
        assert gzip.decompress(b"".join(response.iter_raw())).startswith(b'{"id":"chatcmpl-')


def test_header_that_is_no_number_is_refused(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="x-simulator-cut-after"):
        openai_client.chat.completions.create(
            **OPENAI_CALL, stream=True, extra_headers={"X-Simulator-Cut-After": "soon"}
        )
