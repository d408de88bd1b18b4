"""What becomes of a decision that nobody waits for any more."""

from __future__ import annotations

import asyncio
import threading
import time
from decimal import Decimal
from typing import Any

import anyio.to_thread
import httpx2
import pytest

from ai_clients import budget_check
from ai_clients.call import Call
from ai_clients.transport import record_calls
from ai_clients.usage import request_bounds
from usage_billing.recording import Attribution, admission
from usage_billing.recording.admission import MUST_WAIT, Admitted, MustWait, Planned, Refusal
from usage_billing.recording.event import Hold

HOLD = Hold(1, 1, 1, Decimal(1))
CALL = Planned(Attribution(), 0.0, "chat", "https://api.openai.com/v1/chat/completions", "m")


class Slow:
    """A guard whose database answers once `answers` is set."""

    def __init__(self) -> None:
        self.answers, self.is_asked = threading.Event(), threading.Event()
        self.free: list[Hold] = []

    def concerns(self, attribution: Attribution) -> bool:
        return True

    def admit(self, call: Planned, *, may_wait: bool) -> Admitted | MustWait:
        if not may_wait:
            return MUST_WAIT
        self.is_asked.set()
        assert self.answers.wait(20)
        return [HOLD]

    def recorded(self, holds: Admitted) -> None:
        raise AssertionError

    def released(self, holds: Admitted) -> None:
        self.free += holds

    async def asked(self) -> None:
        assert await anyio.to_thread.run_sync(self.is_asked.wait, 20)

    def wait_until_free(self) -> list[Hold]:
        until = time.monotonic() + 20
        while not self.free and time.monotonic() < until:
            time.sleep(0.01)
        return self.free


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    guard = Slow()
    monkeypatch.setattr(admission, "guard", guard)
    return guard


def test_task_that_is_cancelled_while_it_waits_leaves_no_hold(slow: Slow) -> None:
    """asyncio's own cancellation does not wait for the thread, unlike that of anyio."""

    async def main() -> None:
        task = asyncio.create_task(budget_check.ask_async(CALL))
        await slow.asked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        slow.answers.set()
        await asyncio.to_thread(slow.wait_until_free)

    asyncio.run(main())
    assert slow.free == [HOLD]


def test_call_that_waits_gets_the_decision(slow: Slow) -> None:
    slow.answers.set()
    assert asyncio.run(budget_check.ask_async(CALL)) == [HOLD]
    assert slow.free == []


class Stopping(Slow):
    """A guard that stops every call."""

    def admit(self, call: Planned, *, may_wait: bool) -> Refusal:  # type: ignore[override]
        return Refusal("no", {})


def sent(requests: list[httpx2.Request]) -> httpx2.Client:
    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, json={})

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    record_calls(client)
    return client


def fail(*_args: object) -> Any:
    raise RuntimeError("a bug")


def test_bug_in_the_estimate_reaches_no_caller(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_bounds, "bounds_of", fail)
    requests: list[httpx2.Request] = []
    assert sent(requests).post(CALL.url, json={"model": "m"}).status_code == 200
    assert len(requests) == 1


def test_bug_in_the_record_of_a_stopped_call_reaches_no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "guard", Stopping())
    monkeypatch.setattr(Call, "_event", fail)
    requests: list[httpx2.Request] = []
    assert sent(requests).post(CALL.url, json={"model": "m"}).status_code == 429
    assert requests == []
