"""A program that calls both SDKs in each way and prints how many calls it made, for other versions of them.

`python other_sdks.py instrument`: with the official classes. `… twins`: with those of `ai_clients`. It imports nothing
of the tests.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import ai_clients

CHAT: Any = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Hello"}]}
MESSAGE: Any = {**CHAT, "model": "claude-haiku-5-5", "max_tokens": 100}


def openai_calls(sdk: Any) -> int:
    with sdk.OpenAI() as client:
        client.chat.completions.create(**CHAT)
        client.chat.completions.with_raw_response.create(**CHAT)
        chunks = list(client.chat.completions.create(**CHAT, stream=True))
        assert chunks[-1].choices, "the caller did not ask for usage"
        assert chunks[-1].usage is None
        asked = list(client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True}))
        assert asked[-1].usage
        list(client.responses.create(model="gpt-4.1-mini", input="Hello", stream=True))
        client.embeddings.create(model="text-embedding-3-small", input="Hello")
    return 6


def anthropic_calls(sdk: Any) -> int:
    with sdk.Anthropic() as client:
        client.messages.create(**MESSAGE)
        list(client.messages.create(**MESSAGE, stream=True))
        with client.with_options(timeout=30).messages.stream(**MESSAGE) as stream:
            stream.until_done()
    return 3


async def async_calls(openai: Any, anthropic: Any) -> int:
    async with openai.AsyncOpenAI() as client, anthropic.AsyncAnthropic() as other:
        await client.chat.completions.create(**CHAT)
        assert [chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]
        await other.messages.create(**MESSAGE)
        async with other.messages.stream(**MESSAGE) as stream:
            await stream.until_done()
    return 4


async def aiohttp_calls(openai: Any, anthropic: Any) -> int:
    """The SDKs' clients on `aiohttp`, where it is installed."""
    import anthropic as anthropic_sdk
    import openai as openai_sdk

    calls = 0
    async with openai.AsyncOpenAI(http_client=openai_sdk.DefaultAioHttpClient()) as client:
        await client.chat.completions.create(**CHAT)
        assert [chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]
        calls += 2
    async with anthropic.AsyncAnthropic(http_client=anthropic_sdk.DefaultAioHttpClient()) as other:
        await other.messages.create(**MESSAGE)
        async with other.messages.stream(**MESSAGE) as stream:
            await stream.until_done()
        calls += 2
    return calls


def module_calls() -> int:
    """The module's own client, which is one client for the process."""
    import openai

    openai.chat.completions.create(**CHAT)
    return 1


def older_http_calls(openai: Any) -> int:
    """OpenAI's newest SDK with clients of the older `httpx`, which it still takes."""
    import httpx  # only where the older library is installed

    with openai.OpenAI(http_client=httpx.Client()) as client:
        client.chat.completions.create(**CHAT)
        chunks = list(client.chat.completions.create(**CHAT, stream=True))
        assert chunks[-1].choices, "the caller did not ask for usage"
    return 2 + asyncio.run(_older_async_calls(openai, httpx.AsyncClient()))


async def _older_async_calls(openai: Any, http_client: Any) -> int:
    async with openai.AsyncOpenAI(http_client=http_client) as client:
        await client.chat.completions.create(**CHAT)
        assert [chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]
    return 2


def given_up_calls(openai: Any) -> int:
    """A call that is given up after it was sent: the simulator waits longer than the SDK."""
    client = openai.OpenAI(timeout=0.5, max_retries=0, default_headers={"x-simulator-delay-ms": "3000"})
    try:
        client.chat.completions.create(**CHAT)
    except openai_timeouts():
        return 1
    raise AssertionError("the simulator answered at once")


def openai_timeouts() -> Any:
    import openai

    return openai.APITimeoutError


def main(way: str) -> None:
    openai: Any = ai_clients
    anthropic: Any = ai_clients
    if way == "instrument":
        ai_clients.instrument()
        import anthropic
        import openai
    calls = openai_calls(openai) + anthropic_calls(anthropic) + asyncio.run(async_calls(openai, anthropic))
    if way == "instrument":
        calls += module_calls()
    if "aiohttp" in sys.argv:
        calls += asyncio.run(aiohttp_calls(openai, anthropic))
    if "httpx" in sys.argv:
        calls += older_http_calls(openai)
    given_up = given_up_calls(openai)
    import anthropic as anthropic_sdk
    import openai as openai_sdk

    library = type(openai_sdk.OpenAI()._client).__mro__[-2].__module__.partition(".")[0]
    versions = {"openai": openai_sdk.__version__, "anthropic": anthropic_sdk.__version__}
    print(json.dumps({"calls": calls, "given_up": given_up, "http": library, **versions}))


if __name__ == "__main__":
    main(sys.argv[1])
