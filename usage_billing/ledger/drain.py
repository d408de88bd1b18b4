"""Moves events from the outbox to the ledger: in batches, by one process at a time, for as long as it takes."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.db import DataError, Error, IntegrityError

from usage_billing.ledger import counters, garbage
from usage_billing.recording import state_files
from usage_billing.recording.event import Event, decode
from usage_billing.recording.outbox import EventId, Outbox
from usage_billing.recording.private_files import make_folder, open_private

logger = logging.getLogger(__name__)

BATCH = 10_000
"""Events in a transaction. The more of them fall on the same rollup rows, the fewer writes these need."""


class DrainBusyError(Exception):
    """Another process is draining this outbox."""


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Be the only drain of the outbox at `path` on this machine. Raises `DrainBusyError` if another process is.

    A POSIX record lock: it ends with its process, however that dies, and a forked child does not inherit it. Two drains
    would do no harm (each event counts once), but they would do the work twice.
    """
    make_folder(path.parent)
    with open(f"{path}.drain", "w", opener=open_private) as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as held:
            raise DrainBusyError(f"Another process is draining {path}.") from held
        yield


class DatabaseAwayError(Exception):
    """The database takes no event at all now. It is down, not migrated or too busy, or this machine has no memory left.

    All events stay in the outbox.
    """


class OtherLedgerError(DatabaseAwayError):
    """The outbox belongs to another ledger than that of this database."""


def drain_once(outbox: Outbox) -> int:
    """Hand one batch of the oldest events to the ledger. Returns how many left the outbox.

    An event that the ledger refuses becomes a dead letter. Raises `DatabaseAwayError`, and `OSError` where the outbox
    cannot be read.
    """
    with garbage.not_collected():
        batch = outbox.read(BATCH)
        if batch:
            _check_ledger(outbox)
            _drain(outbox, batch)
        return len(batch)


def _drain(outbox: Outbox, batch: Sequence[tuple[EventId, bytes]]) -> None:
    """Drain all of them in one transaction. If one is refused, drain each half by itself, until it stands alone."""
    try:
        _to_ledger([decode(body) for _, body in batch])
    except DatabaseAwayError:
        raise
    except Exception as error:  # noqa: BLE001 - one event that the ledger refuses must not hold up the others
        if len(batch) == 1:
            _reject(outbox, batch[0][0], error)
        else:
            middle = len(batch) // 2
            _drain(outbox, batch[:middle])
            _drain(outbox, batch[middle:])
    else:
        outbox.delete([id_ for id_, _ in batch])


def drain_all(outbox: Outbox, go_on: Callable[[int], bool] = lambda _total: True) -> int:
    """Drain the backlog, batch by batch, until `go_on` says no. Returns how many events left the outbox.

    Events that are written meanwhile are left for the next cycle, so that they come in batches too. `go_on` is asked
    before each batch, with how many events have left so far. The result is noted beside the outbox, for all processes.
    Raises `DatabaseAwayError`, and `OSError` where the outbox cannot be read.
    """
    total, drained = 0, BATCH
    before = Counter(counters.counts)
    try:
        while drained == BATCH and go_on(total):
            drained = drain_once(outbox)
            total += drained
    except Exception:
        _note(outbox, drained=total, counted=counters.counts - before, failing=True)
        raise
    _note(outbox, drained=total, counted=counters.counts - before, failing=False)
    return total


def adopt(outbox: Outbox) -> str:
    """Let the outbox belong to the ledger of this database. Returns the ledger's id. Raises `DatabaseAwayError`."""
    outbox.ledger_id = ledger_id = _ledger_id()
    return ledger_id


def _check_ledger(outbox: Outbox) -> None:
    """Refuse to drain real calls into, say, the database of a test run, which is destroyed at its end.

    One query a batch: a process may be connected to another database than at its last batch. A new outbox belongs to
    the first ledger that it is drained to.
    """
    of_outbox = outbox.ledger_id
    of_database = _ledger_id()
    if not of_outbox:
        outbox.ledger_id = of_database
    elif of_outbox != of_database:
        raise OtherLedgerError(
            f"The outbox {outbox.path} belongs to ledger {of_outbox}, and this database is ledger {of_database}: no"
            " event was moved. Correct DATABASE_URL or USAGE_OUTBOX_PATH; or, if this database replaces that ledger,"
            " run `manage.py drain_usage --adopt`."
        )


def _ledger_id() -> str:
    # Here, not above, as in `_to_ledger`.
    from usage_billing.models import Installation
    from usage_billing.tenancy import roles

    with _away(), roles.applied(roles.AS_LEDGER):
        # Two drains may make the row at once: the first one wins.
        if (installation := Installation.objects.first()) is None:
            Installation.objects.bulk_create([Installation()], ignore_conflicts=True)
            installation = Installation.objects.get()
        return str(installation.ledger_id)


def _to_ledger(events: list[Event]) -> None:
    # Here, not above: clients may be imported before Django has loaded its models.
    from usage_billing.ledger import writer

    with _away():
        writer.add(events)


@contextmanager
def _away() -> Iterator[None]:
    """Turn errors that no event is to blame for into `DatabaseAwayError`."""
    try:
        yield
    except (Error, OSError, MemoryError, ImportError) as error:
        if isinstance(error, Error) and _is_refusal(error):
            raise
        raise DatabaseAwayError(f"{type(error).__name__}: {error}".strip()) from error


TOO_COMPLEX = "54"
"""SQLSTATE's class for a statement that exceeds the server's limits, such as a row that is too large."""


def _is_refusal(error: Error) -> bool:
    """Whether the database refuses the event itself, so that a retry would fail too."""
    if isinstance(error, DataError | IntegrityError):
        return True
    return (getattr(error.__cause__, "sqlstate", None) or "").startswith(TOO_COMPLEX)


def _note(outbox: Outbox, *, drained: int, counted: Counter[str], failing: bool) -> None:
    state = state_files.drain_state(outbox.path)

    def changed(values: state_files.Values) -> state_files.Values:
        now = time.time()
        return {
            "pid": os.getpid(),
            "drained": values.get("drained", 0) + drained,
            "counted": dict(Counter(values.get("counted", {})) + counted),
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
        logger.debug("The drain's state could not be noted beside the outbox: %s", error)


def _reject(outbox: Outbox, id_: EventId, error: Exception) -> None:
    reason = f"{type(error).__name__}: {error}"[:500]
    outbox.reject(id_, reason)
    logger.error("Event %s was rejected: %s. It is kept; `manage.py drain_usage --retry` tries it again.", id_, reason)
