"""Collecting the events of the calls made in a block."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from tests.support.factories import event
from usage_billing.recording import collected, record
from usage_billing.recording.outbox import Outbox


def test_events_are_collected_and_kept_in_the_outbox_too(outbox: Outbox) -> None:
    first, second, later = event(), event(), event()
    with collected() as events:
        record(first)
        record(second)
    record(later)
    assert events == [first, second]
    assert outbox.backlog().events == 3


def test_nested_blocks_both_get_their_events() -> None:
    with collected() as outer:
        record(before := event())
        with collected() as inner:
            record(within := event())
        record(after := event())
    assert inner == [within]
    assert outer == [before, within, after]


def test_an_exception_inside_loses_none() -> None:
    made = event()

    def fail() -> None:
        with collected():
            record(made)
            raise LookupError

    with collected() as outer, pytest.raises(LookupError):
        fail()
    assert outer == [made]


def test_tasks_and_threads_with_a_copied_context_are_collected_others_are_not() -> None:
    task, copied, other = event(), event(), event()

    async def call() -> None:
        record(task)

    with collected() as events:
        asyncio.run(call())
        for thread in (
            threading.Thread(target=contextvars.copy_context().run, args=(record, copied)),
            threading.Thread(target=record, args=(other,)),
        ):
            thread.start()
            thread.join()
    assert events == [task, copied]


def test_events_that_the_outbox_cannot_keep_are_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Outbox, "append", fail)
    with collected() as events:
        record(made := event())
    assert events == [made]
