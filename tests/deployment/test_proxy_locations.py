"""nginx and Caddy pass the proxy's streams on as they come, and its large requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support import factories, proxies
from tests.support.loopback import Answered
from tests.support.proxied import database_of_tests, proxied, save_keys, token
from tests.support.scripted import CHAT, chat_chunk, sse


@pytest.mark.parametrize("name", proxies.PROXIES)
def test_a_stream_comes_piece_by_piece_through_tls(name: str, transactional_db: None, tmp_path: Path) -> None:
    """The provider sends the next event only when the client has the one before."""
    proxies.needs(name)
    save_keys()
    key = token(factories.organization())
    got, events = threading.Semaphore(1), sse(*(chat_chunk(word) for word in ("One", "two", "three")), "[DONE]")

    def chunks() -> Iterator[bytes]:
        for event in events:
            assert got.acquire(timeout=60)
            yield event

    certificate = proxies.certificate(tmp_path)
    with proxied(database_of_tests(), tmp_path) as proxy:
        proxy.scripts[""] = lambda _received: Answered(chunks(), content_type="text/event-stream")
        served_port = int(proxy.url.rpartition(":")[2])
        with (
            proxies.PROXIES[name](served_port, certificate, tmp_path) as port,
            httpx2.Client(
                base_url=f"https://127.0.0.1:{port}", verify=certificate.trusted(), timeout=60,
                headers={"host": proxies.HOST, "authorization": f"Bearer {key}"},
            ) as client,
        ):  # fmt: skip
            asked = client.build_request(
                "POST", "/proxy/openai/v1/chat/completions", json={**CHAT, "stream": True, "user": "x" * 5 * 2**20},
                extensions={"sni_hostname": proxies.HOST},
            )  # fmt: skip
            response = client.send(asked, stream=True)
            assert response.status_code == 200
            received = b""
            for piece in response.iter_raw():
                received += piece
                got.release()
            response.close()
    assert received == b"".join(events)
