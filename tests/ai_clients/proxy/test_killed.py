"""A server that is killed: each call whose answer a client has is recorded."""

from __future__ import annotations

import json
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from tests.support import factories
from tests.support.loopback import Answered
from tests.support.proxied import database_of_tests, proxied, save_keys, token
from tests.support.scripted import CHAT, CHAT_ANSWER

CALLS, THREADS = 40, 4


def test_each_answered_call_survives_sigkill(transactional_db: None, tmp_path: Path) -> None:
    save_keys()
    with proxied(database_of_tests(), tmp_path) as proxy:
        key = token(factories.organization())
        proxy.scripts[""] = lambda _received: Answered([json.dumps(CHAT_ANSWER | {"id": uuid.uuid4().hex}).encode()])

        def called(_number: int) -> str:
            response = httpx2.post(
                f"{proxy.openai}/chat/completions", json=CHAT, headers={"authorization": f"Bearer {key}"}
            )
            return str(response.json()["id"])

        with ThreadPoolExecutor(THREADS) as clients:
            answered = list(clients.map(called, range(CALLS)))
        proxy.process.send_signal(signal.SIGKILL)
        proxy.process.wait()
        assert {event.request_id for event in proxy.events()} == {*answered}
