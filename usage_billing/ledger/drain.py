"""From the outbox to the ledger: in batches, by one process at a time, for as long as it takes."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from django.db import DataError, Error, IntegrityError

from usage_billing.recording import state_files
from usage_billing.recording.event import Event, decode
from usage_billing.recording.outbox import Outbox
from usage_billing.recording.private_files import make_folder, open_private

logger = logging.getLogger(__name__)

BATCH = 10_000
"""Events a transaction: the more of them fall on the same totals, the fewer writes of those."""


class DrainBusyError(Exception):
    """Another process is draining this outbox."""


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Be the only drain of the outbox at `path` on this machine. Raises `DrainBusyError` if another process is.

    A POSIX record lock: it ends with its process however that dies, and a forked child does not inherit it. Two drains
    would do no harm (each event counts once); they would do the work twice.
    """
    make_folder(path.parent)
    with open(f"{path}.drain", "w", opener=open_private) as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as held:
            raise DrainBusyError(f"Another process is draining {path}.") from held
        yield


class DatabaseAwayError(Exception):
    """The database takes no event at all now: it is down, not migrated, or too busy; or this machine is at its end."""


def drain_once(outbox: Outbox) -> int:
    """Hand one batch of the oldest events to the ledger and forget them. Returns how many left the outbox.

    An event that the ledger refuses becomes a dead letter. Raises `DatabaseAwayError` when the database takes none;
    all stay then.
    """
    rows = outbox.read(BATCH)
    if not rows:
        return 0
    events: list[tuple[int, Event]] = []
    for id_, body in rows:
        try:
            events.append((id_, decode(body)))
        except msgspec.DecodeError as error:
            _rejected(outbox, id_, error)
    if events:
        _drain(outbox, events)
    return len(rows)


def _drain(outbox: Outbox, events: list[tuple[int, Event]]) -> None:
    """All of them in one transaction; where one is refused, each half by itself, until it stands alone."""
    try:
        _to_ledger([event for _, event in events])
    except DatabaseAwayError:
        raise
    except Exception as error:  # noqa: BLE001 - one event that the ledger refuses must not hold up the others
        if len(events) == 1:
            _rejected(outbox, events[0][0], error)
        else:
            middle = len(events) // 2
            _drain(outbox, events[:middle])
            _drain(outbox, events[middle:])
    else:
        outbox.delete([id_ for id_, _ in events])


def drain_all(outbox: Outbox, go_on: Callable[[int], bool] = lambda _total: True) -> int:
    """Drain what waits, batch by batch, until `go_on` says no. Returns how many events left the outbox.

    What is written meanwhile is for the next time, so that it comes in batches too. `go_on` is asked before each batch,
    with how many have left so far. Raises `DatabaseAwayError`. What was done is noted beside the outbox, for all
    processes.
    """
    total, drained = 0, BATCH
    kept_apart = _ids_kept_apart()
    try:
        while drained == BATCH and go_on(total):
            try:
                drained = drain_once(outbox)
            finally:
                # Also while the database is away: else the log would grow with the outage.
                outbox.checkpoint()
            total += drained
    except Exception:
        _note(outbox, drained=total, kept_apart=_ids_kept_apart() - kept_apart, failing=True)
        raise
    _note(outbox, drained=total, kept_apart=_ids_kept_apart() - kept_apart, failing=False)
    return total


def _to_ledger(events: list[Event]) -> None:
    # Here, not above: clients may be imported before Django has loaded its models.
    from usage_billing.ledger import writer

    try:
        writer.add(events)
    except Error as error:
        if _is_refusal(error):
            raise
        raise DatabaseAwayError(f"{type(error).__name__}: {error}".strip()) from error
    except (OSError, MemoryError, ImportError) as error:
        raise DatabaseAwayError(f"{type(error).__name__}: {error}".strip()) from error  # no event is to blame


TOO_COMPLEX = "54"
"""SQLSTATE's class for what exceeds the server's limits, such as a row that is too large."""


def _is_refusal(error: Error) -> bool:
    """Whether the database refuses what it was given, and would do so again; otherwise it is its own state."""
    if isinstance(error, DataError | IntegrityError):
        return True
    return (getattr(error.__cause__, "sqlstate", None) or "").startswith(TOO_COMPLEX)


def _ids_kept_apart() -> int:
    from usage_billing.ledger import writer

    return writer.ids_kept_apart()


def _note(outbox: Outbox, *, drained: int, kept_apart: int, failing: bool) -> None:
    state = state_files.drain_state(outbox.path)

    def changed(values: state_files.Values) -> state_files.Values:
        now = time.time()
        return {
            "pid": os.getpid(),
            "drained": values.get("drained", 0) + drained,
            "ids_kept_apart": values.get("ids_kept_apart", 0) + kept_apart,
            "drained_at": now if drained else values.get("drained_at"),
            "failing": failing,
        }

    try:
        before = state.read()
        if drained or before.get("failing") != failing or before.get("pid") != os.getpid():
            state.change(changed)
        else:
            os.utime(state.path)
    except OSError as error:
        logger.debug("What the drain did could not be noted beside the outbox: %s", error)


def _rejected(outbox: Outbox, id_: int, error: Exception) -> None:
    reason = f"{type(error).__name__}: {error}"[:500]
    outbox.reject(id_, reason)
    logger.error("Event %d was set aside: %s. It is kept; `manage.py drain_usage --retry` tries it again.", id_, reason)
