"""Collects the events of the calls made in a block, for code that shows at once what they cost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from usage_billing.recording.event import Event

collecting: ContextVar[list[Event] | None] = ContextVar("usage_collecting", default=None)


@contextlib.contextmanager
def collected() -> Iterator[list[Event]]:
    """Yield a list that gets each event recorded inside, also by tasks and by threads started with a copied context.

    Events of a nested block reach the outer list when the nested block ends. All of them go to the outbox as well.
    """
    outer, events = collecting.get(), list[Event]()
    token = collecting.set(events)
    try:
        yield events
    finally:
        collecting.reset(token)
        if outer is not None:
            outer.extend(events)
