"""The threads of the server's worker. What it does with slow clients: tests/deployment."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from config.buffering_worker import Threads
from tests.reliability.world import wait_until


class Task:
    """Takes until it is told to end; waitress asks nothing else of it."""

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
