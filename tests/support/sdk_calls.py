"""Makes calls through the recording clients to the simulator, and counts their tokens by its published rule.

As a program it makes some calls with both SDKs, prints a line for each, and kills itself after the last one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, NamedTuple

from ai_clients import Anthropic, AsyncAnthropic, AsyncOpenAI, OpenAI
from ai_clients.simulator import tokens

OPENAI_MODEL = "gpt-4.1-mini"
ANTHROPIC_MODEL = "claude-haiku-4-5"


class Used(NamedTuple):
    """Model and tokens of a call, counted from the texts that the caller sent and received."""

    model: str
    prompt: int
    completion: int


def openai_calls(number: int) -> list[Used]:
    """Make `number` calls with OpenAI's SDK: chat and responses, plain and streamed, sync, async and in threads."""
    client, asynchronous = OpenAI(), AsyncOpenAI()
    return _in_five_ways(
        number,
        plain=lambda index: _openai_plain(client, index),
        streamed=lambda index: _openai_streamed(client, index),
        asynchronous=lambda index: _openai_async(asynchronous, index),
        asynchronous_streamed=lambda index: _openai_async_streamed(asynchronous, index),
        close=asynchronous.close,
    )


def anthropic_calls(number: int) -> list[Used]:
    """Make `number` calls with Anthropic's SDK: messages, plain and streamed, sync, async and in threads."""
    client, asynchronous = Anthropic(), AsyncAnthropic()
    return _in_five_ways(
        number,
        plain=lambda index: _anthropic_plain(client, index),
        streamed=lambda index: _anthropic_streamed(client, index),
        asynchronous=lambda index: _anthropic_async(asynchronous, index),
        asynchronous_streamed=lambda index: _anthropic_async_streamed(asynchronous, index),
        close=asynchronous.close,
    )


def _in_five_ways(
    number: int,
    *,
    plain: Callable[[int], Used],
    streamed: Callable[[int], Used],
    asynchronous: Any,
    asynchronous_streamed: Any,
    close: Any,
) -> list[Used]:
    fifth = number // 5

    async def gathered() -> list[Used]:
        used: list[Used] = []
        for start in range(0, fifth, 10):
            some = range(start, min(start + 10, fifth))
            used += await asyncio.gather(*(asynchronous(index) for index in some))
            used += await asyncio.gather(*(asynchronous_streamed(index) for index in some))
        await close()
        return used

    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(copy_context().run, plain, index) for index in range(fifth)]
        threaded = [future.result() for future in futures]
    in_order: Iterable[Used] = [*map(plain, range(fifth)), *map(streamed, range(fifth))]
    return [*in_order, *threaded, *asyncio.run(gathered())]


def _prompt(index: int) -> str:
    return "What does it cost? " * (1 + index % 17) + str(index)


def _used(model: str, prompt: str, answer: str) -> Used:
    return Used(model, tokens.count(prompt) + tokens.MESSAGE_TOKENS, tokens.count(answer))


def _chat(index: int) -> dict[str, Any]:
    return {"model": OPENAI_MODEL, "messages": [{"role": "user", "content": _prompt(index)}]}


def _message(index: int) -> dict[str, Any]:
    return {
        "model": ANTHROPIC_MODEL,
        "max_tokens": 500,
        "messages": [{"role": "user", "content": _prompt(index)}],
    }


def _openai_plain(client: OpenAI, index: int) -> Used:
    if index % 2:
        response = client.responses.create(model=OPENAI_MODEL, input=_prompt(index))
        return _used(OPENAI_MODEL, _prompt(index), response.output_text)
    completion = client.chat.completions.create(**_chat(index))
    return _used(OPENAI_MODEL, _prompt(index), completion.choices[0].message.content or "")


def _openai_streamed(client: OpenAI, index: int) -> Used:
    if index % 2:
        with client.responses.stream(model=OPENAI_MODEL, input=_prompt(index)) as stream:
            return _used(OPENAI_MODEL, _prompt(index), stream.until_done().get_final_response().output_text)
    chunks = client.chat.completions.create(**_chat(index), stream=True)
    return _used(OPENAI_MODEL, _prompt(index), "".join(chunk.choices[0].delta.content or "" for chunk in chunks))


async def _openai_async(client: AsyncOpenAI, index: int) -> Used:
    completion = await client.chat.completions.create(**_chat(index))
    return _used(OPENAI_MODEL, _prompt(index), completion.choices[0].message.content or "")


async def _openai_async_streamed(client: AsyncOpenAI, index: int) -> Used:
    chunks = await client.chat.completions.create(**_chat(index), stream=True)
    parts = [chunk.choices[0].delta.content or "" async for chunk in chunks]
    return _used(OPENAI_MODEL, _prompt(index), "".join(parts))


def _anthropic_plain(client: Anthropic, index: int) -> Used:
    message: Any = client.messages.create(**_message(index))
    return _used(ANTHROPIC_MODEL, _prompt(index), message.content[0].text)


def _anthropic_streamed(client: Anthropic, index: int) -> Used:
    with client.messages.stream(**_message(index)) as stream:
        return _used(ANTHROPIC_MODEL, _prompt(index), stream.get_final_text())


async def _anthropic_async(client: AsyncAnthropic, index: int) -> Used:
    message: Any = await client.messages.create(**_message(index))
    return _used(ANTHROPIC_MODEL, _prompt(index), message.content[0].text)


async def _anthropic_async_streamed(client: AsyncAnthropic, index: int) -> Used:
    async with client.messages.stream(**_message(index)) as stream:
        return _used(ANTHROPIC_MODEL, _prompt(index), await stream.get_final_text())


def main() -> None:
    import django

    django.setup()
    from usage_billing import usage_context

    number, org_id = int(sys.argv[1]), int(sys.argv[2])
    openai, anthropic = OpenAI(), Anthropic()
    with usage_context(org=org_id, agent_id="killed"):
        for index in range(number):
            # Printed before the call, so that the kill follows immediately after the last call returns.
            print(json.dumps([OPENAI_MODEL, index]), flush=True)  # noqa: T201 - read by the test
            _openai_plain(openai, index) if index % 2 else _openai_streamed(openai, index)
            print(json.dumps([ANTHROPIC_MODEL, index]), flush=True)  # noqa: T201 - read by the test
            _anthropic_plain(anthropic, index) if index % 2 else _anthropic_streamed(anthropic, index)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
