"""The service with one more URL that makes a call, to test servers with several processes or asyncio."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.urls import path

from config import urls
from tests.support.reliability.caller import Account, Caller, chat, counted


def account() -> Account:
    return Account(Path(os.environ["ACCOUNT"]))


@cache
def caller() -> Caller:
    return Caller(account())


def call(_request: HttpRequest, number: int) -> HttpResponse:
    from usage_billing import usage_context

    with usage_context(org=int(os.environ["ORG"])):
        caller().call(number)
    return HttpResponse("called")


async def call_async(_request: HttpRequest, number: int) -> HttpResponse:
    from ai_clients import AsyncOpenAI
    from usage_billing import usage_context

    prompt = f"Prompt {number}"
    with usage_context(org=int(os.environ["ORG"])), account().call() as returned:
        async with AsyncOpenAI(max_retries=0) as client:
            if number % 2:
                completion = await client.chat.completions.create(**chat(prompt))
                answer = counted(completion.id, prompt, completion.choices[0].message.content or "")
            else:
                stream = await client.chat.completions.create(**chat(prompt), stream=True)
                chunks = [chunk async for chunk in stream]
                text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
                answer = counted(chunks[0].id, prompt, text)
        returned(answer)
    return HttpResponse("called")


urlpatterns = [path("call/<int:number>", call), path("call-async/<int:number>", call_async), *urls.urlpatterns]
