"""Every way to call OpenAI's client is recorded once, and is otherwise the official client's."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel
from pytest_django import Settings

from ai_clients import AsyncOpenAI, OpenAI
from ai_clients.simulator import Simulator
from tests.support.configure import configure
from tests.support.recorded import Recorded, usage_of
from tests.support.scripted import CHAT, CHAT_ANSWER, Provider, plain
from usage_billing.recording.event import Event

ASK: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
RESPOND: dict[str, Any] = {"model": "gpt-4.1-mini", "input": "What is late?"}
EMBED: dict[str, Any] = {"model": "text-embedding-3-small", "input": ["What is late?", "Spring"]}
DRAW: dict[str, Any] = {"model": "gpt-image-1", "prompt": "A desk", "size": "1024x1024"}
CLASSES = [(OpenAI, openai.OpenAI), (AsyncOpenAI, openai.AsyncOpenAI)]


class Mood(BaseModel):
    word: str
    strength: int


@dataclass(frozen=True)
class Seen:
    """The part of an answer that the caller saw; model and id are empty if the API gives neither."""

    flavour: str
    path: str
    usage: object
    model: str = ""
    id: str = ""


def chat(answer: Any, usage: Any = None) -> Seen:
    block = (usage or answer.usage).to_dict()
    return Seen("chat", "/chat/completions", block, answer.model, answer.id)


def chat_chunks(chunks: list[ChatCompletionChunk]) -> Seen:
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    return chat(chunks[-1])


def response(answer: Any) -> Seen:
    return Seen("responses", "/responses", answer.usage.to_dict(), answer.model, answer.id)


def response_events(events: list[ResponseStreamEvent]) -> Seen:
    closing = events[-1]
    assert closing.type == "response.completed"
    return response(closing.response)


def embeddings(answer: Any) -> Seen:
    return Seen("embeddings", "/embeddings", answer.usage.to_dict(), answer.model)


def images(answer: Any) -> Seen:
    return Seen("images", "/images/generations", answer.usage.to_dict(), "gpt-image-1")


def assert_recorded(event: Event, seen: Seen, base_url: str) -> None:
    assert (event.flavour, event.url) == (seen.flavour, base_url + seen.path)
    assert (event.model, event.status, event.error_code) == (seen.model, "succeeded", "")
    assert usage_of(event) == seen.usage
    assert event.request_id == seen.id if seen.id else event.request_id.startswith("req_")
    assert event.duration_ms >= 0
    assert event.response == {}


# ── Every way to call, sync ──────────────────────────────────────────────────────────────────────────────────────


def chat_plain(client: OpenAI) -> Seen:
    return chat(client.chat.completions.create(**CHAT))


def chat_streamed(client: OpenAI) -> Seen:
    return chat_chunks(list(client.chat.completions.create(**CHAT, **ASK)))


def chat_stream_helper(client: OpenAI) -> Seen:
    with client.chat.completions.stream(**CHAT, stream_options={"include_usage": True}) as stream:
        stream.until_done()
        return chat(stream.get_final_completion())


def chat_parse(client: OpenAI) -> Seen:
    answer = client.chat.completions.parse(**CHAT, response_format=Mood)
    assert isinstance(answer.choices[0].message.parsed, Mood)
    return chat(answer)


def chat_raw(client: OpenAI) -> Seen:
    return chat(client.chat.completions.with_raw_response.create(**CHAT).parse())


def chat_raw_streamed(client: OpenAI) -> Seen:
    return chat_chunks(list(client.chat.completions.with_raw_response.create(**CHAT, **ASK).parse()))


def chat_streaming_response(client: OpenAI) -> Seen:
    with client.chat.completions.with_streaming_response.create(**CHAT) as answer:
        return chat(answer.parse())


def chat_options(client: OpenAI) -> Seen:
    return chat(client.with_options(timeout=9).copy(max_retries=1).chat.completions.create(**CHAT))


def response_plain(client: OpenAI) -> Seen:
    return response(client.responses.create(**RESPOND))


def response_streamed(client: OpenAI) -> Seen:
    return response_events(list(client.responses.create(**RESPOND, stream=True)))


def response_stream_helper(client: OpenAI) -> Seen:
    with client.responses.stream(**RESPOND) as stream:
        stream.until_done()
        return response(stream.get_final_response())


def response_parse(client: OpenAI) -> Seen:
    answer = client.responses.parse(**RESPOND, text_format=Mood)
    assert isinstance(answer.output_parsed, Mood)
    return response(answer)


def response_raw(client: OpenAI) -> Seen:
    return response(client.responses.with_raw_response.create(**RESPOND).parse())


def response_streaming_response(client: OpenAI) -> Seen:
    with client.responses.with_streaming_response.create(**RESPOND) as answer:
        return response(answer.parse())


def embeddings_plain(client: OpenAI) -> Seen:
    return embeddings(client.embeddings.create(**EMBED))


def embeddings_raw(client: OpenAI) -> Seen:
    return embeddings(client.embeddings.with_raw_response.create(**EMBED).parse())


def images_plain(client: OpenAI) -> Seen:
    return images(client.images.generate(**DRAW))


def images_streamed(client: OpenAI) -> Seen:
    return images(list(client.images.generate(**DRAW, stream=True, partial_images=1))[-1])


@pytest.mark.parametrize(
    "way",
    [
        chat_plain, chat_streamed, chat_stream_helper, chat_parse, chat_raw, chat_raw_streamed,
        chat_streaming_response, chat_options, response_plain, response_streamed, response_stream_helper,
        response_parse, response_raw, response_streaming_response, embeddings_plain, embeddings_raw, images_plain,
        images_streamed,
    ],
)  # fmt: skip
def test_call_is_recorded_once(
    openai_recording: OpenAI, simulator: Simulator, recorded: Recorded, way: Callable[[OpenAI], Seen]
) -> None:
    seen = way(openai_recording)
    assert_recorded(recorded.one(), seen, simulator.openai_base_url)


# ── Every way to call, async ─────────────────────────────────────────────────────────────────────────────────────


async def chat_plain_async(client: AsyncOpenAI) -> Seen:
    return chat(await client.chat.completions.create(**CHAT))


async def chat_streamed_async(client: AsyncOpenAI) -> Seen:
    return chat_chunks([chunk async for chunk in await client.chat.completions.create(**CHAT, **ASK)])


async def chat_stream_helper_async(client: AsyncOpenAI) -> Seen:
    async with client.chat.completions.stream(**CHAT, stream_options={"include_usage": True}) as stream:
        await stream.until_done()
        return chat(await stream.get_final_completion())


async def chat_parse_async(client: AsyncOpenAI) -> Seen:
    return chat(await client.chat.completions.parse(**CHAT, response_format=Mood))


async def chat_raw_async(client: AsyncOpenAI) -> Seen:
    return chat((await client.chat.completions.with_raw_response.create(**CHAT)).parse())


async def chat_raw_streamed_async(client: AsyncOpenAI) -> Seen:
    answer = await client.chat.completions.with_raw_response.create(**CHAT, **ASK)
    return chat_chunks([chunk async for chunk in answer.parse()])


async def chat_streaming_response_async(client: AsyncOpenAI) -> Seen:
    async with client.chat.completions.with_streaming_response.create(**CHAT) as answer:
        return chat(await answer.parse())


async def chat_options_async(client: AsyncOpenAI) -> Seen:
    return chat(await client.with_options(timeout=9).copy(max_retries=1).chat.completions.create(**CHAT))


async def response_plain_async(client: AsyncOpenAI) -> Seen:
    return response(await client.responses.create(**RESPOND))


async def response_streamed_async(client: AsyncOpenAI) -> Seen:
    return response_events([event async for event in await client.responses.create(**RESPOND, stream=True)])


async def response_stream_helper_async(client: AsyncOpenAI) -> Seen:
    async with client.responses.stream(**RESPOND) as stream:
        await stream.until_done()
        return response(await stream.get_final_response())


async def response_parse_async(client: AsyncOpenAI) -> Seen:
    return response(await client.responses.parse(**RESPOND, text_format=Mood))


async def response_streaming_response_async(client: AsyncOpenAI) -> Seen:
    async with client.responses.with_streaming_response.create(**RESPOND) as answer:
        return response(await answer.parse())


async def embeddings_plain_async(client: AsyncOpenAI) -> Seen:
    return embeddings(await client.embeddings.create(**EMBED))


async def images_plain_async(client: AsyncOpenAI) -> Seen:
    return images(await client.images.generate(**DRAW))


async def images_streamed_async(client: AsyncOpenAI) -> Seen:
    events = [event async for event in await client.images.generate(**DRAW, stream=True, partial_images=1)]
    return images(events[-1])


@pytest.mark.anyio
@pytest.mark.parametrize(
    "way",
    [
        chat_plain_async, chat_streamed_async, chat_stream_helper_async, chat_parse_async, chat_raw_async,
        chat_raw_streamed_async, chat_streaming_response_async, chat_options_async, response_plain_async,
        response_streamed_async, response_stream_helper_async, response_parse_async,
        response_streaming_response_async, embeddings_plain_async, images_plain_async, images_streamed_async,
    ],
)  # fmt: skip
async def test_call_is_recorded_once_async(
    openai_recording_async: AsyncOpenAI,
    simulator: Simulator,
    recorded: Recorded,
    way: Callable[[AsyncOpenAI], Awaitable[Seen]],
) -> None:
    seen = await way(openai_recording_async)
    assert_recorded(recorded.one(), seen, simulator.openai_base_url)


# ── Usage that the caller did not ask for ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", ["1", "3", "1000", "0"])
def test_streamed_chat_without_include_usage_is_recorded_and_hidden(
    openai_recording: OpenAI, recorded: Recorded, size: str
) -> None:
    expected = openai_recording.chat.completions.create(**CHAT)
    headers = {"X-Simulator-Chunk-Bytes": size}
    chunks = list(openai_recording.chat.completions.create(**CHAT, stream=True, extra_headers=headers))
    assert "usage" not in {field for chunk in chunks for field in chunk.model_fields_set}
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert expected.usage is not None
    streamed = recorded.all()[1]
    assert (streamed.request_id, streamed.model, streamed.status) == (chunks[0].id, expected.model, "succeeded")
    assert usage_of(streamed) == expected.usage.to_dict()


@pytest.mark.anyio
async def test_streamed_chat_without_include_usage_is_recorded_and_hidden_async(
    openai_recording_async: AsyncOpenAI, recorded: Recorded
) -> None:
    expected = await openai_recording_async.chat.completions.create(**CHAT)
    stream = await openai_recording_async.chat.completions.create(**CHAT, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "usage" not in {field for chunk in chunks for field in chunk.model_fields_set}
    assert expected.usage is not None
    assert usage_of(recorded.all()[1]) == expected.usage.to_dict()


def test_stream_helper_without_include_usage_sees_none(openai_recording: OpenAI, recorded: Recorded) -> None:
    with openai_recording.chat.completions.stream(**CHAT) as stream:
        final = stream.get_final_completion()
    assert final.usage is None
    assert usage_of(recorded.one())["total_tokens"] > 0


# ── What bills nothing ───────────────────────────────────────────────────────────────────────────────────────────


def test_calls_that_bill_nothing_are_not_recorded(openai_recording: OpenAI, recorded: Recorded) -> None:
    answer = openai_recording.responses.create(**RESPOND)
    openai_recording.responses.retrieve(answer.id)
    openai_recording.models.list()
    assert recorded.one().request_id == answer.id


def test_message_of_an_assistants_thread_is_not_recorded(recorded: Recorded) -> None:
    # The path ends like Anthropic's, and costs nothing.
    provider = Provider(lambda _: plain({"id": "msg_" + "a" * 24, "object": "thread.message", "content": []}))
    client = OpenAI(api_key="k", http_client=httpx2.Client(transport=provider))
    with pytest.warns(DeprecationWarning, match="Assistants API"):
        client.beta.threads.messages.create("thread_1", role="user", content="Hello")
    assert provider.requests[0].url.path == "/v1/threads/thread_1/messages"
    assert recorded.all() == []


# ── As the official class ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("ours", "official"), CLASSES)
def test_constructor_is_the_official_one(ours: type, official: type) -> None:
    assert inspect.signature(ours) == inspect.signature(official)
    assert issubclass(ours, official)
    assert (ours.__name__, ours.__init__.__doc__) == (official.__name__, official.__init__.__doc__)  # type: ignore[misc]


@pytest.mark.parametrize(("ours", "official"), CLASSES)
@pytest.mark.parametrize(
    ("arguments", "options"),
    [(("sk-x",), {}), ((), {"api_key": "k", "nonsense": 1}), ((), {"api_key": "k", "max_retries": None}), ((), {})],
    ids=["positional", "unknown", "no number", "no key"],
)
def test_constructor_misuse_raises_as_the_official_one(
    ours: type, official: type, arguments: tuple[Any, ...], options: dict[str, Any], settings: Settings
) -> None:
    configure(settings, SIMULATOR=False)
    with pytest.raises((TypeError, openai.OpenAIError)) as expected:
        official(*arguments, **options)
    with pytest.raises(expected.type) as raised:
        ours(*arguments, **options)
    assert str(raised.value) == str(expected.value)


@pytest.mark.parametrize(("ours", "official"), CLASSES)
def test_pickle_fails_as_with_the_official_class(ours: type, official: type) -> None:
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whatever the official class raises
        pickle.dumps(official(api_key="k"))
    with pytest.raises(expected.type):
        pickle.dumps(ours(api_key="k"))


def sent_by(client_class: type[openai.OpenAI], **options: Any) -> httpx2.Request:
    provider = Provider(lambda _: plain(CHAT_ANSWER))
    client = client_class(api_key="k", http_client=httpx2.Client(transport=provider), **options)
    client.with_options(timeout=7).chat.completions.create(**CHAT)
    return provider.requests[0]


def test_request_is_the_official_one() -> None:
    options = {"organization": "o", "project": "p", "default_headers": {"X-A": "1"}, "default_query": {"q": "1"}}
    ours, official = sent_by(OpenAI, **options), sent_by(openai.OpenAI, **options)
    assert (ours.url, ours.headers, ours.content) == (official.url, official.headers, official.content)
    assert ours.headers["user-agent"].startswith("OpenAI/Python ")


def test_environment_configures_as_it_does_the_official_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.test/v1")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-env")
    ours, official = OpenAI(), openai.OpenAI()
    assert (ours.api_key, ours.base_url, ours.organization) == ("sk-env", official.base_url, "org-env")
    assert str(ours.base_url) == "https://gateway.test/v1/"


def test_client_closes_as_the_official_one(simulator: Simulator) -> None:
    with OpenAI(base_url=simulator.openai_base_url, api_key="k") as client:
        copied = client.copy()
        assert (client.is_closed(), copied.is_closed()) == (False, False)
    assert (client.is_closed(), copied.is_closed()) == (True, True)
    with pytest.raises(RuntimeError, match="client has been closed"):
        copied.with_options(max_retries=0).chat.completions.create(**CHAT)


@pytest.mark.anyio
async def test_client_closes_as_the_official_one_async(simulator: Simulator) -> None:
    async with AsyncOpenAI(base_url=simulator.openai_base_url, api_key="k") as client:
        assert client.is_closed() is False
    assert client.is_closed() is True


def test_copy_is_of_our_class(openai_recording: OpenAI) -> None:
    assert type(openai_recording.copy()) is type(openai_recording)
    assert isinstance(openai_recording, openai.OpenAI)
