"""The events of the calls made here and now, for whoever wants to say at once what they cost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from usage_billing.recording.event import Event

collecting: ContextVar[list[Event] | None] = ContextVar("usage_collecting", default=None)


@contextlib.contextmanager
def collected() -> Iterator[list[Event]]:
    """A list that gets each event recorded inside, also by tasks and by threads started with a copied context.

    Of those inside a nested one, the outer list gets them when that one ends. They go to the outbox all the same.
    """
    outer, events = collecting.get(), list[Event]()
    token = collecting.set(events)
    try:
        yield events
    finally:
        collecting.reset(token)
        if outer is not None:
            outer.extend(events)
