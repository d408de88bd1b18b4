"""The older `httpx`, whose clients OpenAI's SDK still takes, records like `httpx2`."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import openai
import pytest

import ai_clients
from ai_clients import record_http_client
from ai_clients.simulator import Simulator
from tests.support.recorded import Recorded, usage_of
from tests.support.scripted import CHAT

STREAM: dict[str, Any] = {**CHAT, "stream": True}
# The SDK's types name clients of `httpx2` alone.
OpenAI: Any = ai_clients.OpenAI
AsyncOpenAI: Any = ai_clients.AsyncOpenAI


def test_calls_through_an_older_client_are_recorded(simulator: Simulator, recorded: Recorded) -> None:
    with OpenAI(base_url=simulator.openai_base_url, api_key="k", http_client=httpx.Client()) as client:
        completion = client.chat.completions.create(**CHAT)
        chunks = list(client.chat.completions.create(**STREAM))
    plain, streamed = recorded.all()
    assert usage_of(plain)["total_tokens"] == completion.usage.total_tokens
    assert usage_of(streamed)["total_tokens"] > 0
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert (plain.status, streamed.status) == ("succeeded", "succeeded")


@pytest.mark.anyio
async def test_calls_through_an_older_async_client_are_recorded(simulator: Simulator, recorded: Recorded) -> None:
    http_client = httpx.AsyncClient()
    async with AsyncOpenAI(base_url=simulator.openai_base_url, api_key="k", http_client=http_client) as client:
        await client.chat.completions.create(**CHAT)
        assert [chunk async for chunk in await client.chat.completions.create(**STREAM)]
        late = client.chat.completions.create(**CHAT, extra_headers={"X-Simulator-Delay-Ms": "4000"})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(late, 0.3)
    assert [event.status for event in recorded.all()] == ["succeeded", "succeeded", "aborted"]


def test_time_out_of_an_older_client_is_aborted(simulator: Simulator, recorded: Recorded) -> None:
    with (
        OpenAI(
            base_url=simulator.openai_base_url, api_key="k", max_retries=0, timeout=0.1, http_client=httpx.Client()
        ) as client,
        pytest.raises(openai.APITimeoutError),
    ):
        client.chat.completions.create(**CHAT, extra_headers={"X-Simulator-Delay-Ms": "400"})
    event = recorded.one()
    assert (event.status, event.error_code) == ("aborted", "ReadTimeout")


def test_older_client_of_the_program_records_below_a_base_url(simulator: Simulator, recorded: Recorded) -> None:
    with httpx.Client() as client:
        record_http_client(client, simulator.openai_base_url)
        client.post(f"{simulator.openai_base_url}/chat/completions", json=CHAT, headers={"authorization": "Bearer k"})
    assert recorded.one().status == "succeeded"
