"""Collects the events of the calls made in a block, for code that shows at once what they cost."""

from __future__ import annotations

import sys

from usage_billing.recording.event import Event
from usage_billing.recording.yield_safe import OpenBlock, YieldSafeVar

# An outer list gets the events of the inner ones too, so that it is what two of them have in common.
_collecting: YieldSafeVar[list[Event] | None] = YieldSafeVar(
    "usage_collecting", default=None, in_common=lambda _newer, older: older
)


def collect(*events: Event) -> None:
    """Add the events to the list of the innermost `collected()` block, if there is one."""
    if (collecting := _collecting.get(sys._getframe())) is not None:
        collecting.extend(events)


class collected:
    """Give a list that gets each event recorded inside, also by tasks and by threads started with a copied context.

    Events of a nested block reach the outer list when the nested block ends. All of them go to the outbox as well. In
    a generator, the block collects the calls of the generator and not those of its reader, as with `usage_context`.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._outer: list[Event] | None = None
        self._open: OpenBlock[list[Event] | None] | None = None

    def __enter__(self) -> list[Event]:
        """Begin to collect; return the list."""
        if self._open is not None:
            raise RuntimeError("This block is entered already: make another with collected().")
        frame = sys._getframe(1)
        self._events, self._outer = [], _collecting.get(frame)
        self._open = _collecting.open(self._events, frame)
        return self._events

    def __exit__(self, *_: object) -> None:
        """Stop collecting, and pass the events on to the outer list."""
        if self._open is not None:
            opened, self._open = self._open, None
            _collecting.close(opened)
            if self._outer is not None:
                self._outer.extend(self._events)
