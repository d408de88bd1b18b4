"""Every websocket of the OpenAI SDK, against a real server on loopback."""

from __future__ import annotations

from typing import Any

import pytest

from ai_clients import AsyncOpenAI, OpenAI
from tests.support.recorded import Recorded, usage_of
from tests.support.socket_server import Peer, socket_server

USAGE = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 200},
    "output_tokens": 100,
    "output_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 1100,
}


def response(id_: str = "resp_0123456789abcdef", **members: Any) -> dict[str, Any]:
    return {"id": id_, "object": "response", "model": "gpt-5-mini", "previous_response_id": None, "output": [], **members}


def play_one_response(peer: Peer) -> None:
    peer.hear()
    peer.tell("response.created", response=response(status="in_progress"))
    peer.tell("response.output_text.delta", delta="Hello", item_id="msg_1")
    peer.tell("response.completed", response=response(status="completed", usage=USAGE, service_tier="flex"))
    peer.wait_closed()


def test_response_is_recorded(recorded: Recorded) -> None:
    with socket_server(play_one_response) as url, OpenAI(base_url=url, api_key="sk-secret") as client:
        with client.responses.connect() as connection:
            connection.response.create(model="gpt-5-mini", input="Say hello")
            types = [connection.recv().type for _ in range(3)]
    assert types == ["response.created", "response.output_text.delta", "response.completed"]
    event = recorded.one()
    assert (event.flavour, event.status, event.request_id) == ("responses", "succeeded", "resp_0123456789abcdef")
    assert event.url == f"{url}/responses"
    assert event.model == "gpt-5-mini"
    assert event.context == {"service_tier": "flex"}
    assert usage_of(event) == USAGE
