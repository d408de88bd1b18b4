"""Remembers who sent what waits in a connection's send queue: whoever reconnects sends it, for other people.

The SDK queues messages while it has no connection. Its queue is private (`openai._send_queue.SendQueue`); its major
version is capped in pyproject.toml.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from openai._send_queue import SendQueue

from ai_clients.websockets.calls import ASKS, STEERS
from ai_clients.websockets.messages import type_of
from usage_billing.recording import Attribution, current_attribution, lost

_flushing: ContextVar[SendQueue | None] = ContextVar("flushing_send_queue", default=None)
_senders: WeakKeyDictionary[SendQueue, list[tuple[str | bytes, Attribution]]] = WeakKeyDictionary()


@functools.cache
def remember_senders() -> None:
    """Let all send queues remember the senders of the messages that matter. A second time changes nothing."""
    SendQueue.enqueue = _remembering(SendQueue.enqueue)  # type: ignore[method-assign]
    SendQueue.flush_sync = _flush(SendQueue.flush_sync)  # type: ignore[method-assign]
    SendQueue.flush_async = _flush_async(SendQueue.flush_async)  # type: ignore[method-assign]


def is_flushing() -> bool:
    """Whether the messages that are sent now come from a queue."""
    return _flushing.get() is not None


def sender_of(message: Any, opener: Attribution) -> Attribution | None:
    """The attribution of who queued a message that is being sent; None if it comes from its sender now.

    If nothing is known of a queued message, it is `opener`: the code that flushes the queue is somebody else.
    """
    if (queue := _flushing.get()) is None:
        return None
    for position, (queued, attribution) in enumerate(senders := _senders.get(queue, [])):
        if queued is message:
            del senders[position]
            return attribution
    return opener


def _remembering(enqueue: Callable[..., bool]) -> Callable[..., bool]:
    @functools.wraps(enqueue)
    def remembering(self: SendQueue, data: str | bytes, **options: Any) -> bool:
        # Before it is in the queue: another thread may flush at once.
        entry = _remember(self, data)
        admitted = False
        try:
            admitted = enqueue(self, data, **options)
        finally:
            if entry is not None and not admitted:
                _senders[self] = [each for each in _senders[self] if each is not entry]
        return admitted

    return remembering


def _remember(queue: SendQueue, data: str | bytes) -> tuple[str | bytes, Attribution] | None:
    try:
        if type_of(data) not in (ASKS, STEERS):
            return None
        entry = (data, current_attribution())
        _senders.setdefault(queue, []).append(entry)
    except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the message is queued in any case
        lost(error)
        return None
    return entry


def _flush(flush: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(flush)
    def flushing(self: SendQueue, *args: Any, **options: Any) -> None:
        token = _flushing.set(self)
        try:
            flush(self, *args, **options)
        finally:
            _flushing.reset(token)

    return flushing


def _flush_async(flush: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(flush)
    async def flushing(self: SendQueue, *args: Any, **options: Any) -> None:
        token = _flushing.set(self)
        try:
            await flush(self, *args, **options)
        finally:
            _flushing.reset(token)

    return flushing
