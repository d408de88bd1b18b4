"""Tests the threads of the server's worker. tests/deployment tests it with slow clients."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel

from config import buffering_worker
from config.buffering_worker import Threads, hang_up_on_silent
from tests.support.reliability.world import wait_until


class Task:
    """A task that runs until the test ends it. waitress needs only these methods."""

    def __init__(self) -> None:
        self.begun, self.end = threading.Event(), threading.Event()

    def service(self) -> None:
        self.begun.set()
        self.end.wait(60)

    def cancel(self) -> None:
        self.end.set()


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads(3)
    yield made
    made.shutdown(timeout=10)


def test_as_many_threads_as_tasks_at_once_and_no_more_than_the_most(threads: Threads) -> None:
    tasks = [Task() for _ in range(5)]
    for number, task in enumerate(tasks, start=1):
        threads.add_task(task)
        assert len(threads.threads) == min(number, 3)
    for task in tasks[:3]:
        assert task.begun.wait(60)
    for task in tasks:
        task.end.set()
    assert all(task.begun.wait(60) for task in tasks)


def test_one_task_after_the_other_needs_one_thread(threads: Threads) -> None:
    for _ in range(10):
        task = Task()
        task.end.set()
        threads.add_task(task)
        assert task.begun.wait(60)
        wait_until(lambda: threads.active_count == 0)
    assert len(threads.threads) == 1


# ── Clients that read nothing ────────────────────────────────────────────────────────────────────────────────────

LARGE = 32 * 2**20
"""Bytes; more than the buffers of any socket hold."""


class Server:
    """waitress as the worker runs it, with a loop that the test turns. `ended`: the response was closed."""

    def __init__(self, buffered: int) -> None:
        self.connections: dict[int, Any] = {}
        self.ended = threading.Event()
        self.server = create_server(
            self._answer, map=self.connections, listen="127.0.0.1:0", threads=1, outbuf_high_watermark=buffered
        )

    def _answer(self, _environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", str(LARGE))])
        try:
            for _ in range(LARGE // 2**16):
                yield bytes(2**16)
        finally:
            self.ended.set()

    def turn(self) -> None:
        wasyncore.loop(timeout=0.01, use_poll=True, map=self.connections, count=1)

    def channels(self) -> list[HTTPChannel]:
        return [each for each in self.connections.values() if isinstance(each, HTTPChannel)]


@pytest.mark.parametrize("buffered", [2**20, 2 * LARGE], ids=["the thread waits", "the response is complete"])
def test_connection_whose_client_reads_nothing_is_closed(monkeypatch: pytest.MonkeyPatch, buffered: int) -> None:
    monkeypatch.setattr(buffering_worker, "ANSWER_IN_BUFFER", buffered)
    server = Server(buffered)
    with socket.create_connection(("127.0.0.1", int(server.server.effective_port))) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

        def waits() -> bool:
            """Whether the response is complete, or its thread waits for the client."""
            server.turn()
            return any(each.total_outbufs_len > min(buffered, LARGE // 4) for each in server.channels())

        wait_until(waits)
        if buffered > LARGE:
            wait_until(server.ended.is_set)
            wait_until(lambda: not server.channels()[0].requests)
        (channel,) = server.channels()
        hang_up_on_silent(server.connections)
        assert server.channels() == [channel]
        channel.last_activity -= buffering_worker.IDLE_S + 1
        server.server.maintenance(channel.last_activity + server.server.adj.channel_timeout + 1)
        server.turn()
        hang_up_on_silent(server.connections)
        assert server.channels() == []
        wait_until(server.ended.is_set)
    server.server.task_dispatcher.shutdown()
    server.server.close()
