"""The recording transport: the caller gets what it would get without us, and each attempt is in the outbox once."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import anthropic
import httpx2
import openai
import pytest

from ai_clients import Anthropic, AsyncAnthropic, AsyncOpenAI, OpenAI, usage_option
from ai_clients.marking import mark
from ai_clients.simulator import Simulator
from ai_clients.transport import AsyncRecordingTransport, RecordingTransport, UnrecordableClientError, record_calls
from tests.support.recorded import Recorded, usage_of
from tests.support.scripted import (
    CHAT,
    CHAT_ANSWER,
    MESSAGE,
    USAGE,
    Body,
    Provider,
    chat_chunk,
    chat_events,
    is_asked_for_usage,
    plain,
    slices,
    sse,
    streamed,
)
from usage_billing.recording import recorder

Answer = Callable[[httpx2.Request], httpx2.Response]
STREAM: dict[str, Any] = {**CHAT, "stream": True}
ASK: dict[str, Any] = {**STREAM, "stream_options": {"include_usage": True}}
REFUSAL = {"error": {"message": "Unknown field: stream_options", "type": "invalid_request_error", "code": None}}


def client_of(answer: Answer, kind: type[openai.OpenAI] = OpenAI, **options: Any) -> openai.OpenAI:
    """A client of a scripted provider that does not retry."""
    http_client = httpx2.Client(transport=Provider(answer))
    return kind(**{"api_key": "k", "http_client": http_client, "max_retries": 0, **options})


def async_client_of(answer: Answer, kind: type[openai.AsyncOpenAI] = AsyncOpenAI) -> openai.AsyncOpenAI:
    return kind(api_key="k", http_client=httpx2.AsyncClient(transport=Provider(answer)), max_retries=0)


def server(*, end: str = "\n", size: int | None = None) -> Answer:
    """OpenAI's streams: with usage where that was asked for, in network chunks of `size` bytes (None: of one event)."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        events = chat_events(asked=is_asked_for_usage(request), end=end)
        return streamed(*(events if size is None else slices(b"".join(events), size)))

    return answer


# ── The same bytes ───────────────────────────────────────────────────────────────────────────────────────────────


def read_raw(client: openai.OpenAI, asked: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    raw = client.chat.completions.with_raw_response.create(**asked)
    return raw.http_response.read(), dict(raw.headers)


def read_streaming(client: openai.OpenAI, asked: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    with client.chat.completions.with_streaming_response.create(**asked) as raw:
        return b"".join(raw.iter_bytes()), dict(raw.headers)


def read_lines(client: openai.OpenAI, asked: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    with client.chat.completions.with_streaming_response.create(**asked) as raw:
        return "\n".join(raw.iter_lines()).encode(), dict(raw.headers)


READERS = [read_raw, read_streaming, read_lines]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "answer",
    [
        lambda _: plain(CHAT_ANSWER),
        lambda _: plain(b'{"id":"x", "usage":null}\n'),
        lambda _: plain(b""),
        lambda _: plain(b"\xff\x00 not JSON"),
        lambda _: plain(gzip.compress(b"{}"), headers={"content-encoding": "gzip"}),
        lambda _: httpx2.Response(200, json=CHAT_ANSWER, headers={"x-a": "1"}),
        lambda _: httpx2.Response(204),
    ],
    ids=["answer", "null usage", "empty", "not JSON", "gzip", "read already", "no content"],
)
def test_plain_bytes_and_headers_are_those_of_the_official_class(
    answer: Answer, read: Callable[..., Any], recorded: Recorded
) -> None:
    expected = read(client_of(answer, openai.OpenAI), CHAT)
    assert recorded.all() == []
    assert read(client_of(answer), CHAT) == expected
    assert len(recorded.all()) == 1


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("asked", [STREAM, ASK], ids=["usage not asked", "usage asked"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("size", [1, 5, 64, None])
def test_streamed_bytes_and_headers_are_those_of_the_official_class(
    read: Callable[..., Any], asked: dict[str, Any], end: str, size: int | None, recorded: Recorded
) -> None:
    answer = server(end=end, size=size)
    assert read(client_of(answer), asked) == read(client_of(answer, openai.OpenAI), asked)
    event = recorded.one()
    assert (event.status, event.request_id, usage_of(event)) == ("succeeded", CHAT_ANSWER["id"], USAGE)


@pytest.mark.anyio
@pytest.mark.parametrize("asked", [STREAM, ASK], ids=["usage not asked", "usage asked"])
@pytest.mark.parametrize("size", [1, 64, None])
async def test_streamed_bytes_are_those_of_the_official_class_async(
    asked: dict[str, Any], size: int | None, recorded: Recorded
) -> None:
    async def read(client: openai.AsyncOpenAI) -> bytes:
        async with client.chat.completions.with_streaming_response.create(**asked) as raw:
            return b"".join([chunk async for chunk in raw.iter_bytes()])

    answer = server(size=size)
    assert await read(async_client_of(answer)) == await read(async_client_of(answer, openai.AsyncOpenAI))
    assert usage_of(recorded.one()) == USAGE


@pytest.mark.parametrize("asked", [STREAM, ASK], ids=["usage not asked", "usage asked"])
def test_stream_that_a_transport_has_read_already_is_the_same(asked: dict[str, Any], recorded: Recorded) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        body = b"".join(chat_events(asked=is_asked_for_usage(request)))
        return httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})

    official = list(client_of(answer, openai.OpenAI).chat.completions.create(**asked))
    assert list(client_of(answer).chat.completions.create(**asked)) == official
    event = recorded.one()
    assert (event.status, usage_of(event)) == ("succeeded", USAGE)


@pytest.mark.anyio
async def test_answer_that_a_transport_has_read_already_is_recorded_async(recorded: Recorded) -> None:
    client = async_client_of(lambda _: httpx2.Response(200, json=CHAT_ANSWER))
    assert (await client.chat.completions.create(**CHAT)).id == CHAT_ANSWER["id"]
    event = recorded.one()
    assert (event.status, usage_of(event)) == ("succeeded", USAGE)


@pytest.mark.parametrize(
    "chunk",
    [chat_chunk(None, prompt_filter_results=[{"prompt_index": 0}]), chat_chunk("Hi", usage={"total_tokens": 1})],
    ids=["Azure's first", "usage beside choices"],
)
def test_chunk_that_is_not_the_usage_chunk_is_kept(chunk: dict[str, Any], recorded: Recorded) -> None:
    client = client_of(lambda _: streamed(*sse(chunk, chat_chunk(None, usage=USAGE), "[DONE]")))
    chunks = list(client.chat.completions.create(**STREAM))
    assert [seen.to_dict() for seen in chunks] == [chunk]
    assert usage_of(recorded.one()) == USAGE


def test_null_usage_chunk_after_the_usage_chunk_is_no_obstacle(recorded: Recorded) -> None:
    events = sse(chat_chunk("Hi", usage=None), chat_chunk(None, usage=USAGE), chat_chunk("", usage=None), "[DONE]")
    chunks = list(client_of(lambda _: streamed(*events)).chat.completions.create(**STREAM))
    assert [seen.to_dict() for seen in chunks] == [chat_chunk("Hi"), chat_chunk("")]
    assert usage_of(recorded.one()) == USAGE


# ── The request ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_request_differs_by_nothing_but_the_option() -> None:
    asked: dict[str, Any] = {
        **STREAM,
        "seed": 2**63 - 1,
        "temperature": 1.10,
        "user": "й😀\u2028",
        "metadata": {"z": "1"},
    }
    official, ours = Provider(server()), Provider(server())
    for kind, provider in ((openai.OpenAI, official), (OpenAI, ours)):
        client = kind(api_key="k", http_client=httpx2.Client(transport=provider))
        list(client.chat.completions.create(**asked, extra_body={"big": 10**30, "tiny": 1e-7}))
    own, sent = official.requests[0], ours.requests[0]
    assert sent.content == own.content[:-1] + b',"stream_options":{"include_usage":true}}'
    changed = {"content-length": str(len(sent.content)), "accept-encoding": "identity"}
    assert dict(sent.headers) == {**dict(own.headers), **changed}
    assert sent.extensions == own.extensions


@pytest.mark.parametrize("asked", [CHAT, ASK], ids=["plain", "usage asked"])
def test_request_that_needs_no_option_is_the_callers_own(asked: dict[str, Any]) -> None:
    provider = Provider(lambda _: plain(CHAT_ANSWER))
    http_client = httpx2.Client(transport=provider)
    own = http_client.build_request("POST", "https://x.test/v1/chat/completions", json=asked)
    record_calls(http_client)
    http_client.send(own)
    assert provider.requests[0] is own


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("compressed", [False, True])
def test_host_that_refuses_the_option_gets_the_callers_own_request(
    status: int, compressed: bool, recorded: Recorded
) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if not is_asked_for_usage(request):
            return streamed(*chat_events(asked=False))
        body = json.dumps(REFUSAL).encode()
        if compressed:
            return plain(gzip.compress(body), status, headers={"content-encoding": "gzip"})
        return plain(body, status)

    official, ours = Provider(answer), Provider(answer)
    expected = list(
        OpenAI(api_key="k", http_client=httpx2.Client(transport=official)).chat.completions.create(**STREAM)
    )
    usage_option.servers.clear()
    client = OpenAI(api_key="k", http_client=httpx2.Client(transport=ours))
    assert list(client.chat.completions.create(**STREAM)) == expected
    event = recorded.all()[1]
    assert (event.status, event.request_id, usage_of(event)) == ("succeeded", CHAT_ANSWER["id"], None)
    list(client.chat.completions.create(**STREAM))
    assert [is_asked_for_usage(request) for request in ours.requests] == [True, False, False]
    assert len(recorded.all()) == 3


@pytest.mark.anyio
async def test_host_that_refuses_the_option_gets_the_callers_own_request_async(recorded: Recorded) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return plain(REFUSAL, 400) if is_asked_for_usage(request) else streamed(*chat_events(asked=False))

    client = async_client_of(answer)
    assert len([chunk async for chunk in await client.chat.completions.create(**STREAM)]) == 4
    assert recorded.one().status == "succeeded"


def test_host_that_refuses_the_callers_own_request_is_asked_again(recorded: Recorded) -> None:
    # One caller's bad request must not cost all others their usage.
    def answer(request: httpx2.Request) -> httpx2.Response:
        return plain(REFUSAL, 400) if b"nonsense" in request.content else server()(request)

    client = client_of(answer)
    with pytest.raises(openai.BadRequestError, match="stream_options"):
        client.chat.completions.create(**STREAM, extra_body={"stream_options": {"nonsense": 1}})
    list(client.chat.completions.create(**STREAM))
    failed, succeeded = recorded.all()
    assert (failed.status, failed.error_code) == ("failed", "400 invalid_request_error")
    assert (succeeded.status, usage_of(succeeded)) == ("succeeded", USAGE)


@pytest.mark.parametrize("compressed", [False, True])
def test_refusal_for_another_reason_reaches_the_caller(recorded: Recorded, compressed: bool) -> None:
    error = {"error": {"message": "Too long: й", "type": "invalid_request_error", "code": "context_length_exceeded"}}
    body = json.dumps(error).encode()
    headers = {"content-encoding": "gzip"} if compressed else {}
    provider = Provider(lambda _: plain(gzip.compress(body) if compressed else body, 400, headers=headers))
    client = OpenAI(api_key="k", http_client=httpx2.Client(transport=provider))
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**STREAM)
    assert raised.value.response.content == body
    assert (raised.value.code, raised.value.request_id) == (
        "context_length_exceeded",
        "req_0123456789abcdef0123456789abcdef",
    )
    assert raised.value.response.elapsed.total_seconds() >= 0
    assert len(provider.requests) == 1
    assert recorded.one().error_code == "400 context_length_exceeded"


# ── Attempts ─────────────────────────────────────────────────────────────────────────────────────────────────────


def read_whole(client: OpenAI, headers: dict[str, str]) -> None:
    client.chat.completions.create(**CHAT, extra_headers=headers)


def read_stream(client: OpenAI, headers: dict[str, str]) -> None:
    list(client.chat.completions.create(**STREAM, extra_headers=headers))


@pytest.mark.parametrize(
    ("read", "error_codes"),
    [
        (read_whole, ["429 rate_limit_exceeded", "500 server_error", ""]),
        (read_stream, ["429", "500", ""]),  # the SDK tries again without a look at the body
    ],
)
def test_each_answered_attempt_is_recorded(
    openai_recording: OpenAI, recorded: Recorded, read: Callable[..., None], error_codes: list[str]
) -> None:
    read(openai_recording, {"X-Simulator-Statuses": "429,500,200"})
    first, second, third = recorded.all()
    assert [event.error_code for event in (first, second, third)] == error_codes
    assert (first.status, second.status, third.status) == ("failed", "failed", "succeeded")
    assert (usage_of(first), usage_of(second)) == (None, None)
    assert usage_of(third)["total_tokens"] > 0
    assert len({event.request_id for event in (first, second, third)}) == 3


@pytest.mark.anyio
async def test_each_answered_attempt_is_recorded_async(
    openai_recording_async: AsyncOpenAI, anthropic_recording_async: AsyncAnthropic, recorded: Recorded
) -> None:
    headers = {"X-Simulator-Statuses": "429,200"}
    await openai_recording_async.chat.completions.create(**CHAT, extra_headers=headers)
    await anthropic_recording_async.messages.create(**MESSAGE, extra_headers=headers)
    assert [(event.status, event.error_code) for event in recorded.all()] == [
        ("failed", "429 rate_limit_exceeded"),
        ("succeeded", ""),
        ("failed", "429 rate_limit_error"),
        ("succeeded", ""),
    ]


def test_final_failure_is_raised_and_all_attempts_are_recorded(
    openai_recording: OpenAI, anthropic_recording: Anthropic, recorded: Recorded
) -> None:
    headers = {"X-Simulator-Statuses": "503"}
    with pytest.raises(openai.InternalServerError) as openai_raised:
        openai_recording.chat.completions.create(**CHAT, extra_headers=headers)
    assert openai_raised.value.code == "server_overloaded"
    with pytest.raises(anthropic.APIStatusError) as anthropic_raised:
        anthropic_recording.messages.create(**MESSAGE, extra_headers={"X-Simulator-Statuses": "529"})
    assert anthropic_raised.value.status_code == 529
    codes = [event.error_code for event in recorded.all()]
    assert codes == ["503 server_overloaded"] * 3 + ["529 overloaded_error"] * 3


def test_refused_connection_is_the_official_error_and_no_event(recorded: Recorded) -> None:
    with pytest.raises(openai.APIConnectionError) as raised:
        OpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", max_retries=1).chat.completions.create(**CHAT)
    assert isinstance(raised.value.__cause__, httpx2.ConnectError)
    assert recorded.all() == []


def given_up(recorded: Recorded) -> list[tuple[str, str, str]]:
    assert all(usage_of(event) is None for event in recorded.all())
    return [(event.status, event.error_code, event.model) for event in recorded.all()]


@pytest.mark.parametrize("retries", [0, 1])
def test_timeout_is_the_official_error_and_each_attempt_is_aborted(
    openai_recording: OpenAI, recorded: Recorded, retries: int
) -> None:
    client = openai_recording.with_options(timeout=0.05, max_retries=retries)
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(**CHAT, extra_headers={"X-Simulator-Delay-Ms": "400"})
    assert given_up(recorded) == [("aborted", "ReadTimeout", CHAT["model"])] * (retries + 1)


@pytest.mark.anyio
async def test_cancelled_call_is_aborted(openai_recording_async: AsyncOpenAI, recorded: Recorded) -> None:
    call = openai_recording_async.chat.completions.create(**CHAT, extra_headers={"X-Simulator-Delay-Ms": "4000"})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call, 0.3)
    assert given_up(recorded) == [("aborted", "CancelledError", CHAT["model"])]


@pytest.mark.anyio
async def test_call_that_is_cancelled_before_it_was_sent_is_no_event(recorded: Recorded) -> None:
    """The server takes connections and reads nothing: a large body is not sent as a whole."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        async with AsyncOpenAI(api_key="k", base_url=url, max_retries=0) as client:
            large = client.embeddings.create(model="m", input="x" * 50_000_000)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(large, 1)
    assert recorded.all() == []


def test_connection_that_breaks_before_the_answer_is_aborted(recorded: Recorded) -> None:
    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(2**16)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=[listening])
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        with OpenAI(api_key="k", base_url=url, max_retries=0) as client, pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**CHAT)
        thread.join()
    ((status, code, model),) = given_up(recorded)
    assert (status, model) == ("aborted", CHAT["model"])
    assert code in ("RemoteProtocolError", "ReadError")


def test_request_of_a_shared_http_client_is_not_a_call(recorded: Recorded) -> None:
    """Its path ends like that of a provider's API."""
    http_client = httpx2.Client(transport=Provider(lambda _: plain({"usage": {"input_tokens": 1}})))
    client = OpenAI(api_key="k", base_url="https://gateway.example.com/v1", http_client=http_client)
    http_client.post("https://surveys.example.com/v1/forms/3/responses", json={"answer": 1})
    assert recorded.all() == []
    client.post("/forms/3/responses", body={}, cast_to=object)
    assert len(recorded.all()) == 1


def test_request_body_is_the_callers_own_after_the_call(openai_recording: OpenAI, recorded: Recorded) -> None:
    seen: list[httpx2.Request] = []
    with httpx2.Client(event_hooks={"request": [seen.append]}) as http_client:
        client = openai_recording.with_options(http_client=http_client)
        client.chat.completions.create(**CHAT)
    (request,) = seen
    assert isinstance(request.stream, httpx2.ByteStream)
    assert recorded.one().status == "succeeded"


def test_redirect_is_recorded_where_it_leads(recorded: Recorded) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.host == "old.test":
            return httpx2.Response(307, headers={"location": "https://new.test/v1/chat/completions"})
        return plain(CHAT_ANSWER)

    client = client_of(
        answer,
        base_url="https://old.test/v1",
        http_client=httpx2.Client(transport=Provider(answer), follow_redirects=True),
    )
    client.chat.completions.create(**CHAT)
    assert recorded.one().url == "https://new.test/v1/chat/completions"


# ── Once, whatever the clients share ─────────────────────────────────────────────────────────────────────────────


def test_shared_http_client_records_once(simulator: Simulator, recorded: Recorded) -> None:
    with httpx2.Client() as shared:
        first = OpenAI(base_url=simulator.openai_base_url, api_key="k", http_client=shared)
        again = OpenAI(base_url=simulator.openai_base_url, api_key="k", http_client=shared)
        other = Anthropic(base_url=simulator.anthropic_base_url, api_key="k", http_client=shared)
        for client in (first, again, again.copy(), again.copy().with_options(timeout=9)):
            client.chat.completions.create(**CHAT)
        other.messages.create(**MESSAGE)
        other.with_options(max_retries=0).messages.create(**MESSAGE)
    assert [event.flavour for event in recorded.all()] == ["chat"] * 4 + ["messages"] * 2


def test_record_calls_wraps_each_transport_once() -> None:
    with httpx2.Client(mounts={"https://a.test": Provider(server()), "https://b.test": None}) as client:
        record_calls(client)
        wrapped, mounted = client._transport, dict(client._mounts)
        record_calls(client)
        assert client._transport is wrapped
        assert client._mounts == mounted
        assert [type(transport) for transport in mounted.values()] == [RecordingTransport, type(None)]


@pytest.mark.anyio
async def test_record_calls_wraps_each_transport_once_async() -> None:
    async with httpx2.AsyncClient(mounts={"https://a.test": Provider(server())}) as client:
        record_calls(client)
        wrapped = client._transport
        record_calls(client)
        assert client._transport is wrapped
        assert [type(transport) for transport in client._mounts.values()] == [AsyncRecordingTransport]


class OfAnotherLibrary:
    """An HTTP client that cannot record. It can do all that the SDK asks of it."""

    _transport = "its own"
    cookies: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self._client = httpx2.Client(transport=Provider(lambda _: plain(CHAT_ANSWER)))

    def build_request(self, *args: Any, **kwargs: Any) -> httpx2.Request:
        return self._client.build_request(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> httpx2.Response:
        return self._client.send(*args, **kwargs)

    def close(self) -> None:
        self._client.close()


def test_http_client_of_another_library_cannot_record() -> None:
    client = OfAnotherLibrary()
    with pytest.raises(UnrecordableClientError, match="OfAnotherLibrary"):
        record_calls(client)
    assert client._transport == "its own"


def test_calls_that_cannot_be_recorded_are_counted(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK itself refuses such a client today; an instrumented one of another version may not."""
    client = openai.OpenAI(api_key="k", base_url="https://x.test/v1")
    client._client = OfAnotherLibrary()  # type: ignore[assignment]
    client.chat.completions.create(**CHAT)
    assert recorder.health().lost == 0
    request = client._client.build_request("POST", "https://x.test/v1/chat/completions")
    for _ in range(2):
        assert mark(client, "/chat/completions", request) is request
    mark(client, "/models", client._client.build_request("GET", "https://x.test/v1/models"))
    assert recorder.health().lost == 2
    assert recorded.all() == []
    assert [line.message for line in caplog.records if "OfAnotherLibrary" in line.message] != []


def test_threads_on_one_client_record_each_call(openai_recording: OpenAI, recorded: Recorded) -> None:
    def work(_: int) -> list[str]:
        return [openai_recording.chat.completions.create(**CHAT).id for _ in range(20)]

    with ThreadPoolExecutor(16) as pool:
        ids = [request_id for ids in pool.map(work, range(16)) for request_id in ids]
    assert len(set(ids)) == 320
    assert sorted(event.request_id for event in recorded.all()) == sorted(ids)


@pytest.mark.anyio
async def test_tasks_on_one_client_record_each_call(openai_recording_async: AsyncOpenAI, recorded: Recorded) -> None:
    async def work() -> str:
        chunks = [chunk async for chunk in await openai_recording_async.chat.completions.create(**STREAM)]
        return str(chunks[0].id)

    ids = await asyncio.gather(*(work() for _ in range(40)))
    assert sorted(event.request_id for event in recorded.all()) == sorted(ids)
    assert {event.status for event in recorded.all()} == {"succeeded"}


# ── The caller's own HTTP client ─────────────────────────────────────────────────────────────────────────────────


def test_mounted_transport_records(recorded: Recorded) -> None:
    http_client = httpx2.Client(
        transport=Provider(lambda _: plain({}, 500)),
        mounts={"https://mounted.test": Provider(lambda _: plain(CHAT_ANSWER))},
    )
    client = OpenAI(api_key="k", base_url="https://mounted.test/v1", http_client=http_client)
    client.chat.completions.create(**CHAT)
    assert recorded.one().url == "https://mounted.test/v1/chat/completions"


def test_proxy_of_the_environment_is_used_and_recorded(
    simulator: Simulator, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A proxy gets the whole address in the request line; the simulator looks only at its path.
    origin = simulator.openai_base_url.removesuffix("/openai/v1")
    monkeypatch.setenv("HTTP_PROXY", origin)
    with OpenAI(api_key="k", base_url="http://provider.test/openai/v1") as client:
        client.chat.completions.create(**CHAT)
    assert recorded.one().url == "http://provider.test/openai/v1/chat/completions"


def test_event_hooks_run_as_before(recorded: Recorded) -> None:
    seen: list[str] = []

    def on_request(request: httpx2.Request) -> None:
        request.headers["x-hook"] = "1"
        seen.append("request")

    def on_response(response: httpx2.Response) -> None:
        seen.append(response.request.headers["x-hook"] + response.read().decode()[:6])

    provider = Provider(lambda _: plain(CHAT_ANSWER))
    hooks: dict[str, list[Callable[..., Any]]] = {"request": [on_request], "response": [on_response]}
    client = OpenAI(api_key="k", http_client=httpx2.Client(transport=provider, event_hooks=hooks))
    assert client.chat.completions.create(**CHAT).id == CHAT_ANSWER["id"]
    assert seen == ["request", '1{"id":']
    assert usage_of(recorded.one()) == USAGE


class Reading(httpx2.BaseTransport):
    """A caller's own transport, which reads each answer to log it."""

    def __init__(self) -> None:
        self.inner = httpx2.HTTPTransport()
        self.read: list[bytes] = []
        self.entered, self.closed = 0, 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self.inner.handle_request(request)
        self.read.append(response.read())
        return response

    def __enter__(self) -> Reading:
        self.entered += 1
        return self

    def close(self) -> None:
        self.closed += 1
        self.inner.close()


@pytest.mark.parametrize("gzipped", ["0", "1"])
def test_custom_transport_that_reads_answers_is_recorded(
    simulator: Simulator, recorded: Recorded, gzipped: str
) -> None:
    reading = Reading()
    with OpenAI(
        base_url=simulator.openai_base_url, api_key="k", http_client=httpx2.Client(transport=reading)
    ) as client:
        headers = {"X-Simulator-Gzip": gzipped}
        raw = client.chat.completions.with_raw_response.create(**CHAT, extra_headers=headers)
        chunks = list(client.chat.completions.create(**STREAM))
    assert raw.content == reading.read[0]
    assert raw.headers.get("content-encoding") == ("gzip" if gzipped == "1" else None)
    assert "usage" not in {field for chunk in chunks for field in chunk.model_fields_set}
    plain_event, streamed_event = recorded.all()
    assert usage_of(plain_event) == json.loads(reading.read[0])["usage"] == usage_of(streamed_event)
    assert (plain_event.status, streamed_event.status) == ("succeeded", "succeeded")
    assert reading.closed == 1


def test_transport_is_entered_and_left_with_the_client() -> None:
    reading = Reading()
    with httpx2.Client(transport=reading) as http_client:
        record_calls(http_client)
        assert (reading.entered, reading.closed) == (1, 0)
    assert reading.closed == 1
    other = Reading()
    http_client = httpx2.Client(transport=other)
    record_calls(http_client)
    with http_client:
        assert other.entered == 1
    assert other.closed == 1


# ── Streams that end early ───────────────────────────────────────────────────────────────────────────────────────


def test_stream_closed_early_is_aborted_with_what_is_known(openai_recording: OpenAI, recorded: Recorded) -> None:
    stream = openai_recording.chat.completions.create(**STREAM)
    chunk = next(stream)
    assert recorded.all() == []
    stream.close()
    event = recorded.one()
    assert (event.status, event.error_code, usage_of(event)) == ("aborted", "", None)
    assert (event.request_id, event.model) == (chunk.id, chunk.model)


def test_stream_left_by_its_context_manager_is_aborted(openai_recording: OpenAI, recorded: Recorded) -> None:
    with openai_recording.chat.completions.create(**STREAM) as stream:
        next(stream)
    assert recorded.one().status == "aborted"


def test_stream_helper_left_early_is_aborted(
    openai_recording: OpenAI, anthropic_recording: Anthropic, recorded: Recorded
) -> None:
    with openai_recording.chat.completions.stream(**CHAT) as chat:
        next(chat)
    with anthropic_recording.messages.stream(**MESSAGE) as messages:
        next(messages)
    assert [event.status for event in recorded.all()] == ["aborted", "aborted"]


def test_stream_closed_twice_is_recorded_once(openai_recording: OpenAI, recorded: Recorded) -> None:
    stream = openai_recording.chat.completions.create(**STREAM)
    list(stream)
    stream.close()
    stream.close()
    assert recorded.one().status == "succeeded"


def test_stream_dropped_is_aborted(openai_recording: OpenAI, recorded: Recorded) -> None:
    stream = openai_recording.chat.completions.create(**STREAM)
    next(stream)
    del stream
    gc.collect()
    assert recorded.one().status == "aborted"


def test_stream_never_begun_and_dropped_is_aborted(openai_recording: OpenAI, recorded: Recorded) -> None:
    openai_recording.chat.completions.create(**STREAM)
    gc.collect()
    event = recorded.one()
    assert (event.status, event.model, usage_of(event)) == ("aborted", CHAT["model"], None)


def test_messages_stream_closed_early_keeps_what_went_in(anthropic_recording: Anthropic, recorded: Recorded) -> None:
    stream = anthropic_recording.messages.create(**MESSAGE, stream=True)
    start = next(stream)
    stream.close()
    assert start.type == "message_start"
    event = recorded.one()
    assert (event.status, event.request_id, event.model) == ("aborted", start.message.id, start.message.model)
    assert usage_of(event) == start.message.usage.to_dict()


def test_streaming_response_left_unread_is_aborted(openai_recording: OpenAI, recorded: Recorded) -> None:
    with openai_recording.chat.completions.with_streaming_response.create(**CHAT):
        pass
    event = recorded.one()
    assert (event.status, event.model, usage_of(event)) == ("aborted", CHAT["model"], None)


@pytest.mark.anyio
async def test_stream_cancelled_is_aborted(anthropic_recording_async: AsyncAnthropic, recorded: Recorded) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async for _ in await anthropic_recording_async.messages.create(**MESSAGE, stream=True):
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    gc.collect()
    await asyncio.sleep(0.01)
    event = recorded.one()
    assert event.status == "aborted"
    assert usage_of(event)["input_tokens"] > 0


@pytest.mark.anyio
async def test_stream_cancelled_while_it_waits_is_aborted(recorded: Recorded) -> None:
    class Slow(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield chat_events(asked=True)[0]
            await asyncio.sleep(60)

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Slow())

    client = async_client_of(answer)

    async def work() -> None:
        async for _ in await client.chat.completions.create(**STREAM):
            pass

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work(), 0.05)
    event = recorded.one()
    assert (event.status, event.request_id) == ("aborted", CHAT_ANSWER["id"])


@pytest.mark.anyio
async def test_stream_closed_early_is_aborted_async(openai_recording_async: AsyncOpenAI, recorded: Recorded) -> None:
    stream = await openai_recording_async.chat.completions.create(**STREAM)
    async for _ in stream:
        break
    await stream.close()
    async with await openai_recording_async.chat.completions.create(**STREAM) as again:
        async for _ in again:
            break
    assert [event.status for event in recorded.all()] == ["aborted", "aborted"]


def test_stream_cut_by_the_network_is_the_official_error_and_aborted(
    openai_recording: OpenAI, anthropic_recording: Anthropic, recorded: Recorded
) -> None:
    headers = {"X-Simulator-Cut-After": "3"}
    stream = openai_recording.chat.completions.create(**STREAM, extra_headers=headers)
    chunks = [next(stream) for _ in range(3)]
    with pytest.raises(openai.APIConnectionError) as raised:
        next(stream)
    assert isinstance(raised.value.__cause__, httpx2.RemoteProtocolError)
    with pytest.raises((anthropic.APIConnectionError, httpx2.RemoteProtocolError)):
        list(anthropic_recording.messages.create(**MESSAGE, stream=True, extra_headers=headers))
    chat, messages = recorded.all()
    assert (chat.status, chat.request_id, usage_of(chat)) == ("aborted", chunks[0].id, None)
    assert messages.status == "aborted"
    assert usage_of(messages)["input_tokens"] > 0


@pytest.mark.parametrize("size", [1, 40, 10_000])
def test_stream_cut_inside_an_event_gives_the_same_bytes_before_the_error(size: int, recorded: Recorded) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        # Cut in the second event before a word of usage, so that both kinds of answer are alike.
        events = chat_events(asked=is_asked_for_usage(request))
        return streamed(*slices(events[0] + events[1][:60], size), breaks_with=httpx2.ReadError("cut"))

    def read(kind: type[openai.OpenAI]) -> tuple[bytes, str]:
        body = b""
        with client_of(answer, kind).chat.completions.with_streaming_response.create(**STREAM) as raw:
            try:
                for chunk in raw.iter_bytes():
                    body += chunk
            except httpx2.ReadError as error:
                return body, str(error)
        raise AssertionError("the cut was not noticed")

    assert read(OpenAI) == read(openai.OpenAI)
    event = recorded.one()
    assert (event.status, event.request_id) == ("aborted", CHAT_ANSWER["id"])


def test_plain_answer_cut_by_the_network_is_tried_again_and_both_are_recorded(recorded: Recorded) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.headers["x-stainless-retry-count"] == "0":
            stream = Body([b'{"id":"chatcmpl-'], httpx2.RemoteProtocolError("cut"))
            return httpx2.Response(200, headers={"content-type": "application/json"}, stream=stream)
        return plain(CHAT_ANSWER)

    client = client_of(answer, max_retries=1)
    assert client.chat.completions.create(**CHAT).id == CHAT_ANSWER["id"]
    assert [(event.status, event.model) for event in recorded.all()] == [
        ("aborted", CHAT["model"]),
        ("succeeded", CHAT_ANSWER["model"]),
    ]


@pytest.mark.parametrize("after", ["0", "2"])
def test_error_inside_a_stream_is_the_official_one_and_aborted(
    openai_recording: OpenAI, recorded: Recorded, after: str
) -> None:
    stream = openai_recording.chat.completions.create(**STREAM, extra_headers={"X-Simulator-Stream-Error-After": after})
    with pytest.raises(openai.APIError, match="The server had an error"):
        list(stream)
    event = recorded.one()
    assert (event.status, event.error_code, event.model) == ("aborted", "server_error", CHAT["model"])
    assert usage_of(event) is None


def test_error_inside_a_response_stream_is_aborted(openai_recording: OpenAI, recorded: Recorded) -> None:
    headers = {"X-Simulator-Stream-Error-After": "2"}
    stream = openai_recording.responses.create(model="gpt-4.1", input="Hi", stream=True, extra_headers=headers)
    created, *_ = stream
    assert created.type == "response.created"
    event = recorded.one()
    assert (event.status, event.error_code, event.request_id) == ("aborted", "server_error", created.response.id)


def test_error_inside_an_images_stream_is_aborted(openai_recording: OpenAI, recorded: Recorded) -> None:
    headers = {"X-Simulator-Stream-Error-After": "0"}
    stream = openai_recording.images.generate(model="gpt-image-1", prompt="A desk", stream=True, extra_headers=headers)
    with pytest.raises(openai.APIError):
        list(stream)
    assert (recorded.one().status, recorded.one().error_code) == ("aborted", "server_error")


def test_error_inside_a_messages_stream_keeps_what_went_in(anthropic_recording: Anthropic, recorded: Recorded) -> None:
    headers = {"X-Simulator-Stream-Error-After": "2"}
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        list(anthropic_recording.messages.create(**MESSAGE, stream=True, extra_headers=headers))
    event = recorded.one()
    assert (event.status, event.error_code) == ("aborted", "overloaded_error")
    assert usage_of(event)["input_tokens"] > 0


@pytest.mark.parametrize("end", ["incomplete", "failed"])
def test_response_stream_terminal_event_decides(recorded: Recorded, end: str) -> None:
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    answer = {"id": "resp_" + "a" * 40, "model": "gpt-4.1", "status": end, "usage": usage, "error": None}
    events = sse({"type": f"response.{end}", "response": answer}, names=True)
    list(client_of(lambda _: streamed(*events)).responses.create(model="m", input="Hi", stream=True))
    event = recorded.one()
    assert (event.status, event.request_id) == ("succeeded" if end == "incomplete" else "failed", answer["id"])
    assert usage_of(event) == usage


def test_empty_stream_is_aborted(recorded: Recorded) -> None:
    assert list(client_of(lambda _: streamed()).chat.completions.create(**STREAM)) == []
    event = recorded.one()
    assert (event.status, event.model, usage_of(event)) == ("aborted", CHAT["model"], None)


def test_long_stream_keeps_its_usage(recorded: Recorded) -> None:
    events = sse(*(chat_chunk("word", usage=None) for _ in range(1500)), chat_chunk(None, usage=USAGE), "[DONE]")
    client = client_of(lambda _: streamed(*events))
    assert len(list(client.chat.completions.create(**STREAM))) == 1500
    event = recorded.one()
    assert (event.status, event.request_id, usage_of(event)) == ("succeeded", CHAT_ANSWER["id"], USAGE)


def test_stream_is_in_the_outbox_when_its_last_chunk_is_out(openai_recording: OpenAI, recorded: Recorded) -> None:
    stream = openai_recording.chat.completions.create(**STREAM)
    for _ in stream:
        pass
    assert recorded.one().status == "succeeded"
