"""Background responses: pending when made, completed once by the fetch that brings their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ai_clients import OpenAI
from tests.support.recorded import Recorded
from tests.support.scripted import plain, sse, streamed
from tests.support.wire import (
    RESPONSE_ID,
    TOKENS,
    async_openai_of,
    one,
    openai_of,
    response,
    response_events,
)

URL = "https://api.openai.com/v1/responses"
ASK: dict[str, Any] = {"model": "gpt-5.4", "input": "Hello", "background": True}
MADE = {
    "request_id": RESPONSE_ID,
    "flavour": "responses",
    "url": URL,
    "status": "succeeded",
    "model": "gpt-5.4-2026-03-05",
    "usage": TOKENS,
    "context": {"service_tier": "default"},
}
FETCHED = {**MADE, "url": f"{URL}/{RESPONSE_ID}", "completes": True}
WITHOUT_USAGE = {name: value for name, value in MADE.items() if name != "usage"}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}

Fetch = Callable[[OpenAI], object]


def retrieve(client: OpenAI) -> object:
    return client.responses.retrieve(RESPONSE_ID)


def retrieve_included(client: OpenAI) -> object:
    return client.responses.retrieve(RESPONSE_ID, include=["reasoning.encrypted_content"])


def cancel(client: OpenAI) -> object:
    return client.responses.cancel(RESPONSE_ID)


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_response_in_the_background_is_pending(recorded: Recorded, status: str) -> None:
    openai_of(lambda _: plain(response(status=status, background=True, usage=None))).responses.create(**ASK)
    assert one(recorded) == {**WITHOUT_USAGE, "status": "pending"}


def test_response_in_the_background_that_ended_at_once_completes_no_other_call(recorded: Recorded) -> None:
    openai_of(lambda _: plain(response(background=True))).responses.create(**ASK)
    assert one(recorded) == MADE


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_background_stream_cut_short_is_pending(recorded: Recorded, kept: int) -> None:
    events = sse(*response_events("completed", background=True)[:kept], names=True)
    list(openai_of(lambda _: streamed(*events)).responses.create(**ASK, stream=True))
    assert one(recorded) == {**WITHOUT_USAGE, "status": "pending", "context": {"service_tier": "auto"}}


def test_background_stream_with_an_error_inside_waits_for_its_end(recorded: Recorded) -> None:
    error = {"type": "error", "code": "server_error", "message": "secret", "param": None, "sequence_number": 9}
    events = sse(*response_events("completed", background=True)[:2], error, names=True)
    list(openai_of(lambda _: streamed(*events)).responses.create(**ASK, stream=True))
    expected = {"status": "pending", "error_code": "server_error", "context": {"service_tier": "auto"}}
    assert one(recorded) == {**WITHOUT_USAGE, **expected}


def test_background_stream_to_its_end_completes_no_other_call(recorded: Recorded) -> None:
    events = sse(*response_events("completed", background=True), names=True)
    list(openai_of(lambda _: streamed(*events)).responses.create(**ASK, stream=True))
    assert one(recorded) == MADE


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("completed", {}),
        ("incomplete", {}),
        ("failed", {"status": "failed", "error_code": "server_error"}),
        ("cancelled", {"status": "aborted"}),
    ],
)
@pytest.mark.parametrize("fetch", [retrieve, retrieve_included])
def test_fetch_of_the_end_completes_the_call(
    recorded: Recorded, fetch: Fetch, status: str, expected: dict[str, Any]
) -> None:
    error = {"code": "server_error", "message": "secret"} if status == "failed" else None
    answer = response(status=status, background=True, error=error)
    fetch(openai_of(lambda _: plain(answer)))
    assert one(recorded) == {**FETCHED, **expected}


def test_fetch_of_the_end_tells_of_its_tools(recorded: Recorded) -> None:
    answer = response(background=True, output=[SEARCH], tools=[{"type": "web_search"}])
    retrieve(openai_of(lambda _: plain(answer)))
    assert one(recorded) == {**FETCHED, "units": {"web_searches": 1}}


@pytest.mark.parametrize(
    "fields",
    [
        {"background": True, "status": "queued", "usage": None},
        {"background": True, "status": "in_progress", "usage": None},
        {"background": False},
        {"background": None},
        {},
    ],
)
def test_fetch_of_anything_else_is_not_recorded(recorded: Recorded, fields: dict[str, Any]) -> None:
    retrieve(openai_of(lambda _: plain(response(**fields))))
    events = [event for event in response_events("completed", **fields) if not event["type"].endswith("completed")]
    list(openai_of(lambda _: streamed(*sse(*events, names=True))).responses.retrieve(RESPONSE_ID, stream=True))
    assert recorded.all() == []


@pytest.mark.parametrize("status", [404, 500])
def test_fetch_that_fails_is_not_recorded(recorded: Recorded, status: int) -> None:
    client = openai_of(lambda _: plain({"error": {"code": "not_found", "message": "secret"}}, status))
    with pytest.raises(Exception, match="secret"):
        retrieve(client)
    assert recorded.all() == []


@pytest.mark.parametrize("odd", [b"", b"<html>", b"[]", b'{"background":true,"status":"completed"'])
def test_fetch_that_cannot_be_read_is_not_recorded(recorded: Recorded, odd: bytes) -> None:
    client = openai_of(lambda _: plain(odd))
    assert client.responses.with_raw_response.retrieve(RESPONSE_ID).content == odd
    assert recorded.all() == []


@pytest.mark.parametrize("last", ["completed", "incomplete", "failed"])
def test_streamed_fetch_completes_the_call(recorded: Recorded, last: str) -> None:
    events = sse(*response_events(last, background=True), names=True)
    list(openai_of(lambda _: streamed(*events)).responses.retrieve(RESPONSE_ID, stream=True))
    assert one(recorded) == {**FETCHED, "status": "failed" if last == "failed" else "succeeded"}


def test_streamed_fetch_from_the_middle_completes_the_call(recorded: Recorded) -> None:
    events = sse(*response_events("completed", background=True)[2:], names=True)
    client = openai_of(lambda _: streamed(*events))
    list(client.responses.retrieve(RESPONSE_ID, stream=True, starting_after=1))
    assert one(recorded) == FETCHED


def test_streamed_fetch_cut_short_is_not_recorded(recorded: Recorded) -> None:
    events = sse(*response_events("completed", background=True)[:3], names=True)
    list(openai_of(lambda _: streamed(*events)).responses.retrieve(RESPONSE_ID, stream=True))
    assert recorded.all() == []


def test_streamed_fetch_of_a_stored_response_is_not_recorded(recorded: Recorded) -> None:
    events = sse(*response_events("completed"), names=True)
    list(openai_of(lambda _: streamed(*events)).responses.retrieve(RESPONSE_ID, stream=True))
    assert recorded.all() == []


def test_cancelling_completes_the_call(recorded: Recorded) -> None:
    cancel(openai_of(lambda _: plain(response(status="cancelled", background=True, usage=None))))
    url = f"{URL}/{RESPONSE_ID}/cancel"
    assert one(recorded) == {**WITHOUT_USAGE, "url": url, "status": "aborted", "completes": True}


def test_cancelling_that_is_not_done_yet_is_not_recorded(recorded: Recorded) -> None:
    cancel(openai_of(lambda _: plain(response(status="in_progress", background=True, usage=None))))
    assert recorded.all() == []


@pytest.mark.anyio
async def test_fetch_of_the_end_completes_the_call_async(recorded: Recorded) -> None:
    await async_openai_of(lambda _: plain(response(background=True))).responses.retrieve(RESPONSE_ID)
    assert one(recorded) == FETCHED
