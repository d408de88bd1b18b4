"""Every websocket of the OpenAI SDK, against a real server on loopback.

Private names of the SDK that `ai_clients.websockets` uses: `_resource.SyncAPIResource` and `.AsyncAPIResource`,
`_client` of a resource, `_connect_ws` of a connection manager, `_connection` of the beta's connection,
`_send_queue.SendQueue`; and `protocol.uri` of the library `websockets`.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx2
import openai
import openai.resources
import pytest
from openai._resource import AsyncAPIResource, SyncAPIResource
from openai.lib.responses_websocket import (
    AsyncResponsesWebSocketSession,
    ResponsesWebSocketLimits,
    ResponsesWebSocketSession,
)
from websockets.exceptions import ConnectionClosed

from ai_clients import AsyncOpenAI, AzureOpenAI, OpenAI, instrument
from ai_clients.account import account_of
from ai_clients.instrumentation import uninstrument
from ai_clients.websockets import calls, hooks
from tests.support.recorded import Recorded, usage_of
from tests.support.socket_server import Peer, socket_server
from usage_billing import usage_context
from usage_billing.recording import recorder

USAGE = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 200},
    "output_tokens": 100,
    "output_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 1100,
}
REALTIME_USAGE = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}
ID = "resp_0123456789abcdef"
SESSION = {"id": "sess_0123456789abcdef", "type": "realtime", "model": "gpt-realtime"}
LIMITS = ResponsesWebSocketLimits(
    max_lanes=8, max_events_per_lane=128, max_events=512, max_bytes_per_lane=1 << 20, max_bytes=1 << 21
)


def response(id_: str = ID, **members: Any) -> dict[str, Any]:
    return {"id": id_, "model": "gpt-5-mini", "previous_response_id": None, "output": [], **members}


def tell_response(peer: Peer, id_: str = ID, **members: Any) -> None:
    peer.tell("response.created", response=response(id_, status="in_progress"), **members)
    peer.tell("response.output_text.delta", delta="Hello", item_id="msg_1", **members)
    peer.tell("response.completed", response=response(id_, status="completed", usage=USAGE), **members)


def play_responses(peer: Peer) -> None:
    """Answer every `response.create`, with a new id each."""
    for number in range(1000):
        request = peer.hear()
        if request["type"] == "response.create":
            lane = {"stream_id": request["stream_id"]} if "stream_id" in request else {}
            tell_response(peer, f"resp_{peer.number:08}_{number:08}", **lane)


def play_realtime(peer: Peer) -> None:
    peer.tell("session.created", event_id="event_1", session=SESSION)
    while peer.hear()["type"] != "response.create":
        pass
    peer.tell("response.created", response={"id": ID, "status": "in_progress", "metadata": None})
    peer.tell("response.output_audio.delta", response_id=ID, delta="AAAA")
    peer.tell("response.done", response={"id": ID, "status": "completed", "usage": REALTIME_USAGE})
    peer.wait_closed()


def recording(url: str) -> OpenAI:
    return OpenAI(base_url=url, api_key="sk-secret", max_retries=0)


def recording_async(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=url, api_key="sk-secret", max_retries=0)


# ── Responses ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_response_is_recorded_like_one_over_http(recorded: Recorded) -> None:
    def play(peer: Peer) -> None:
        peer.hear()
        peer.tell("response.created", response=response(status="in_progress"))
        peer.tell("response.completed", response=response(status="completed", usage=USAGE, service_tier="flex"))
        peer.wait_closed()

    with socket_server(play) as url, recording(url).responses.connect() as connection:
        with usage_context(agent_id="sender"):
            connection.response.create(model="gpt-5-mini", input="Say hello")
        assert [connection.recv().type for _ in range(2)] == ["response.created", "response.completed"]
    event = recorded.one()
    assert (event.flavour, event.status, event.request_id) == ("responses", "succeeded", ID)
    assert (event.url, event.model) == (f"{url}/responses", "gpt-5-mini")
    assert event.context == {"service_tier": "flex"}
    assert event.attribution.agent_id == "sender"
    assert event.account == account_of(httpx2.Headers({"authorization": "Bearer sk-secret"}), None)
    assert not event.completes
    assert usage_of(event) == USAGE


def test_tools_of_a_response_are_recorded(recorded: Recorded) -> None:
    searched = [{"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}]

    def play(peer: Peer) -> None:
        peer.hear()
        peer.tell(
            "response.completed",
            response=response(status="completed", usage=USAGE, output=searched, tools=[{"type": "web_search"}]),
        )
        peer.wait_closed()

    with socket_server(play) as url, recording(url).responses.connect() as connection:
        connection.response.create(model="gpt-5-mini", input="Search")
        connection.recv()
    assert recorded.one().units == {"web_searches": 1}


@pytest.mark.parametrize(
    ("end", "status", "code"), [("incomplete", "succeeded", ""), ("failed", "failed", "server_error")]
)
def test_response_that_does_not_complete_is_recorded(end: str, status: str, code: str, recorded: Recorded) -> None:
    def play(peer: Peer) -> None:
        peer.hear()
        error = {"code": "server_error"} if code else None
        peer.tell(f"response.{end}", response=response(status=end, usage=USAGE, error=error))
        peer.wait_closed()

    with socket_server(play) as url, recording(url).responses.connect() as connection:
        connection.response.create(model="gpt-5-mini", input="x")
        connection.recv()
    event = recorded.one()
    assert (event.status, event.error_code) == (status, code)
    assert usage_of(event) == USAGE


Reading = Callable[[Any], object]


def _iterate(connection: Any) -> None:
    for event in connection:
        if event.type == "response.completed":
            return


def _dispatch(connection: Any) -> None:
    connection.on("response.completed", lambda _event: connection.close())
    connection.dispatch_events()


READINGS: list[Reading] = [
    lambda connection: [connection.recv() for _ in range(3)],
    lambda connection: [connection.recv_bytes() for _ in range(3)],
    _iterate,
    _dispatch,
]


@pytest.mark.parametrize("read", READINGS, ids=["recv", "recv_bytes", "iteration", "handlers"])
@pytest.mark.parametrize("is_beta", [False, True])
def test_response_is_recorded_however_it_is_read(read: Reading, is_beta: bool, recorded: Recorded) -> None:
    with socket_server(play_responses) as url:
        client = recording(url)
        with (client.beta if is_beta else client).responses.connect() as connection:
            connection.send({"type": "response.create", "model": "gpt-5-mini", "input": "x"})
            read(connection)
    event = recorded.one()
    assert event.status == "succeeded"
    assert usage_of(event) == USAGE


@pytest.mark.anyio
@pytest.mark.parametrize("is_beta", [False, True])
async def test_response_is_recorded_from_an_async_connection(is_beta: bool, recorded: Recorded) -> None:
    with socket_server(play_responses) as url:
        client = recording_async(url)
        async with (client.beta if is_beta else client).responses.connect() as connection:
            with usage_context(agent_id="sender"):
                await connection.send({"type": "response.create", "model": "gpt-5-mini", "input": "x"})
            async for event in connection:
                if event.type == "response.completed":
                    break
    assert recorded.one().attribution.agent_id == "sender"
    assert usage_of(recorded.one()) == USAGE


def test_bytes_that_pass_are_the_servers_own(recorded: Recorded) -> None:
    sent = b'{ "response" : {"id":"resp_0123456789abcdef","status":"completed"},\n"type":"response.completed"}'

    def play(peer: Peer) -> None:
        peer.hear()
        peer.send(sent.decode())
        peer.wait_closed()

    with socket_server(play) as url, recording(url).responses.connect() as connection:
        connection.response.create(model="gpt-5-mini", input="x")
        assert connection.recv_bytes() == sent
    assert recorded.one().status == "succeeded"


def test_lanes_of_a_session_are_charged_each_to_its_sender(recorded: Recorded) -> None:
    def play(peer: Peer) -> None:
        first, second = peer.hear()["stream_id"], peer.hear()["stream_id"]
        # The second lane is answered first.
        tell_response(peer, "resp_of_the_second_lane", stream_id=second)
        tell_response(peer, "resp_of_the_first_lane_", stream_id=first)
        peer.wait_closed()

    with (
        socket_server(play) as url,
        usage_context(agent_id="opener"),
        recording(url).responses.connect() as connection,
        ResponsesWebSocketSession(connection, limits=LIMITS) as session,
    ):
        lanes = {name: session.lane(name) for name in ("a", "b")}
        for name, lane in lanes.items():
            with usage_context(agent_id=name):
                lane.send({"type": "response.create", "model": "gpt-5-mini", "input": "x"})
        for lane in lanes.values():
            lane.get_final_response(timeout=20)
    charged = {event.request_id: event.attribution.agent_id for event in recorded.all()}
    assert charged == {"resp_of_the_second_lane": "b", "resp_of_the_first_lane_": "a"}


def test_threads_that_share_a_connection_are_charged_each_for_its_own(recorded: Recorded) -> None:
    def play(peer: Peer) -> None:
        for number in range(20):
            lane = peer.hear()["stream_id"]
            tell_response(peer, f"resp_{lane}_{number:016}", stream_id=lane)
        peer.wait_closed()

    with (
        socket_server(play) as url,
        usage_context(agent_id="opener"),
        recording(url).responses.connect() as connection,
        ResponsesWebSocketSession(connection, limits=LIMITS) as session,
    ):

        def work(name: str) -> None:
            lane = session.lane(name)
            with usage_context(agent_id=name):
                for _ in range(10):
                    lane.send({"type": "response.create", "model": "gpt-5-mini", "input": "x"})
                    lane.get_final_response(timeout=20)

        threads = [threading.Thread(target=work, args=(name,)) for name in ("left", "right")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    events = recorded.all()
    assert len(events) == 20
    assert all(event.request_id.startswith(f"resp_{event.attribution.agent_id}_") for event in events)


@pytest.mark.anyio
async def test_async_session_records(recorded: Recorded) -> None:
    with socket_server(play_responses) as url:
        async with (
            recording_async(url).responses.connect() as connection,
            AsyncResponsesWebSocketSession(connection, limits=LIMITS) as session,
        ):
            lane = session.lane("a")
            with usage_context(agent_id="sender"):
                await lane.send({"type": "response.create", "model": "gpt-5-mini", "input": "x"})
            await lane.get_final_response()
    assert recorded.one().attribution.agent_id == "sender"


# ── Realtime, translations, Live ─────────────────────────────────────────────────────────────────────────────────


def _realtime(client: Any) -> AbstractContextManager[Any]:
    return client.realtime.connect(model="gpt-realtime")  # type: ignore[no-any-return]


def _beta_realtime(client: Any) -> AbstractContextManager[Any]:
    return client.beta.realtime.connect(model="gpt-realtime")  # type: ignore[no-any-return]


@pytest.mark.parametrize("connect", [_realtime, _beta_realtime])
def test_realtime_response_is_recorded(connect: Any, recorded: Recorded) -> None:
    with socket_server(play_realtime) as url:
        client = OpenAI(base_url=url, api_key="sk-secret", websocket_base_url=url.replace("http", "ws"))
        with connect(client) as connection:
            with usage_context(agent_id="sender"):
                connection.response.create()
            assert [connection.recv().type for _ in range(4)][-1] == "response.done"
    event = recorded.one()
    assert (event.flavour, event.status, event.request_id, event.model) == (
        "realtime", "succeeded", ID, "gpt-realtime",
    )  # fmt: skip
    assert event.url == f"{url}/realtime"
    assert event.attribution.agent_id == "sender"
    assert usage_of(event) == REALTIME_USAGE


@pytest.mark.anyio
@pytest.mark.parametrize("connect", [_realtime, _beta_realtime])
async def test_realtime_response_is_recorded_from_an_async_connection(connect: Any, recorded: Recorded) -> None:
    with socket_server(play_realtime) as url:
        client = AsyncOpenAI(base_url=url, api_key="sk-secret", websocket_base_url=url.replace("http", "ws"))
        async with connect(client) as connection:
            await connection.response.create()
            assert [(await connection.recv()).type for _ in range(4)][-1] == "response.done"
    assert usage_of(recorded.one()) == REALTIME_USAGE


def test_azure_deployment_is_recorded(recorded: Recorded) -> None:
    with socket_server(play_realtime) as url:
        client = AzureOpenAI(
            api_key="secret", api_version="2025-04-01", azure_endpoint="https://mine.openai.azure.com",
            websocket_base_url=url.replace("http", "ws").replace("/v1", "/openai"),
        )  # fmt: skip
        with client.realtime.connect(model="my-voice") as connection:
            connection.response.create()
            [connection.recv() for _ in range(4)]
    event = recorded.one()
    assert event.response == {"deployment": "my-voice"}
    assert event.model == "gpt-realtime"
    assert event.url.endswith("/openai/realtime")


def test_transcription_is_recorded_at_its_own_model(recorded: Recorded) -> None:
    usage = {"type": "tokens", "input_tokens": 64, "output_tokens": 22, "total_tokens": 86,
             "input_token_details": {"audio_tokens": 64, "text_tokens": 0}}  # fmt: skip

    def play(peer: Peer) -> None:
        audio = {"input": {"transcription": {"model": "gpt-4o-transcribe"}, "turn_detection": None}}
        peer.tell("session.created", session=SESSION | {"audio": audio})
        peer.hear()
        peer.tell("input_audio_buffer.committed", item_id="item_0123456789abcdef")
        for _ in range(2):  # a server may repeat itself
            peer.tell(
                "conversation.item.input_audio_transcription.completed",
                item_id="item_0123456789abcdef", content_index=0, transcript="a secret", usage=usage,
            )  # fmt: skip
        peer.wait_closed()

    with socket_server(play) as url, recording(url).realtime.connect(model="gpt-realtime") as connection:
        connection.recv()
        connection.input_audio_buffer.append(audio="AAAA")
        [connection.recv() for _ in range(3)]
    event = recorded.one()
    assert (event.flavour, event.model, event.status) == ("realtime", "gpt-4o-transcribe", "succeeded")
    assert event.url == f"{url}/realtime/input_audio_transcription"
    assert usage_of(event) == usage
    assert b"secret" not in b"".join(recorded.bodies())


@pytest.mark.parametrize("reads_the_end", [True, False])
def test_translation_session_is_recorded_with_unknown_usage(reads_the_end: bool, recorded: Recorded) -> None:
    def play(peer: Peer) -> None:
        peer.tell("session.created", session=SESSION | {"model": "gpt-realtime-translate", "type": "translation"})
        while peer.hear()["type"] != "session.close":
            peer.tell("session.output_audio.delta", delta="AAAA")
        peer.tell("session.closed", event_id="event_1")
        peer.wait_closed()

    with (
        socket_server(play) as url,
        recording(url).realtime.translations.connect(model="gpt-realtime-translate") as connection,
    ):
        connection.recv()
        connection.send({"type": "session.input_audio_buffer.append", "audio": "AAAA"})
        connection.recv()
        if reads_the_end:
            connection.send({"type": "session.close"})
            connection.recv()
    event = recorded.one()
    assert (event.flavour, event.model) == ("realtime", "gpt-realtime-translate")
    assert event.status == ("succeeded" if reads_the_end else "aborted")
    assert event.url == f"{url}/realtime/translations"
    assert usage_of(event) is None


def test_translation_session_without_audio_is_not_recorded(recorded: Recorded) -> None:
    def play(peer: Peer) -> None:
        peer.tell("session.created", session=SESSION | {"model": "gpt-realtime-translate"})
        peer.wait_closed()

    with (
        socket_server(play) as url,
        recording(url).realtime.translations.connect(model="gpt-realtime-translate") as connection,
    ):
        connection.recv()
    assert recorded.all() == []


LIVE_SESSION = {"id": "live_0123456789abcdef", "model": "gpt-live-1", "status": "active", "expires_at": 1}


def play_live(peer: Peer) -> None:
    peer.tell("session.started", event_id="event_1", session=LIVE_SESSION)
    peer.tell("session.usage.updated", event_id="event_2", usage={"seconds": 30.5})
    completed = {"type": "response.completed", "response": response(status="completed", usage=USAGE)}
    created = {"type": "response.created", "response": response(status="in_progress")}
    peer.tell("response.event", event_id="event_3", delegation_id="del_1", event=created)
    peer.tell("response.event", event_id="event_4", delegation_id="del_1", event=completed)
    decision = {"model": "gpt-decide", "answers": [], "usage": USAGE}
    peer.tell(
        "decision.event", event_id="event_0123456789abcdef", event={"type": "decision.completed", "decision": decision}
    )
    if peer.hear()["type"] == "session.close":
        peer.tell("session.closed", event_id="event_6", reason="close_requested", session=LIVE_SESSION,
                  usage={"seconds": 61.25})  # fmt: skip
    peer.wait_closed()


CONNECTIONS: dict[str, Callable[[Any], Any]] = {
    "live": lambda client: client.live.connect(),
    "fork": lambda client: client.live.forks.connect(session_id="live_of_which_it_is_one"),
    "sideband": lambda client: client.live.sideband.connect(session_id=LIVE_SESSION["id"]),
}


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_live_session_is_recorded_with_its_seconds_and_delegations(kind: str, recorded: Recorded) -> None:
    with socket_server(play_live) as url, CONNECTIONS[kind](recording(url)) as connection:
        [connection.recv() for _ in range(5)]
        connection.send({"type": "session.close"})
        assert connection.recv().type == "session.closed"
    events = {event.url.removeprefix(url): event for event in recorded.all()}
    assert events.keys() == {"/live", "/responses", "/decisions"}
    live = events["/live"]
    assert (live.flavour, live.status, live.model) == ("realtime", "succeeded", "gpt-live-1")
    assert (live.request_id, usage_of(live)) == (LIVE_SESSION["id"], {"seconds": 61.25})
    # Only the connection that holds a session knows that it was not on standby, which is cheaper.
    assert live.context == ({"live": "observed"} if kind == "sideband" else {})
    assert (events["/responses"].request_id, usage_of(events["/responses"])) == (ID, USAGE)
    assert (events["/decisions"].model, usage_of(events["/decisions"])) == ("gpt-decide", USAGE)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", CONNECTIONS)
async def test_live_session_that_is_left_is_recorded_with_what_is_known(kind: str, recorded: Recorded) -> None:
    with socket_server(play_live) as url:
        async with CONNECTIONS[kind](recording_async(url)) as connection:
            [await connection.recv() for _ in range(2)]
    event = recorded.one()
    # A session that others hold goes on, and a later connection may tell its end.
    assert event.status == ("pending" if kind == "sideband" else "aborted")
    assert (event.request_id, usage_of(event)) == (LIVE_SESSION["id"], {"seconds": 30.5})


# ── Ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def play_half_a_response(peer: Peer) -> None:
    peer.hear()
    peer.tell("response.created", response=response(status="in_progress"))
    peer.wait_closed()


def test_response_is_aborted_when_the_caller_closes_the_connection(recorded: Recorded) -> None:
    with socket_server(play_half_a_response) as url, recording(url).responses.connect() as connection:
        with usage_context(agent_id="sender"):
            connection.response.create(model="gpt-5-mini", input="x")
        connection.recv()
    event = recorded.one()
    assert (event.status, event.request_id, event.model) == ("aborted", ID, "gpt-5-mini")
    assert event.attribution.agent_id == "sender"
    assert usage_of(event) is None


def test_request_without_an_answer_is_aborted(recorded: Recorded) -> None:
    with socket_server(Peer.wait_closed) as url, recording(url).responses.connect() as connection:
        connection.response.create(model="gpt-5-mini", input="x")
    assert (recorded.one().status, recorded.one().model) == ("aborted", "gpt-5-mini")


def test_response_is_aborted_when_the_connection_breaks(recorded: Recorded) -> None:
    def play(peer: Peer) -> None:
        peer.hear()
        peer.tell("response.created", response=response(status="in_progress"))
        peer.break_off()

    with socket_server(play) as url, recording(url).responses.connect() as connection:
        connection.response.create(model="gpt-5-mini", input="x")
        connection.recv()
        with pytest.raises(ConnectionClosed):
            connection.recv()
        event = recorded.one()
    assert (event.status, event.error_code, event.request_id) == ("aborted", "ConnectionClosedError", ID)
    assert recorded.one() == event


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_response_is_aborted_when_the_connection_is_dropped(recorded: Recorded) -> None:
    async def leave() -> None:
        connection = await recording_async(url).responses.connect().enter()
        await connection.send({"type": "response.create", "model": "gpt-5-mini", "input": "x"})
        await connection.recv()

    with socket_server(play_half_a_response) as url:
        asyncio.run(leave())
        gc.collect()
    assert recorded.one().status == "aborted"


def test_request_that_was_not_sent_is_not_recorded(recorded: Recorded) -> None:
    with socket_server(lambda peer: peer.close()) as url, recording(url).responses.connect() as connection:
        with pytest.raises(ConnectionClosed):
            connection.recv()
        with pytest.raises(ConnectionClosed):
            connection.response.create(model="gpt-5-mini", input="x")
    assert recorded.all() == []


def test_time_out_of_the_caller_ends_nothing(recorded: Recorded) -> None:
    answer = threading.Event()

    def play(peer: Peer) -> None:
        peer.hear()
        answer.wait(20)
        tell_response(peer)
        peer.wait_closed()

    with socket_server(play) as url, recording(url).responses.connect() as connection:
        connection.response.create(model="gpt-5-mini", input="x")
        with pytest.raises(TimeoutError):
            connection._connection.recv(timeout=0.05)
        assert recorded.all() == []
        answer.set()
        [connection.recv() for _ in range(3)]
    assert recorded.one().status == "succeeded"


@pytest.mark.anyio
async def test_cancelled_wait_ends_nothing(recorded: Recorded) -> None:
    answer = threading.Event()

    def play(peer: Peer) -> None:
        peer.hear()
        answer.wait(20)
        tell_response(peer)
        peer.wait_closed()

    with socket_server(play) as url:
        async with recording_async(url).responses.connect() as connection:
            await connection.send({"type": "response.create", "model": "gpt-5-mini", "input": "x"})
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.recv(), 0.05)
            answer.set()
            [await connection.recv() for _ in range(3)]
    assert recorded.one().status == "succeeded"


def test_response_survives_a_kill_after_its_end_was_read(recorded: Recorded) -> None:
    """Guarantee 2, docs/guarantees.md."""
    program = """
import os, signal, sys
from ai_clients import OpenAI
connection = OpenAI(base_url=sys.argv[1], api_key="sk-secret").responses.connect().enter()
connection.response.create(model="gpt-5-mini", input="x")
while connection.recv().type != "response.completed":
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""
    with socket_server(play_responses) as url:
        killed = subprocess.run(
            [sys.executable, "-c", program, url],
            env={**os.environ, "AI_COSTS_OUTBOX_PATH": str(recorded.path), "USAGE_OUTBOX_PATH": str(recorded.path)},
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert recorded.one().status == "succeeded"


def test_response_under_way_is_aborted_at_the_end_of_the_process(recorded: Recorded) -> None:
    program = """
import sys
from ai_clients import OpenAI
connection = OpenAI(base_url=sys.argv[1], api_key="sk-secret").responses.connect().enter()
connection.response.create(model="gpt-5-mini", input="x")
connection.recv()
"""
    with socket_server(play_half_a_response) as url:
        ended = subprocess.run(
            [sys.executable, "-c", program, url],
            env={**os.environ, "AI_COSTS_OUTBOX_PATH": str(recorded.path), "USAGE_OUTBOX_PATH": str(recorded.path)},
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()
    assert (recorded.one().status, recorded.one().request_id) == ("aborted", ID)


# ── Reconnection ─────────────────────────────────────────────────────────────────────────────────────────────────


def play_break_then_answer(peer: Peer) -> None:
    """Break the first connection in the middle of a response; repeat the response before it, then answer the next."""
    request = peer.hear()
    if peer.number == 0:
        tell_response(peer, "resp_of_the_first_request")
        peer.hear()
        peer.tell("response.created", response=response("resp_that_is_broken_off", status="in_progress"))
        peer.break_off()
        return
    tell_response(peer, "resp_of_the_first_request")
    if request["type"] == "response.create":
        tell_response(peer, "resp_of_the_last_request_")
    peer.wait_closed()


def test_reconnection_counts_nothing_twice(recorded: Recorded) -> None:
    with (
        socket_server(play_break_then_answer) as url,
        recording(url).responses.connect(on_reconnecting=lambda _event: None, initial_delay=0.01) as connection,
    ):
        connection.response.create(model="gpt-5-mini", input="1")
        for event in connection:
            if event.type == "response.completed" and event.response.id == "resp_of_the_first_request":
                connection.response.create(model="gpt-5-mini", input="2")
                break
        connection.recv()  # the second begins
        queued = threading.Timer(0.3, lambda: connection.response.create(model="gpt-5-mini", input="3"))
        queued.start()
        for event in connection:
            if event.type == "response.completed" and event.response.id == "resp_of_the_last_request_":
                break
    assert [(event.request_id, event.status) for event in recorded.all()] == [
        ("resp_of_the_first_request", "succeeded"),
        ("resp_that_is_broken_off", "aborted"),
        ("resp_of_the_last_request_", "succeeded"),
    ]


def test_queued_request_is_charged_to_its_sender_and_not_to_the_reader_that_reconnects(recorded: Recorded) -> None:
    reconnecting, sent = threading.Event(), threading.Event()

    def play(peer: Peer) -> None:
        if peer.number == 0:
            peer.break_off()
            return
        while peer.hear()["type"] != "response.create":
            pass
        tell_response(peer)
        peer.wait_closed()

    def on_reconnecting(_event: object) -> None:
        reconnecting.set()
        sent.wait(20)

    with (
        socket_server(play) as url,
        usage_context(agent_id="opener"),
        recording(url).responses.connect(on_reconnecting=on_reconnecting, initial_delay=0.01) as connection,
    ):

        def read() -> None:
            with usage_context(agent_id="reader"):
                _iterate(connection)

        reader = threading.Thread(target=read)
        reader.start()
        assert reconnecting.wait(20)
        with usage_context(agent_id="sender"):
            connection.send({"type": "response.create", "model": "gpt-5-mini", "input": "x"})
        sent.set()
        reader.join(20)
    assert recorded.one().attribution.agent_id == "sender"


@pytest.mark.anyio
async def test_queued_request_of_a_task_is_charged_to_that_task(recorded: Recorded) -> None:
    reconnecting, sent = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def play(peer: Peer) -> None:
        if peer.number == 0:
            peer.break_off()
            return
        sent.wait(20)
        while peer.hear()["type"] != "response.create":
            pass
        tell_response(peer)
        peer.wait_closed()

    def on_reconnecting(_event: object) -> None:
        loop.call_soon(reconnecting.set)

    async def read(connection: Any) -> None:
        with usage_context(agent_id="reader"):
            async for event in connection:
                if event.type == "response.completed":
                    return

    with socket_server(play) as url, usage_context(agent_id="opener"):
        async with recording_async(url).responses.connect(
            on_reconnecting=on_reconnecting, initial_delay=0.3
        ) as connection:
            reader = asyncio.create_task(read(connection))
            await asyncio.wait_for(reconnecting.wait(), 20)
            with usage_context(agent_id="sender"):
                await connection.send({"type": "response.create", "model": "gpt-5-mini", "input": "x"})
            sent.set()
            await asyncio.wait_for(reader, 20)
    assert recorded.one().attribution.agent_id == "sender"


def test_unasked_response_after_a_reconnection_is_charged_to_the_opener(recorded: Recorded) -> None:
    def play(peer: Peer) -> None:
        if peer.number == 0:
            peer.break_off()
            return
        peer.tell("response.done", response={"id": ID, "status": "completed", "usage": REALTIME_USAGE})
        peer.wait_closed()

    with (
        socket_server(play) as url,
        usage_context(agent_id="opener"),
        recording(url).realtime.connect(
            model="gpt-realtime", on_reconnecting=lambda _event: None, initial_delay=0.01
        ) as connection,
        usage_context(agent_id="reader"),
    ):
        next(iter(connection))
    assert recorded.one().attribution.agent_id == "opener"


# ── Which connections ────────────────────────────────────────────────────────────────────────────────────────────


def test_connection_of_an_official_client_is_not_recorded(recorded: Recorded) -> None:
    with socket_server(play_responses) as url:
        client = openai.OpenAI(base_url=url, api_key="sk-secret")
        with client.responses.connect() as connection:
            connection.response.create(model="gpt-5-mini", input="x")
            [connection.recv() for _ in range(3)]
    assert recorded.all() == []


def test_all_clients_are_recorded_once_if_asked_for(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_clients", hooks._clients)
    hooks.record_websockets(openai.OpenAI)
    hooks.record_websockets(openai.OpenAI)
    with socket_server(play_responses) as url:
        for client in (openai.OpenAI(base_url=url, api_key="sk-secret"), recording(url)):
            with client.responses.connect() as connection:
                connection.response.create(model="gpt-5-mini", input="x")
                [connection.recv() for _ in range(3)]
    assert len(recorded.all()) == 2


def test_every_connection_of_the_sdk_is_opened_by_a_resource_that_is_patched() -> None:
    """A new kind of connection in the SDK is found here, if it is opened in another way."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(openai.resources.__path__, "openai.resources.")
    ]
    managers = {
        thing for module in modules for name, thing in vars(module).items() if name.endswith("ConnectionManager")
    }
    assert len(managers) == 16
    without = {manager.__module__ for manager in managers if not hasattr(manager, "_connect_ws")}
    assert without == {"openai.resources.beta.realtime.realtime"}
    resources = {
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type)
        and issubclass(thing, SyncAPIResource | AsyncAPIResource)
        and "connect" in vars(thing)
    }
    assert len(resources) == 16
    for resource in resources:
        client: Any = recording("http://127.0.0.1:1/v1")
        resource(client)
        assert hasattr(vars(resource)["connect"], hooks._PATCHED)


def test_refused_connection_is_no_call(recorded: Recorded) -> None:
    with pytest.raises(OSError), recording("http://127.0.0.1:1/v1").responses.connect():  # noqa: PT011
        pytest.fail("there is no server")
    assert recorded.all() == []


def test_recording_that_fails_is_not_seen_by_the_caller(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guarantee 1, docs/guarantees.md."""

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(calls, "decode", fail)
    with socket_server(play_responses) as url, recording(url).responses.connect() as connection:
        connection.response.create(model="gpt-5-mini", input="x")
        assert [connection.recv().type for _ in range(3)][-1] == "response.completed"
    assert recorded.all() == []
    assert recorder.health().lost == 3  # the request, its beginning and its end


def test_connection_that_cannot_be_observed_is_not_touched(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> str:
        raise RuntimeError("broken")

    monkeypatch.setattr(hooks, "_url_of", fail)
    with socket_server(play_responses) as url, recording(url).responses.connect() as connection:
        connection.response.create(model="gpt-5-mini", input="x")
        assert json.loads(connection.recv_bytes())["type"] == "response.created"
    assert recorder.health().lost == 1


def test_connection_of_an_official_client_is_recorded_while_all_clients_are(recorded: Recorded) -> None:
    def ask(client: openai.OpenAI) -> None:
        with client.responses.connect() as connection:
            connection.response.create(model="gpt-5-mini", input="Hello")
            while connection.recv().type != "response.completed":
                pass

    with socket_server(play_responses) as url, openai.OpenAI(api_key="k", base_url=url) as client:
        ask(client)
        assert recorded.all() == []
        instrument()
        try:
            ask(client)
        finally:
            uninstrument()
        ask(client)
    assert usage_of(recorded.one()) == USAGE
