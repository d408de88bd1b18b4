"""The official Python SDKs and curl through the proxy, which has no key and so calls the simulator."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.support import factories
from tests.support.proxied import Proxied, database_of_tests, proxied, token
from tests.support.scripted import CHAT, MESSAGE
from usage_billing.models import Organization
from usage_billing.recording import Event


@pytest.fixture(scope="module")
def served(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    without_key = {"AI_SIMULATOR": "1", "PROXY_URLS": "", "OPENAI_BASE_URL": "", "ANTHROPIC_BASE_URL": ""}
    with proxied(database_of_tests(), tmp_path_factory.mktemp("proxy"), **without_key) as made:
        yield made


@pytest.fixture
def org(served: Proxied, transactional_db: None) -> Organization:
    served.begin_anew()
    return factories.organization()


def expect(served: Proxied, org: Organization, *flavours: str) -> list[Event]:
    events = served.events()
    assert [(event.flavour, event.status, event.attribution.org_id) for event in events] == [
        (flavour, "succeeded", org.pk) for flavour in flavours
    ]
    return events


def usage(event: Event) -> Any:
    return json.loads(bytes(event.usage))


def test_openais_sdk(served: Proxied, org: Organization) -> None:
    headers = {"x-ai-costs-agent": "translator"}
    client = openai.OpenAI(base_url=served.openai, api_key=token(org), max_retries=0, default_headers=headers)
    plain = client.chat.completions.create(**CHAT)
    chunks = list(client.chat.completions.create(**CHAT, stream=True))
    assert all(len(chunk.choices) == 1 for chunk in chunks), "a chunk that the caller did not ask for"
    told = [*client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})][-1]
    response = client.responses.create(model="gpt-4.1-mini", input="Hello")
    assert client.models.list().data
    events = expect(served, org, "chat", "chat", "chat", "responses")
    assert plain.usage is not None
    assert told.usage is not None
    assert response.usage is not None
    assert usage(events[0])["total_tokens"] == plain.usage.total_tokens
    assert usage(events[2])["total_tokens"] == told.usage.total_tokens
    assert usage(events[3])["total_tokens"] == response.usage.total_tokens
    assert {event.attribution.agent_id for event in events} == {"translator"}


def test_anthropics_sdk(served: Proxied, org: Organization) -> None:
    client = anthropic.Anthropic(base_url=served.anthropic, api_key=token(org), max_retries=0)
    plain = client.messages.create(**MESSAGE)
    with client.messages.stream(**MESSAGE) as stream:
        final = stream.get_final_message()
    assert client.messages.count_tokens(model=MESSAGE["model"], messages=MESSAGE["messages"]).input_tokens
    as_bearer = anthropic.Anthropic(base_url=served.anthropic, auth_token=token(org), max_retries=0)
    assert as_bearer.messages.create(**MESSAGE).content
    events = expect(served, org, "messages", "messages", "messages")
    assert usage(events[0])["output_tokens"] == plain.usage.output_tokens
    assert usage(events[1])["output_tokens"] == final.usage.output_tokens


@pytest.mark.anyio
async def test_both_asynchronous_sdks(served: Proxied, org: Organization, key: str) -> None:
    async with openai.AsyncOpenAI(base_url=served.openai, api_key=key, max_retries=0) as client:
        assert (await client.chat.completions.create(**CHAT)).choices
        assert [chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]
    async with anthropic.AsyncAnthropic(base_url=served.anthropic, api_key=key, max_retries=0) as other:
        assert [event async for event in await other.messages.create(**MESSAGE, stream=True)]
    expect(served, org, "chat", "chat", "messages")


@pytest.fixture
def key(org: Organization) -> str:
    return token(org)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda url: openai.OpenAI(base_url=url.openai, api_key="aic_x").models.list(), openai.AuthenticationError),
        (
            lambda url: anthropic.Anthropic(base_url=url.anthropic, api_key="aic_x").messages.create(**MESSAGE),
            anthropic.AuthenticationError,
        ),
    ],
    ids=["openai", "anthropic"],
)
def test_a_refusal_raises_the_sdks_own_error(
    call: Callable[[Proxied], Any], error: type[Exception], served: Proxied, org: Organization
) -> None:
    with pytest.raises(error) as raised:
        call(served)
    assert raised.value.body is not None  # type: ignore[attr-defined]


def test_curl(served: Proxied, org: Organization) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    asked = json.dumps({**CHAT, "stream": True})
    headers = (f"Authorization: Bearer {token(org)}", "Content-Type: application/json", "x-ai-costs-type: shell")
    options = [part for header in headers for part in ("-H", header)]
    command = ["curl", "-sSN", "--fail", "--max-time", "60", *options, "-d", asked, f"{served.openai}/chat/completions"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout
    assert printed.rstrip().endswith("data: [DONE]")
    (event,) = expect(served, org, "chat")
    assert event.attribution.request_type == "shell"
