"""From the outbox to the ledger: in batches, by one process at a time, for as long as it takes."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from django.db import DataError, Error, IntegrityError

from usage_billing.recording.event import Event, decode
from usage_billing.recording.outbox import Outbox

logger = logging.getLogger(__name__)

BATCH = 1000
"""Events a transaction."""


class Busy(Exception):
    """Another process is draining this outbox."""


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Be the only drain of the outbox at `path` on this machine. Raises `Busy` if another process is.

    A POSIX record lock: it ends with its process however that dies, and a forked child does not inherit it. Two drains
    would do no harm (each event counts once); they would do the work twice.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.drain", "w") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as held:
            raise Busy(f"Another process is draining {path}.") from held
        yield


class Away(Exception):
    """The database takes no event at all now: it is down, not migrated, or too busy."""


def drain_once(outbox: Outbox) -> int:
    """Hand one batch of the oldest events to the ledger and forget them. Returns how many left the outbox.

    An event that the ledger refuses for itself is set aside. Raises `Away` when the database takes none; all stay then.
    """
    rows = outbox.read(BATCH)
    if not rows:
        return 0
    events: list[tuple[int, Event]] = []
    for id_, body in rows:
        try:
            events.append((id_, decode(body)))
        except msgspec.DecodeError as error:
            _set_aside(outbox, id_, error)
    try:
        _to_ledger([event for _, event in events])
    except Away:
        raise
    except Exception:  # noqa: BLE001 - one event that the ledger refuses must not hold up the others
        _drain_one_by_one(outbox, events)
    else:
        outbox.delete([id_ for id_, _ in events])
    return len(rows)


def _drain_one_by_one(outbox: Outbox, events: list[tuple[int, Event]]) -> None:
    for id_, event in events:
        try:
            _to_ledger([event])
        except Away:
            raise
        except Exception as error:  # noqa: BLE001 - it is kept, with its reason, and shown
            _set_aside(outbox, id_, error)
        else:
            outbox.delete([id_])


def drain_all(outbox: Outbox) -> int:
    """Drain all that waits now, then fold the outbox's log. Returns how many events left it. Raises `Away`.

    What comes meanwhile is left to gather: a batch of a few costs the ledger nearly what one of a hundred does.
    """
    total = drained = drain_once(outbox)
    while drained == BATCH:
        drained = drain_once(outbox)
        total += drained
    outbox.checkpoint()
    return total


def _to_ledger(events: list[Event]) -> None:
    # Here, not above: clients may be imported before Django has loaded its models.
    from usage_billing import ledger

    try:
        ledger.add(events)
    except (DataError, IntegrityError):
        raise
    except Error as error:
        raise Away(f"{type(error).__name__}: {error}".strip()) from error


def _set_aside(outbox: Outbox, id_: int, error: Exception) -> None:
    reason = f"{type(error).__name__}: {error}"[:500]
    outbox.set_aside(id_, reason)
    logger.error("Event %d was set aside: %s. It is kept; `manage.py drain_usage --retry` tries it again.", id_, reason)
