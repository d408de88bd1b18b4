"""From an attempt to the event in the outbox: its ids, fields and attribution, and a broken recorder."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import gzip
import json
import logging
import re
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import httpx2
import openai
import pytest
from pytest_django import Settings

from ai_clients import Anthropic, AsyncOpenAI, OpenAI, call
from ai_clients.body.buffer import BodyBuffer
from ai_clients.transport import RecordingTransport
from ai_clients.usage import openai_usage
from tests.support.configure import configure
from tests.support.recorded import Recorded, usage_of
from tests.support.scripted import (
    CHAT,
    CHAT_ANSWER,
    MESSAGE,
    REQUEST_ID,
    USAGE,
    Provider,
    chat_chunk,
    chat_events,
    plain,
    sse,
    streamed,
)
from usage_billing.ledger import drain_thread
from usage_billing.recording import Event, health, recorder, usage_context
from usage_billing.recording.event import encode
from usage_billing.recording.outbox import Outbox


def client_of(answer: Callable[[httpx2.Request], httpx2.Response], **options: Any) -> OpenAI:
    """A client of a scripted provider that does not retry."""
    http_client = httpx2.Client(transport=Provider(answer))
    return OpenAI(**{"api_key": "sk-secret", "http_client": http_client, "max_retries": 0, **options})


def anthropic_of(answer: Callable[[httpx2.Request], httpx2.Response]) -> Anthropic:
    return Anthropic(api_key="sk-ant-secret", http_client=httpx2.Client(transport=Provider(answer)), max_retries=0)


# ── The event's words ────────────────────────────────────────────────────────────────────────────────────────────


def test_event_says_which_account_paid_and_not_with_which_key(recorded: Recorded) -> None:
    answer = plain(CHAT_ANSWER)
    answer.headers.update({"openai-organization": "org-abc", "openai-project": "proj_1"})
    client_of(lambda _: answer).chat.completions.create(**CHAT)
    event = recorded.one()
    assert event.account == {"organization": "org-abc", "project": "proj_1", "api_key": event.account["api_key"]}
    assert re.fullmatch("[0-9a-f]{16}", event.account["api_key"])
    assert b"sk-secret" not in encode(event)


def test_event_of_a_plain_answer(recorded: Recorded) -> None:
    before = time.time()
    client = client_of(lambda _: plain(CHAT_ANSWER), base_url="https://user:password@gateway.test:8443/v1")
    client.chat.completions.create(**CHAT, extra_query={"api-version": "secret"})
    event = recorded.one()
    assert event == Event(
        request_id=CHAT_ANSWER["id"],
        started_at=event.started_at,
        duration_ms=event.duration_ms,
        flavour="chat",
        url="https://gateway.test:8443/v1/chat/completions",
        status="succeeded",
        model="gpt-4.1-mini-2025-04-14",
        usage=event.usage,
        context={"service_tier": "default"},
    )
    assert usage_of(event) == USAGE
    assert before <= event.started_at <= time.time()
    assert 0 <= event.duration_ms < 10_000


def test_event_keeps_the_usage_block_to_the_letter(recorded: Recorded) -> None:
    block = b'{"prompt_tokens": 9 ,"cost":1.10,"big":999999999999,"\xd0\xb9":"\\u0439"}'
    client_of(lambda _: plain(b'{"choices":[],"usage":%s}' % block)).chat.completions.create(**CHAT)
    assert bytes(recorded.one().usage) == block


def test_event_duration_lasts_to_the_end_of_the_stream(recorded: Recorded) -> None:
    client = client_of(lambda _: streamed(*chat_events(asked=True)))
    for _ in client.chat.completions.create(**CHAT, stream=True):
        time.sleep(0.02)
    assert recorded.one().duration_ms >= 80


def test_event_model_is_that_of_the_request_where_the_answer_names_none(recorded: Recorded) -> None:
    client = client_of(lambda _: plain({"created": 1, "data": [], "usage": {"total_tokens": 3}}))
    client.images.generate(model="gpt-image-1", prompt="A desk")
    assert recorded.one().model == "gpt-image-1"


def test_event_model_of_a_multipart_request_is_that_of_its_form(recorded: Recorded) -> None:
    client = client_of(lambda _: plain({"created": 1, "data": [], "usage": {"total_tokens": 3}}))
    client.images.edit(model="gpt-image-1", prompt="A desk", image=b"PNG")
    event = recorded.one()
    assert (event.flavour, event.model, event.status) == ("images", "gpt-image-1", "succeeded")


def test_event_http_status_other_than_200_is_kept(recorded: Recorded) -> None:
    client_of(lambda _: plain(CHAT_ANSWER, 201)).chat.completions.create(**CHAT)
    assert recorded.one().response == {"http_status": 201}


# ── Ids ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("given", ["chatcmpl-123", 7, None, "", "x" * 19, ["a"]])
def test_weak_id_gives_way_to_the_one_of_the_header(recorded: Recorded, given: object) -> None:
    client_of(lambda _: plain({**CHAT_ANSWER, "id": given})).chat.completions.create(**CHAT)
    assert recorded.one().request_id == REQUEST_ID


@pytest.mark.parametrize(
    "headers", [{"x-request-id": ""}, {"x-request-id": "42"}, {"x-request-id": "", "request-id": "1"}]
)
def test_weak_ids_everywhere_are_told_apart(recorded: Recorded, headers: dict[str, str]) -> None:
    client = client_of(lambda _: plain({**CHAT_ANSWER, "id": "chatcmpl-123"}, headers=headers))
    for _ in range(5):
        client.chat.completions.create(**CHAT)
    ids = {event.request_id for event in recorded.all()}
    assert len(ids) == 5
    assert {len(request_id) for request_id in ids} == {32}


def test_long_id_is_kept(recorded: Recorded) -> None:
    client = client_of(lambda _: plain({**CHAT_ANSWER, "id": "gen-" + "a" * 196}))
    client.chat.completions.create(**CHAT)
    assert recorded.one().request_id == "gen-" + "a" * 196


def test_anthropic_header_id_is_used_for_a_failure(recorded: Recorded) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    headers = {"x-request-id": "", "request-id": "req_011CSHoEeqs5C35K2UUqR7Fy"}
    with pytest.raises(Exception, match="Overloaded"):
        anthropic_of(lambda _: plain(error, 529, headers=headers)).messages.create(**MESSAGE)
    event = recorded.one()
    assert (event.request_id, event.status) == ("req_011CSHoEeqs5C35K2UUqR7Fy", "failed")
    assert event.error_code == "529 overloaded_error"


# ── Answers that say little ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "error_code"),
    [
        ({"error": {"code": "model_not_found", "type": "invalid_request_error"}}, "404 model_not_found"),
        ({"error": {"code": None, "type": "invalid_request_error"}}, "404 invalid_request_error"),
        ({"error": "gone"}, "404"),
        ([], "404"),
        (b"<html>", "404"),
        (b"", "404"),
        (b'{"error":' + b"[" * 100_000, "404"),
    ],
    ids=str,
)
def test_failure_is_recorded_with_its_status_and_short_name(
    recorded: Recorded, body: bytes | object, error_code: str
) -> None:
    with pytest.raises(openai.NotFoundError):
        client_of(lambda _: plain(body, 404)).chat.completions.create(**CHAT)
    event = recorded.one()
    assert (event.status, event.error_code, event.response) == ("failed", error_code, {"http_status": 404})
    assert (event.model, event.request_id, usage_of(event)) == ("gpt-4.1-mini", REQUEST_ID, None)


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"[]", b'{"id":', b'{"usage":{"a":1e999}}'])
def test_answer_that_cannot_be_read_is_recorded_with_unknown_usage(recorded: Recorded, body: bytes) -> None:
    raw = client_of(lambda _: plain(body)).chat.completions.with_raw_response.create(**CHAT)
    assert raw.content == body
    event = recorded.one()
    assert (event.status, event.error_code) == ("succeeded", "unreadable-answer")
    assert (event.model, event.request_id, usage_of(event)) == ("gpt-4.1-mini", REQUEST_ID, None)


def test_stream_that_cannot_be_read_is_aborted_with_unknown_usage(recorded: Recorded) -> None:
    events = b"data: {not JSON}\n\ndata: [DONE]\n\n"
    with pytest.raises(json.JSONDecodeError):
        list(client_of(lambda _: streamed(events)).chat.completions.create(**CHAT, stream=True))
    event = recorded.one()
    assert (event.status, event.error_code, event.model) == ("aborted", "unreadable-answer", "gpt-4.1-mini")


def test_stream_that_cannot_be_read_is_aborted_though_it_came_to_its_end(recorded: Recorded) -> None:
    client = client_of(lambda _: streamed(b"data: {not JSON}\n\n", b"data: [DONE]\n\n"))
    with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as raw:
        assert b"".join(raw.iter_bytes()) == b"data: {not JSON}\n\ndata: [DONE]\n\n"
    assert (recorded.one().status, recorded.one().error_code) == ("aborted", "unreadable-answer")


def test_answer_with_half_an_emoji_keeps_its_usage(recorded: Recorded) -> None:
    body = json.dumps(CHAT_ANSWER).replace("Hi!", "\\ud83d").encode()
    answer = client_of(lambda _: plain(body)).chat.completions.create(**CHAT)
    assert answer.choices[0].message.content == "\ud83d"
    assert usage_of(recorded.one()) == USAGE


# ── Compression ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_compressed_answer_is_read(openai_recording: OpenAI, recorded: Recorded) -> None:
    answer = openai_recording.chat.completions.create(**CHAT, extra_headers={"X-Simulator-Gzip": "1"})
    assert answer.usage is not None
    assert usage_of(recorded.one()) == answer.usage.to_dict()


def test_compressed_failure_is_read(recorded: Recorded) -> None:
    body = gzip.compress(b'{"error":{"code":"model_not_found"}}')
    with pytest.raises(openai.NotFoundError):
        client_of(lambda _: plain(body, 404, headers={"content-encoding": "gzip"})).chat.completions.create(**CHAT)
    assert recorded.one().error_code == "404 model_not_found"


@pytest.mark.parametrize("asks", [True, False])
def test_compressed_stream_is_read(recorded: Recorded, asks: bool) -> None:
    body = gzip.compress(b"".join(chat_events(asked=True)))
    pieces = [body[:20], body[20:21], body[21:]]
    client = client_of(lambda _: streamed(*pieces, headers={"content-encoding": "gzip"}))
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if asks else {}
    chunks = list(client.chat.completions.create(**CHAT, stream=True, **options))
    assert [chunk.usage for chunk in chunks if chunk.usage] == ([chunks[-1].usage] if asks else [])
    event = recorded.one()
    assert (event.status, usage_of(event)) == ("succeeded", USAGE)


def test_body_that_is_not_compressed_as_it_says_is_recorded(recorded: Recorded) -> None:
    client = client_of(lambda _: plain(CHAT_ANSWER, headers={"content-encoding": "gzip"}))
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**CHAT)
    event = recorded.one()
    # The provider answered; what it charged can even be read.
    assert (event.request_id, usage_of(event)) == (CHAT_ANSWER["id"], USAGE)


@pytest.mark.parametrize("name", [b"gz\xc3\xadp", b"\xff"])
@pytest.mark.parametrize("is_stream", [True, False])
def test_encoding_whose_name_is_not_ascii_is_passed_over_as_the_sdk_does(
    recorded: Recorded, name: bytes, is_stream: bool
) -> None:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        sent = streamed(*chat_events(asked=True)) if is_stream else plain(CHAT_ANSWER)
        sent.headers = httpx2.Headers([*sent.headers.raw, (b"content-encoding", name)])
        return sent

    client = client_of(answer)
    if is_stream:
        assert not any(chunk.usage for chunk in client.chat.completions.create(**CHAT, stream=True))
    else:
        client.chat.completions.create(**CHAT)
    assert usage_of(recorded.one()) == USAGE


# ── Content ──────────────────────────────────────────────────────────────────────────────────────────────────────

SECRETS = ("sk-secret", "sk-ant-secret", "PROMPT", "ANSWER", "HEADER", "QUERY", "COOKIE", "REASON")


def _tell(request: httpx2.Request) -> httpx2.Response:
    headers = {"set-cookie": "a=COOKIE", "x-answer": "HEADER"}
    told = "ANSWER"
    if request.url.path.endswith("/messages"):
        usage = {"input_tokens": 1, "output_tokens": 2}
        return plain({"id": "msg_1", "content": [{"type": "text", "text": told}], "usage": usage}, headers=headers)
    if b"fail" in request.content:
        return plain({"error": {"message": "REASON", "code": "bad", "param": "PROMPT"}}, 400, headers=headers)
    if b'"stream"' in request.content:
        return streamed(*sse(chat_chunk(told), chat_chunk(None, usage=USAGE), "[DONE]"), headers=headers)
    return plain(json.loads(json.dumps(CHAT_ANSWER).replace("Hi!", told)), headers=headers)


def test_event_holds_no_content_key_or_header(recorded: Recorded) -> None:
    client = client_of(_tell, default_headers={"x-own": "HEADER"})
    ask: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "PROMPT"}]}
    options: dict[str, Any] = {"extra_query": {"q": "QUERY"}}
    client.chat.completions.create(**ask, **options)
    list(client.chat.completions.create(**ask, **options, stream=True))
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**ask, **options, user="fail")
    anthropic_of(_tell).messages.create(**{**MESSAGE, "messages": ask["messages"]})
    bodies = recorded.bodies()
    assert len(bodies) == 4
    assert [secret for secret in SECRETS for body in bodies if secret.encode() in body] == []


def test_event_of_the_simulators_answer_holds_none_of_its_text(openai_recording: OpenAI, recorded: Recorded) -> None:
    answer = openai_recording.chat.completions.create(**CHAT)
    text = answer.choices[0].message.content
    assert text
    (body,) = recorded.bodies()
    assert [word for word in text.split() if len(word) > 4 and word.encode() in body] == []


# ── Attribution ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_attribution_nests(openai_recording: OpenAI, recorded: Recorded) -> None:
    with usage_context(org=1, agent_id="outer", metadata={"a": "1", "b": "1"}):
        with usage_context(user="7", agent_id="inner", metadata={"b": "2"}):
            openai_recording.chat.completions.create(**CHAT)
        openai_recording.chat.completions.create(**CHAT)
    openai_recording.chat.completions.create(**CHAT)
    inner, outer, none = (event.attribution for event in recorded.all())
    assert (inner.org_id, inner.user_id, inner.agent_id, inner.metadata) == (1, 7, "inner", {"a": "1", "b": "2"})
    assert (outer.org_id, outer.user_id, outer.agent_id, outer.metadata) == (1, None, "outer", {"a": "1", "b": "1"})
    assert (none.org_id, none.agent_id) == (None, "")


def test_attribution_follows_a_thread_with_a_copied_context(openai_recording: OpenAI, recorded: Recorded) -> None:
    def work() -> None:
        openai_recording.chat.completions.create(**CHAT)

    with usage_context(org=1, agent_id="copied"):
        copied = contextvars.copy_context()
    threads = [threading.Thread(target=copied.run, args=(work,)), threading.Thread(target=work)]
    for thread in threads:
        thread.start()
        thread.join()
    assert [event.attribution.agent_id for event in recorded.all()] == ["copied", ""]


@pytest.mark.anyio
async def test_attribution_of_tasks_is_each_ones_own(openai_recording_async: AsyncOpenAI, recorded: Recorded) -> None:
    async def work(number: int) -> str:
        with usage_context(user=number):
            await asyncio.sleep(0.001 * (number % 3))
            answer = await openai_recording_async.chat.completions.create(**CHAT)
            return str(answer.id)

    with usage_context(org=1):
        ids = await asyncio.gather(*map(work, range(1, 9)))
    users = {event.request_id: event.attribution.user_id for event in recorded.all()}
    assert users == dict(zip(ids, range(1, 9), strict=True))
    assert {event.attribution.org_id for event in recorded.all()} == {1}


def test_attribution_is_that_of_the_start_of_a_stream(openai_recording: OpenAI, recorded: Recorded) -> None:
    with usage_context(agent_id="start"):
        stream = openai_recording.chat.completions.create(**CHAT, stream=True)
    with usage_context(agent_id="end"):
        list(stream)
    assert recorded.one().attribution.agent_id == "start"


def test_attribution_metadata_that_json_cannot_hold_is_written_as_text(recorded: Recorded) -> None:
    with usage_context(metadata={"path": Path("/a"), "set": {1}}):
        client_of(lambda _: plain(CHAT_ANSWER)).chat.completions.create(**CHAT)
    assert recorded.one().attribution.metadata == {"path": "/a", "set": [1]}


# ── A recorder that is broken ────────────────────────────────────────────────────────────────────────────────────


def _raise(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("broken on purpose")


def _break_outbox(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Outbox, "append", _raise)


def _break_encode(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recorder, "encode", _raise)


def _break_attribution(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(call, "current_attribution", _raise)


def _break_body_reader(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(openai_usage, "read_body", _raise)
    patch.setattr(openai_usage, "read_stream", _raise)
    patch.setattr(openai_usage, "read_usual_chunks", _raise)


def _break_event(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(call, "Event", _raise)


def _break_endpoint(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("ai_clients.transport.endpoint_of", _raise)


def _break_asking(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("ai_clients.usage_option._fields", _raise)


BREAKS = [_break_outbox, _break_encode, _break_attribution, _break_body_reader, _break_event, _break_endpoint]


@pytest.mark.parametrize("how", BREAKS)
def test_broken_recorder_does_not_touch_the_answer(
    recorded: Recorded,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    how: Callable[[pytest.MonkeyPatch], None],
) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return streamed(*chat_events(asked=True)) if b'"stream"' in request.content else plain(CHAT_ANSWER)

    client = client_of(answer)
    whole = client.chat.completions.create(**CHAT).to_dict()
    lost_before = health().lost
    how(monkeypatch)
    caplog.clear()
    assert client.chat.completions.create(**CHAT).to_dict() == whole
    assert client.chat.completions.create(**CHAT).to_dict() == whole
    asked = client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
    assert [len(chunk.choices) for chunk in asked] == [1, 1, 1, 1, 0]
    assert health().lost == lost_before + 3
    # One line for all three, for they have one reason.
    assert [line.levelno for line in caplog.records if "could not be recorded" in line.message] == [logging.ERROR]


def test_broken_drain_leaves_the_event_in_the_outbox(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain_thread, "wake", _raise)
    client_of(lambda _: plain(CHAT_ANSWER)).chat.completions.create(**CHAT)
    assert recorded.one().request_id == CHAT_ANSWER["id"]


def test_broken_body_buffer_does_not_touch_the_answer(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BodyBuffer, "take", _raise)
    client = client_of(lambda request: streamed(*chat_events(asked=b"include_usage" in request.content)))
    assert len(list(client.chat.completions.create(**CHAT, stream=True))) == 4
    assert (recorded.all(), health().lost) == ([], 1)


def test_broken_asking_sends_the_callers_own_request(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider(lambda _: streamed(*chat_events(asked=False)))
    client = OpenAI(api_key="k", http_client=httpx2.Client(transport=provider))
    _break_asking(monkeypatch)
    assert len(list(client.chat.completions.create(**CHAT, stream=True))) == 4
    assert b"stream_options" not in provider.bodies[0]
    assert health().lost == 1


def test_outbox_that_is_a_directory_does_not_touch_the_answer_and_loses_nothing(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "box"
    path.mkdir()
    configure(settings, OUTBOX_PATH=str(path))
    recorder.outbox.cache_clear()
    client = client_of(lambda _: plain(CHAT_ANSWER))
    for _ in range(3):
        assert client.chat.completions.create(**CHAT).id == CHAT_ANSWER["id"]
    state = health()
    assert (state.backlog, state.lost) == (None, 0)
    assert "IsADirectoryError" in state.error
    path.rmdir()
    assert len(Recorded(path).all()) == 3


def test_outbox_that_works_again_learns_of_the_losses(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(lambda _: plain(CHAT_ANSWER))
    with monkeypatch.context() as patch:
        _break_outbox(patch)
        client.chat.completions.create(**CHAT)
    client.chat.completions.create(**CHAT)
    assert recorded.one().status == "succeeded"
    assert health().lost == 1
    recorder._losses.clear()
    assert health().lost == 1


def test_clock_that_goes_back_does_not_make_a_duration_negative(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        monkeypatch.setattr(time, "time", lambda: 1.0)
        return plain(CHAT_ANSWER)

    client_of(answer).chat.completions.create(**CHAT)
    event = recorded.one()
    assert event.duration_ms >= 0
    assert event.started_at > 1_700_000_000


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_freed_when_its_caller_lets_go_of_it(recorded: Recorded, stream: bool) -> None:
    """Otherwise each call leaves a cycle to the garbage collector, whose runs make some caller wait."""
    answer = (lambda _: streamed(*chat_events(asked=False))) if stream else (lambda _: plain(CHAT_ANSWER))
    transport = RecordingTransport(httpx2.MockTransport(answer))
    response = transport.handle_request(httpx2.Request("POST", "https://api.openai.com/v1/chat/completions"))
    assert response.read() != b""
    response.close()
    freed = weakref.ref(response)
    gc.disable()
    try:
        del response
        assert freed() is None
    finally:
        gc.enable()
    assert recorded.one().status in ("succeeded", "aborted")
