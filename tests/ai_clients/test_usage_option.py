"""Asking for the usage of a streamed chat completion, and remembering how servers answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_clients import OpenAI, usage_option
from ai_clients.usage_option import ServerMemory, streamed_usage
from tests.support.recorded import Recorded, usage_of
from tests.support.scripted import CHAT, USAGE, Body, Provider, chat_chunk, is_asked_for_usage, plain, sse, streamed

URL = "https://api.openai.com/v1/chat/completions"


def request(body: bytes, **headers: str) -> httpx2.Request:
    return httpx2.Request("POST", URL, content=body, headers={"authorization": "Bearer sk-x", **headers})


def asking(own: httpx2.Request) -> httpx2.Request | None:
    """The copy of the request that asks; None if the caller's own is sent."""
    usage = streamed_usage(own)
    return usage.request if usage is not None and usage.asks else None


def asked(body: bytes) -> bytes:
    sent = asking(request(body))
    assert sent is not None
    return sent.content


# ── The request ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_asking_adds_one_option_and_leaves_the_rest_as_written() -> None:
    body = '{"z":1,"stream":true,"n":123456789012345678901234567890,"t":1.10,"e":1e5,"m":["й","\\u0439"],"a":{"b": 2}}'
    expected = body[:-1] + ',"stream_options":{"include_usage":true}}'
    assert asked(body.encode()) == expected.encode()


def test_asking_keeps_other_options() -> None:
    body = b'{"stream":true,"stream_options":{"include_obfuscation":false,"x":1.0},"user":"u"}'
    assert asked(body) == (
        b'{"stream":true,"stream_options":{"include_obfuscation":false,"x":1.0,"include_usage":true},"user":"u"}'
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"stream":true}',
        b' { "stream" : true } \r\n',
        b'{"stream":true,"half an emoji":"\\ud83d","same":1,"same":2}',
    ],
)
def test_asking_touches_no_byte_before_the_end(body: bytes) -> None:
    assert asked(body) == body.rstrip()[:-1] + b',"stream_options":{"include_usage":true}}'


def test_asking_finds_options_under_another_spelling_of_their_name() -> None:
    body = asked(b'{"stream":true,"stream\\u005foptions":{"x":1}}')
    assert json.loads(body) == {"stream": True, "stream_options": {"x": 1, "include_usage": True}}
    assert body.count(b"options") == 1


@pytest.mark.parametrize("options", ["null", "{}", '{"include_usage":false}', '{"include_usage":null}'])
def test_asking_where_the_caller_does_not(options: str) -> None:
    body = asked(b'{"stream":true,"stream_options":%s}' % options.encode())
    assert body == b'{"stream":true,"stream_options":{"include_usage":true}}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"stream":true,"stream_options":{"include_usage":true}}',
        b'{"stream": true, "stream_options": {"include_usage": true, "x": 1}}',
        b'{"stream":false}',
        b'{"stream":null}',
        b'{"stream":"true"}',
        b'{"messages":["\\"stream\\":true"]}',
        b"[]",
        b'not JSON "stream"',
        b"",
    ],
)
def test_asking_is_needless_or_impossible(body: bytes) -> None:
    assert asking(request(body)) is None


def test_asking_a_body_that_is_produced_while_sent_is_left_alone() -> None:
    produced = httpx2.Request("POST", URL, stream=Body([b'{"stream":true}']))
    assert asking(produced) is None


@pytest.mark.parametrize("name", ["X-Amz-Content-Sha256", "Content-Digest", "Digest", "Content-MD5"])
def test_asking_a_signed_body_is_left_alone(name: str) -> None:
    assert asking(request(b'{"stream":true}', **{name: "abc"})) is None


def test_asking_changes_no_header_but_length_and_encoding() -> None:
    own = request(b'{"stream":true}', **{"accept-encoding": "gzip, zstd", "x-my": "1", "X-My": "2"})
    own.extensions["timeout"] = {"read": 5.0}
    sent = asking(own)
    assert sent is not None
    changed = {"content-length", "accept-encoding"}
    assert [item for item in sent.headers.multi_items() if item[0] not in changed] == [
        item for item in own.headers.multi_items() if item[0] not in changed
    ]
    assert sent.headers["content-length"] == str(len(sent.content))
    assert sent.headers["accept-encoding"] == "identity"
    assert (sent.method, sent.url, sent.extensions) == (own.method, own.url, own.extensions)
    assert own.content == b'{"stream":true}'


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
@settings(max_examples=100)
def test_asking_any_body_keeps_every_other_field(field: object) -> None:
    body = {"stream": True, "field": field}
    sent = asked(json.dumps(body).encode())
    assert json.loads(sent) == {**body, "stream_options": {"include_usage": True}}


def test_asking_leaves_continuous_usage_to_the_caller() -> None:
    """vLLM, test_completion.py, `test_completion_stream_options`: it works only together with `include_usage`."""
    assert asking(request(b'{"stream":true,"stream_options":{"continuous_usage_stats":true}}')) is None


# ── Servers ──────────────────────────────────────────────────────────────────────────────────────────────────────

GATEWAY = "https://gateway.test/v1"
CHUNKS = [chat_chunk("Hi"), chat_chunk("!")]
USAGE_CHUNK = chat_chunk(None, usage=USAGE)
NULL = [{**chunk, "usage": None} for chunk in CHUNKS]
Answer = Callable[[httpx2.Request], httpx2.Response]


def without_choices(chunk: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in chunk.items() if name != "choices"}


def when_asked(usage_chunk: dict[str, Any] = USAGE_CHUNK, *, null: bool = False) -> Answer:
    """A server that gives the usage chunk when it is asked."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if is_asked_for_usage(request):
            return streamed(*sse(*(NULL if null else CHUNKS), usage_chunk, "[DONE]"))
        return streamed(*sse(*CHUNKS, "[DONE]"))

    return answer


def always(_: httpx2.Request) -> httpx2.Response:
    """A server that gives the usage chunk whether it is asked or not."""
    return streamed(*sse(*CHUNKS, USAGE_CHUNK, "[DONE]"))


class Compared:
    """The official client and ours, which call servers that answer alike."""

    def __init__(self, answer: Answer, base_url: str = GATEWAY) -> None:
        self._official, self.provider = Provider(answer), Provider(answer)
        self._clients = [
            kind(api_key="k", base_url=base_url, http_client=httpx2.Client(transport=provider), max_retries=0)
            for kind, provider in ((openai.OpenAI, self._official), (OpenAI, self.provider))
        ]

    def streams(self, **options: Any) -> list[list[dict[str, Any]]]:
        """The chunks that the callers of both see."""
        return [
            [chunk.to_dict() for chunk in client.chat.completions.create(**{**CHAT, **options}, stream=True)]
            for client in self._clients
        ]

    def finals(self) -> list[Any]:
        """The completions that the SDK's `.stream()` adds up for the callers of both."""
        found = []
        for client in self._clients:
            with client.chat.completions.stream(**CHAT) as stream:
                found.append(stream.get_final_completion().to_dict())
        return found

    def asked(self) -> list[bool]:
        return [is_asked_for_usage(request) for request in self.provider.requests]


@pytest.mark.parametrize(
    "usage_chunk",
    [USAGE_CHUNK, without_choices(USAGE_CHUNK), {**USAGE_CHUNK, "choices": None}],
    ids=["no choices", "choices left out", "choices null"],
)
@pytest.mark.parametrize("null", [True, False], ids=["null usages", "none"])
@pytest.mark.parametrize("base_url", [GATEWAY, "https://api.openai.com/v1"])
def test_usage_chunk_that_comes_when_asked_is_hidden(
    recorded: Recorded, usage_chunk: dict[str, Any], null: bool, base_url: str
) -> None:
    """Portkey-AI/gateway#1629, "fix(fireworks-ai): tolerate empty choices in stream chunks"."""
    compared = Compared(when_asked(usage_chunk, null=null), base_url)
    official, ours = compared.streams()
    assert ours == official == [*map(dict, CHUNKS)]
    assert usage_of(recorded.one()) == USAGE


@pytest.mark.parametrize("usage_chunk", [without_choices(USAGE_CHUNK), {**USAGE_CHUNK, "choices": None}])
def test_stream_helper_works_with_a_usage_chunk_without_choices(
    recorded: Recorded, usage_chunk: dict[str, Any]
) -> None:
    official, ours = Compared(when_asked(usage_chunk)).finals()
    assert ours == official
    assert usage_of(recorded.one()) == USAGE


def test_stream_helper_shows_usage_that_comes_unasked(recorded: Recorded) -> None:
    """openai-python, tests/lib/chat/test_completions_streaming.py: such a stream, with the usage in its result."""
    compared = Compared(always)
    for _ in range(3):
        official, ours = compared.finals()
        assert ours == official
        assert ours["usage"] == USAGE
    assert [usage_of(event) for event in recorded.all()] == [USAGE] * 3


def test_caller_who_copes_with_chunks_without_choices_sees_usage_that_comes_unasked(recorded: Recorded) -> None:
    """openai-python, tests/lib/chat/test_stream_moderation.py: a chunk of moderation before that of usage."""
    compared = Compared(lambda _: streamed(*sse(*CHUNKS, chat_chunk(None, moderation={}), USAGE_CHUNK, "[DONE]")))
    for _ in range(3):
        official, ours = compared.streams()
        assert ours == official
        assert ours[-1]["usage"] == USAGE
    assert [usage_of(event) for event in recorded.all()] == [USAGE] * 3


def test_server_that_gives_usage_unasked_is_found_out_by_one_stream_left_unasked(recorded: Recorded) -> None:
    compared = Compared(always)
    official, first = compared.streams()
    assert first == official[:-1]  # one answer does not tell
    for _ in range(3):
        official, ours = compared.streams()
        assert ours == official
        assert ours[-1]["usage"] == USAGE
    assert compared.asked() == [True, False, False, False]
    assert [usage_of(event) for event in recorded.all()] == [USAGE] * 4


def test_server_that_gives_usage_when_asked_without_null_usages_is_asked_again(recorded: Recorded) -> None:
    compared = Compared(when_asked())
    for _ in range(4):
        official, ours = compared.streams()
        assert ours == official
    assert compared.asked() == [True, False, True, True]
    assert [usage_of(event) for event in recorded.all()] == [USAGE, None, USAGE, USAGE]


@pytest.mark.parametrize(
    ("base_url", "null"),
    [("https://api.openai.com/v1", False), ("https://eu.api.openai.com/v1", False), (GATEWAY, True)],
)
def test_server_that_gives_usage_when_asked_for_certain_is_always_asked(
    recorded: Recorded, base_url: str, null: bool
) -> None:
    """OpenAI, API reference, "Chat": the usage chunk comes if `include_usage` is set."""
    compared = Compared(when_asked(null=null), base_url)
    for _ in range(3):
        official, ours = compared.streams()
        assert ours == official
    assert compared.asked() == [True] * 3
    assert [usage_of(event) for event in recorded.all()] == [USAGE] * 3


def test_openrouter_is_not_asked(recorded: Recorded) -> None:
    """OpenRouter, "Usage Accounting": the option has no effect, usage is always included."""
    compared = Compared(always, "https://openrouter.ai/api/v1")
    official, ours = compared.streams()
    assert ours == official
    assert compared.asked() == [False]
    assert usage_of(recorded.one()) == USAGE


@pytest.mark.parametrize(
    "last",
    [
        chat_chunk("", usage=USAGE),  # LiteLLM, BerriAI/litellm#28735
        chat_chunk("", x_groq={"id": "req_1", "usage": USAGE}),  # Groq, Portkey-AI/gateway#1072
        {"error": {"message": "overloaded"}, "usage": USAGE},
    ],
    ids=["usage beside choices", "x_groq", "error"],
)
def test_other_last_chunks_are_shown(last: dict[str, Any]) -> None:
    answer = streamed(*sse(*CHUNKS, last, "[DONE]"))
    events = b"".join(answer.stream)  # type: ignore[arg-type]
    usage = streamed_usage(httpx2.Request("POST", f"{GATEWAY}/chat/completions", json={**CHAT, "stream": True}))
    assert usage is not None
    usage_filter = usage.declared_filter()
    assert usage_filter.feed(events) + usage_filter.flush() == events


def test_cut_stream_left_unasked_tells_nothing(recorded: Recorded) -> None:
    cuts = [b"data: [DONE]\n\n", b"", b"data: [DONE]\n\n"]

    def answer(request: httpx2.Request) -> httpx2.Response:
        events = [*CHUNKS, USAGE_CHUNK] if is_asked_for_usage(request) else CHUNKS
        return streamed(*sse(*events), cuts.pop(0))

    client = OpenAI(api_key="k", base_url=GATEWAY, http_client=httpx2.Client(transport=Provider(answer)))
    for _ in range(3):
        assert len(list(client.chat.completions.create(**CHAT, stream=True))) == 2
    assert [usage_of(event) for event in recorded.all()] == [USAGE, None, USAGE]


def test_models_of_a_gateway_are_told_apart() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return always(request) if b'"always"' in request.content else when_asked(null=True)(request)

    compared = Compared(answer)
    for model, asked in (("always", [True, False, False]), ("asked", [True, True, True])):
        before = len(compared.provider.requests)
        for _ in range(3):
            compared.streams(model=model)
        assert compared.asked()[before:] == asked


# ── Refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────

AZURE_SEARCH = {"data_sources": [{"type": "azure_search", "parameters": {"query_type": "simple"}}]}
REFUSED = {"error": {"message": "Validation error at #/stream_options: Extra inputs are not permitted"}}


@pytest.mark.parametrize("base_url", [GATEWAY, "https://acme.openai.azure.com/openai/v1"])
def test_refusal_of_one_kind_of_request_leaves_others_asked(recorded: Recorded, base_url: str) -> None:
    """openai/openai-python#2296: Azure refuses `stream_options` together with `data_sources`."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if b"data_sources" in request.content and is_asked_for_usage(request):
            return plain(REFUSED, 400)
        return when_asked()(request)

    compared = Compared(answer, base_url)
    for options in ({"extra_body": AZURE_SEARCH}, {}, {"extra_body": AZURE_SEARCH}, {"temperature": 1}, {}):
        official, ours = compared.streams(**options)
        assert ours == official
    assert compared.asked() == [True, False, True, False, True, True]
    assert [usage_of(event) for event in recorded.all()] == [None, USAGE, None, USAGE, USAGE]


def test_refusal_of_a_plain_request_holds_for_requests_of_more_fields() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return plain(REFUSED, 422) if is_asked_for_usage(request) else streamed(*sse(*CHUNKS, "[DONE]"))

    compared = Compared(answer)
    compared.streams()
    compared.streams(temperature=1)
    compared.streams(model="another")
    assert compared.asked() == [True, False, False, True, False]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the memory of servers reads."""
    now = [1000.0]
    monkeypatch.setattr(usage_option, "servers", ServerMemory(lambda: now[0]))
    return now


def test_refusal_expires(clock: list[float]) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return plain(REFUSED, 400) if is_asked_for_usage(request) else streamed(*sse(*CHUNKS, "[DONE]"))

    compared = Compared(answer)
    compared.streams()
    compared.streams()
    clock[0] += usage_option.REFUSAL_SECONDS
    compared.streams()
    assert compared.asked() == [True, False, False, True, False]


def test_behaviour_expires(clock: list[float]) -> None:
    compared = Compared(always)
    compared.streams()
    compared.streams()
    clock[0] += usage_option.BEHAVIOUR_SECONDS
    compared.streams()
    assert compared.asked() == [True, False, True]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_option, "MOST_SERVERS", 3)
    monkeypatch.setattr(usage_option, "MOST_REFUSALS", 2)
    memory = ServerMemory()
    for number in range(100):
        server = (b"https", b"gateway.test", None, b"/v1/chat/completions", b"%d" % number)
        memory.note_behaviour(server, "unasked")
        for field in range(5):
            memory.note_refusal(server, b'{"f%d":1}' % field)
            assert memory.refuses(server, b'{"f%d":1,"more":2}' % field)
        assert memory.behaviour(server) == "unasked"
        assert not memory.refuses(server, b"{}")
    assert len(memory._behaviours) <= 3
    assert len(memory._refusals) <= 3
    assert max(map(len, memory._refusals.values())) <= 2
