"""Bedrock with real signatures, and with botocore's own reader of event streams."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.ai_clients.test_platform_clients import PROFILE, answer
from tests.recipes.conftest import Run
from tests.support.loopback import serving

REQUIREMENTS = ("anthropic[bedrock]", "openai[bedrock]", "boto3")
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "of nobody", "AWS_REGION": "us-east-1"}
PROGRAM = """
import os
import sys

import ai_clients

if sys.argv[1] == "twins":
    from ai_clients import AnthropicBedrock, AsyncAnthropicBedrock, BedrockOpenAI
else:
    ai_clients.instrument()
    from anthropic import AnthropicBedrock, AsyncAnthropicBedrock
    from openai import BedrockOpenAI

import asyncio

url, model = os.environ["SERVER"], os.environ["MODEL"]
message = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
anthropic = AnthropicBedrock(base_url=url)
assert anthropic.messages.create(**message).usage.output_tokens == 12
events = [event.type for event in anthropic.messages.create(**message, stream=True)]
assert events[0] == "message_start" and events[-1] == "message_stop", events


async def asynchronous():
    async with AsyncAnthropicBedrock(base_url=url) as client:
        assert [event async for event in await client.messages.create(**message, stream=True)]


asyncio.run(asynchronous())
openai = BedrockOpenAI(base_url=f"{url}/openai/v1", aws_region="us-east-1")
chat = {"model": "openai.gpt-oss-120b-1:0", "messages": message["messages"]}
assert openai.chat.completions.create(**chat).usage.total_tokens == 21
assert list(openai.chat.completions.create(**chat, stream=True))
"""


@pytest.mark.parametrize("way", ["instrument", "twins"])
def test_signed_calls_are_recorded_and_their_bodies_are_not_changed(way: str, run: Run) -> None:
    with serving(answer) as loopback:
        ran = run(PROGRAM, *REQUIREMENTS, arguments=(way,), SERVER=loopback.url, MODEL=PROFILE, **KEYS)
    assert [(event.flavour, event.status) for event in ran.events] == [("messages", "succeeded")] * 3 + [
        ("chat", "succeeded")
    ] * 2
    assert [event.model for event in ran.events[:3]] == [PROFILE] * 3
    assert [json.loads(bytes(event.usage))["output_tokens"] for event in ran.events[:3]] == [12] * 3
    assert len(loopback.requests) == 5
    for received in loopback.requests:
        headers = {name.lower(): value for name, value in received.headers.items()}
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        signed = headers.get("x-amz-content-sha256", "")
        assert signed in ("", hashlib.sha256(received.body).hexdigest())
        assert b"stream_options" not in received.body
