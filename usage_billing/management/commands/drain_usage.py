"""`manage.py drain_usage [--follow]`: bring the outbox's events into the ledger."""

import os
import select
import signal
import sqlite3
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from django.core.management.base import CommandError
from django.db import close_old_connections, connections
from tqdm import tqdm

from usage_billing.conf import conf
from usage_billing.ledger import drain, drain_thread
from usage_billing.management.printable_command import PrintableCommand
from usage_billing.recording import quarantine
from usage_billing.recording.event import decode
from usage_billing.recording.outbox import Outbox

POLL_S = 0.2
"""How often `--follow` looks into an empty outbox."""
TAKE_OVER_S = 1.0
"""How often a second `--follow` looks whether the first is gone."""
LISTED = 1000


class Command(PrintableCommand):
    help = "Bring what waits in the outbox into the ledger; with --follow for good (one a machine, a second one waits)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--follow", action="store_true", help="go on until SIGTERM or SIGINT")
        parser.add_argument("--retry", action="store_true", help="first put back what was set aside")
        parser.add_argument("--list-rejected", action="store_true", help="only show what was set aside, and why")
        parser.add_argument("--recover", metavar="FILE", help="first bring back what can be read of a damaged outbox")
        parser.add_argument(
            "--stop-within",
            type=float,
            default=conf.DRAIN_STOP_S,
            metavar="SECONDS",
            help="after SIGTERM, go on draining for so long at most (default: USAGE_DRAIN_STOP_S, %(default)s)",
        )

    def handle(
        self,
        *args: Any,
        follow: bool,
        retry: bool,
        list_rejected: bool,
        recover: str | None,
        stop_within: float,
        **options: Any,
    ) -> None:
        outbox = Outbox(conf.OUTBOX_PATH)
        if list_rejected:
            self._list(outbox)
            return
        if recover is not None:
            self._recover(outbox, Path(recover))
        if retry:
            self.stdout.write(f"Put back {outbox.put_back()} events that had been set aside.")
        if follow:
            self._follow(outbox, stop_within)
        else:
            self._once(outbox)

    # ── Once ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _once(self, outbox: Outbox) -> None:
        drained = 0

        def show(total: int) -> bool:
            nonlocal drained
            drained = total
            bar.update(total - bar.n)
            return True

        try:
            waiting = outbox.backlog().events
            with (
                drain.exclusively(outbox.path),
                tqdm(total=waiting, unit=" event", disable=None, delay=2) as bar,
            ):
                drained = drain.drain_all(outbox, show)
                bar.update(drained - bar.n)
        except drain.DrainBusyError as busy:
            raise CommandError(f"{busy} It does this work already.") from busy
        except drain.DatabaseAwayError as away:
            raise CommandError(f"Drained {drained}; the rest waits safely in {outbox.path}: {away}") from away
        except (sqlite3.Error, OSError) as error:
            raise CommandError(f"Drained {drained}; {outbox.path} cannot be read: {error}") from error
        reject = outbox.backlog().rejected
        self.stdout.write(f"Drained {drained} events from {outbox.path}; {reject} are set aside.")

    def _list(self, outbox: Outbox) -> None:
        rows = outbox.list_rejected(LISTED)
        for id_, written_at, reason, body in rows:
            at = datetime.fromtimestamp(written_at, UTC)
            self.stdout.write(f"{id_}  {at:%Y-%m-%d %H:%M:%SZ}  {_described(body)}  {' '.join(reason.split())}")
        more = outbox.backlog().rejected - len(rows)
        self.stdout.write(
            f"{len(rows)} events are set aside{f', and {more} more' if more > 0 else ''}."
            + (" `manage.py drain_usage --retry` tries them again." if rows else "")
        )

    def _recover(self, outbox: Outbox, path: Path) -> None:
        try:
            bodies = quarantine.recovered(path)
        except (OSError, sqlite3.Error) as error:
            raise CommandError(f"{path} cannot be read: {error}") from error
        outbox.append(*bodies)
        self.stdout.write(f"Brought back {len(bodies)} events from {path}; those in the ledger already count once.")

    # ── For good ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _follow(self, outbox: Outbox, stop_within: float) -> None:
        is_waiting = False
        with _signals(stop_within) as stop:
            while not stop.requested:
                try:
                    with drain.exclusively(outbox.path):
                        is_waiting = False
                        self._say(f"Draining {outbox.path} until SIGTERM.")
                        self._drain(outbox, stop)
                except drain.DrainBusyError as busy:
                    if not is_waiting:
                        self._say(f"{busy} Waiting to take over from it.")
                    is_waiting = True
                    stop.wait(TAKE_OVER_S)
                except OSError as error:  # the lock's file cannot be opened
                    self.stderr.write(f"{error}; trying again in {drain_thread.LONGEST_PAUSE_S:.0f} s.")
                    stop.wait(drain_thread.LONGEST_PAUSE_S)

    def _drain(self, outbox: Outbox, stop: "_Stop") -> None:
        drained = 0
        try:
            for some in self._rounds(outbox, stop):
                drained += some
        except _OutOfTime as over:
            self.stderr.write(str(over))
        finally:
            stop.disarm()
        self._say(f"Stopped; drained {drained} events. {_left(outbox)}")

    def _rounds(self, outbox: Outbox, stop: "_Stop") -> Iterator[int]:
        """How many events each round drained; the last round begins when it is asked to stop."""
        pause, drained_at, is_last = POLL_S, time.monotonic(), False
        while not is_last:
            is_last = stop.requested
            drained = 0

            def go_on(so_far: int, is_last: bool = is_last) -> bool:
                nonlocal drained
                drained = so_far
                return is_last or not stop.requested

            close_old_connections()  # one that died in the meantime is no outage
            try:
                drained = drain.drain_all(outbox, go_on)
                pause = POLL_S
            except (drain.DatabaseAwayError, sqlite3.Error, OSError) as error:
                pause = min(drain_thread.LONGEST_PAUSE_S, 2 * (POLL_S if drained else pause))
                self.stderr.write(f"{error}" + ("" if is_last else f"; trying again in {pause:.1f} s."))
                connections.close_all()
            if drained:
                drained_at = time.monotonic()
            elif time.monotonic() - drained_at > drain_thread.IDLE_S:
                connections.close_all()  # an idle one would keep a database from stopping
            yield drained
            stop.wait(pause)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


class _OutOfTime(BaseException):
    """The time to stop in is over."""


class _Stop:
    """Whether SIGTERM or SIGINT has come; waiting for them costs nothing, and ends when they come.

    From then on there are `seconds`: after them, or at another such signal, `_OutOfTime` is raised out of what hangs.
    """

    def __init__(self, seconds: float) -> None:
        self.requested = False
        self._seconds = seconds
        self._read, self._write = os.pipe()

    def request(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise _OutOfTime("Asked to stop again: at once.")
        self.requested = True
        os.write(self._write, b".")
        # And again each second, should the way out hang too.
        signal.setitimer(signal.ITIMER_REAL, max(self._seconds, 0.001), 1)

    def ring(self, _number: int, _frame: FrameType | None) -> None:
        raise _OutOfTime(f"Not done in {self._seconds:g} s.")

    def wait(self, seconds: float) -> None:
        if not self.requested:
            select.select([self._read], [], [], seconds)

    def disarm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


@contextmanager
def _signals(seconds: float) -> Iterator[_Stop]:
    stop = _Stop(seconds)
    handlers = {signal.SIGTERM: stop.request, signal.SIGINT: stop.request, signal.SIGALRM: stop.ring}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stop
    finally:
        stop.disarm()
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


def _left(outbox: Outbox) -> str:
    try:
        backlog = outbox.backlog()
    except (sqlite3.Error, OSError) as error:
        return f"What is left cannot be told: {error}"
    left = f"{backlog.events} are left, safe in the outbox for the next start"
    return f"{left}; {backlog.rejected} are set aside." if backlog.rejected else f"{left}."


def _described(body: bytes) -> str:
    try:
        event = decode(body)
    except msgspec.DecodeError:
        return f"{len(body)} bytes that are no event"
    return f"{event.request_id}  org {event.attribution.org_id}  {event.model or 'no model'}"
