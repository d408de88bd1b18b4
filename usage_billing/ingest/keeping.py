"""Keeps the events of a sender who sends again what was not kept."""

from __future__ import annotations

from collections.abc import Sequence

from usage_billing.recording import Event, record, recorder
from usage_billing.recording.quota import OutboxFullError


class NotKeptError(Exception):
    """Raised where the outbox keeps nothing now. No event of the batch was taken; the sender tries again later."""


def keep(events: Sequence[Event]) -> None:
    """Keep the events in the outbox, all or none. Raises `NotKeptError`."""
    if not events:
        return
    try:
        # Asked first: what `record` refuses counts as lost, and these events will be sent again.
        recorder.quota().check(recorder.outbox())
    except OutboxFullError as full:
        raise NotKeptError(str(full)) from full
    if not record(*events):
        raise NotKeptError(recorder.health().error)
