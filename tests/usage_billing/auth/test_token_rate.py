"""Each service token has a rate, which all processes hold together and which costs a request next to nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from pytest_django import Settings

from tests.support.configure import configure
from usage_billing.auth import token_rate
from usage_billing.auth.service_tokens import Program
from usage_billing.auth.token_rate import seconds_to_wait


class Clock:
    now = 6_000_000.0  # a minute begins

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Clock:
    configure(settings, API_RATE_TOKEN="4/min")
    clock = Clock()
    monkeypatch.setattr(token_rate, "clock", clock)
    return clock


def program(token_id: int = 1) -> Program:
    return Program(token_id, "gateway", None, "", frozenset({"ingest"}), (), None)


def asked(times: int, token_id: int = 1) -> list[int]:
    return [seconds_to_wait(program(token_id)) for _ in range(times)]


class Processes:
    """Several processes in one: each has counts of its own and the cache in common."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._counts: dict[str, dict[int, Any]] = {}
        self._monkeypatch = monkeypatch

    def enter(self, name: str) -> None:
        self._monkeypatch.setattr(token_rate, "_counts", self._counts.setdefault(name, {}))


def test_a_token_over_its_rate_waits_for_the_next_window(clock: Clock) -> None:
    assert asked(3) == [0, 0, 0]
    clock.now += 20.5
    assert asked(3) == [0, 40, 40]
    assert asked(1, token_id=2) == [0]
    clock.now += 39.5
    assert asked(5) == [0, 0, 0, 0, 60]


def test_processes_count_together(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    processes = Processes(monkeypatch)
    processes.enter("one")
    assert asked(2) == [0, 0]
    clock.now += token_rate.SHARED_EVERY_S
    assert asked(1) == [0]
    processes.enter("two")
    assert asked(3) == [0, 59 + 1, 60]  # the first request learns of three others
    clock.now += token_rate.SHARED_EVERY_S
    processes.enter("one")
    assert asked(2) == [0, 60]  # until it shares its count again it knows of its own three


def test_the_cache_is_asked_now_and_then_and_not_for_each_request(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, clock: Clock
) -> None:
    configure(settings, API_RATE_TOKEN="100000/min")
    added: list[int] = []
    incr = cache.incr

    def noted(key: str, delta: int) -> int:
        added.append(delta)
        return incr(key, delta)

    monkeypatch.setattr(cache, "incr", noted)
    for _ in range(100):
        asked(10)
        clock.now += token_rate.SHARED_EVERY_S / 64
    assert added == [1, 640]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Break the cache. Returns the keys that it is asked for."""
    asked: list[str] = []

    def fail(key: str, *_: Any, **__: Any) -> None:
        asked.append(key)
        raise ConnectionError("connection refused")

    monkeypatch.setattr(cache, "add", fail)
    return asked


def test_a_cache_that_fails_lets_requests_in_and_is_left_alone_for_a_while(
    broken: list[str], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert asked(3) == [0, 0, 0]
    clock.now += token_rate.AWAY_S - 1
    assert asked(2) == [0, 56]  # the process's own count holds
    assert len(broken) == 1
    assert "does not answer (connection refused)" in caplog.text
    clock.now += 60
    assert asked(1) == [0]
    assert len(broken) == 2


def test_without_a_rate_all_are_let_in(settings: Settings) -> None:
    configure(settings, API_RATE_TOKEN=None)
    assert asked(20) == [0] * 20


@pytest.mark.parametrize(("rate", "seconds"), [("1/sec", 1), ("1/hour", 1200), ("1/day", 48_000)])
def test_windows_are_of_a_second_an_hour_or_a_day(settings: Settings, clock: Clock, rate: str, seconds: int) -> None:
    configure(settings, API_RATE_TOKEN=rate)
    assert asked(2) == [0, seconds]
