"""Reads the events in the outbox for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from usage_billing.recording.event import Event, decode
from usage_billing.recording.outbox import Outbox


class Recorded:
    """The events in the outbox at `path`, read by a separate `Outbox`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def bodies(self) -> list[bytes]:
        outbox = Outbox(self.path)
        try:
            return [body for _, body in outbox.read(10_000)]
        finally:
            outbox.close()

    def all(self) -> list[Event]:
        return [decode(body) for body in self.bodies()]

    def one(self) -> Event:
        """The only event; fails if there is another, or none."""
        (event,) = self.all()
        return event


def usage_of(event: Event) -> Any:
    """The usage block as Python values; None if there is none."""
    return msgspec.json.decode(event.usage)
