"""Imports files of calls: row by row into the outbox, as all calls, and never beyond its quota.

A second run leaves out what the ledger has, so an interrupted one is simply run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from django.utils.translation import gettext

from usage_billing.conf import conf
from usage_billing.costing.costs import TOLD_COST
from usage_billing.ingest import events, events_taking, keeping
from usage_billing.ingest.events import EventError, Given
from usage_billing.ingest.events_taking import Sender, Taken
from usage_billing.ingest.files import litellm, openai_usage, own_export, reading
from usage_billing.ingest.files.rows import Maps, Reader, SkippedError
from usage_billing.ingest.keeping import NotKeptError
from usage_billing.recording import recorder

BATCH = 1_000
NEARLY_FULL = 0.8
"""The part of the outbox's quota that an import fills: the rest is for calls that nobody can make wait."""
LOOK_S = 0.5
PATIENCE_S = 300.0
"""How long an import waits for an outbox that does not get smaller."""


def _event(row: Mapping[str, Any], maps: Maps, now: datetime) -> Given:
    """Read an event of our own. In a file it needs a time: a second run would have another one."""
    if row.get("time") is None:
        raise EventError(gettext("In a file, an event needs a time."))
    given = events.read(row, source="import", now=now)
    return given._replace(org=maps.org(given.org) or given.org, user=maps.user(given.user) or given.user)


FORMATS: dict[str, Callable[[], Reader]] = {
    "events": lambda: _event,
    "litellm": lambda: litellm.call_of,
    "openai-usage": openai_usage.Reader,
    "export": lambda: own_export.call_of,
}
"""Name → a reader of the rows of one file."""


class Refused(NamedTuple):
    path: Path
    number: int
    reason: str


@dataclass
class Counts:
    """What became of the rows. told_usd: the sum of the costs that the taken ones told."""

    taken: int = 0
    known: int = 0
    skipped: int = 0
    refused: int = 0
    told_usd: Decimal = Decimal(0)


@dataclass
class Import:
    """One run. on_refused gets each refused row; on_progress how many bytes were read, and of which file."""

    format: str
    sender: Sender
    maps: Maps
    now: datetime
    is_dry: bool = False
    on_refused: Callable[[Refused], None] = lambda _refused: None
    on_progress: Callable[[Path, int], None] = lambda _path, _bytes: None
    on_waiting: Callable[[], None] = lambda: None
    counts: Counts = field(default_factory=Counts)

    def run(self, path: Path) -> None:
        """Import the file. Raises `OSError`, and `NotKeptError` for an outbox that stays full."""
        read = self._read(path)
        while batch := list(islice(read, BATCH)):
            sorted_out = events_taking.sort_out([call for _, call in batch], self.sender)
            taken = [each.event for each in sorted_out if each.event is not None]
            if not self.is_dry:
                self._keep(taken)
            for (row, _), each in zip(batch, sorted_out, strict=True):
                self._count(path, row, each)
            self.on_progress(path, batch[-1][0].position)

    def _read(self, path: Path) -> Iterator[tuple[reading.Row, Given | EventError]]:
        reader = FORMATS[self.format]()
        for row in reading.rows(path):
            try:
                if isinstance(row.value, EventError):
                    raise row.value
                yield row, self._of_somebody(reader(row.value, self.maps, self.now))
            except SkippedError:
                self.counts.skipped += 1
            except EventError as error:
                yield row, error

    def _of_somebody(self, given: Given) -> Given:
        if given.org is None and self.sender.default_org_id is None:
            raise EventError(
                gettext("The row is of no organisation. Give --org, or --map-org for the names in the file.")
            )
        return given

    def _count(self, path: Path, row: reading.Row, taken: Taken) -> None:
        if taken.reason:
            self.counts.refused += 1
            self.on_refused(Refused(path, row.number, taken.reason))
        elif taken.event is None:
            self.counts.known += 1
        else:
            self.counts.taken += 1
            self.counts.told_usd += Decimal(taken.event.response.get(TOLD_COST) or 0)

    def _keep(self, taken: list[Any]) -> None:
        """Keep the events, once there is room. Raises `NotKeptError`."""
        if taken and _is_nearly_full():
            self.on_waiting()
            _wait_for_room()
        keeping.keep(taken)


def _is_nearly_full() -> bool:
    outbox = recorder.outbox()
    # Before the first event there is no folder.
    return outbox.path.parent.exists() and outbox.is_larger_than(int(conf.OUTBOX_MAX_MB * 2**20 * NEARLY_FULL))


def _wait_for_room() -> None:
    """Wait as long as the outbox gets smaller. Raises `NotKeptError` if it does not."""
    fewest, until = recorder.outbox().backlog().events, time.monotonic() + PATIENCE_S
    while _is_nearly_full():
        waiting = recorder.outbox().backlog().events
        if waiting < fewest:
            fewest, until = waiting, time.monotonic() + PATIENCE_S
        if time.monotonic() > until:
            raise NotKeptError(gettext("the outbox is nearly full, and nothing drains it"))
        time.sleep(LOOK_S)
