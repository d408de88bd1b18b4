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
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import close_old_connections, connections
from tqdm import tqdm

from usage_billing.recording import damaged, drain, drain_thread
from usage_billing.recording.event import decode
from usage_billing.recording.outbox import Outbox

POLL_S = 0.2
"""How often `--follow` looks into an empty outbox."""
TAKE_OVER_S = 1.0
"""How often a second `--follow` looks whether the first is gone."""
LISTED = 1000


class Command(BaseCommand):
    help = "Bring what waits in the outbox into the ledger; with --follow for good (one a machine, a second one waits)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--follow", action="store_true", help="go on until SIGTERM or SIGINT")
        parser.add_argument("--retry", action="store_true", help="first put back what was set aside")
        parser.add_argument("--list-set-aside", action="store_true", help="only show what was set aside, and why")
        parser.add_argument("--salvage", metavar="FILE", help="first bring back what can be read of a damaged outbox")
        parser.add_argument(
            "--stop-within",
            type=float,
            default=settings.USAGE_DRAIN_STOP_S,
            metavar="SECONDS",
            help="after SIGTERM, go on draining for so long at most (default: USAGE_DRAIN_STOP_S, %(default)s)",
        )

    def handle(
        self,
        *args: Any,
        follow: bool,
        retry: bool,
        list_set_aside: bool,
        salvage: str | None,
        stop_within: float,
        **options: Any,
    ) -> None:
        outbox = Outbox(settings.USAGE_OUTBOX_PATH)
        if list_set_aside:
            self._list(outbox)
            return
        if salvage is not None:
            self._salvage(outbox, Path(salvage))
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
                drain.drain_all(outbox, show)
        except drain.Busy as busy:
            raise CommandError(f"{busy} It does this work already.") from busy
        except drain.Away as away:
            raise CommandError(f"Drained {drained}; the rest waits safely in {outbox.path}: {away}") from away
        except (sqlite3.Error, OSError) as error:
            raise CommandError(f"Drained {drained}; {outbox.path} cannot be read: {error}") from error
        set_aside = outbox.backlog().set_aside
        self.stdout.write(f"Drained {drained} events from {outbox.path}; {set_aside} are set aside.")

    def _list(self, outbox: Outbox) -> None:
        rows = outbox.list_set_aside(LISTED)
        for id_, written_at, reason, body in rows:
            at = datetime.fromtimestamp(written_at, UTC)
            self.stdout.write(f"{id_}  {at:%Y-%m-%d %H:%M:%SZ}  {_described(body)}  {' '.join(reason.split())}")
        more = outbox.backlog().set_aside - len(rows)
        self.stdout.write(
            f"{len(rows)} events are set aside{f', and {more} more' if more > 0 else ''}."
            + (" `manage.py drain_usage --retry` tries them again." if rows else "")
        )

    def _salvage(self, outbox: Outbox, path: Path) -> None:
        try:
            bodies = damaged.salvaged(path)
        except (OSError, sqlite3.Error) as error:
            raise CommandError(f"{path} cannot be read: {error}") from error
        outbox.append(*bodies)
        self.stdout.write(f"Brought back {len(bodies)} events from {path}; those in the ledger already count once.")

    # ── For good ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _follow(self, outbox: Outbox, stop_within: float) -> None:
        is_waiting = False
        with _signals() as stop:
            while not stop.requested:
                try:
                    with drain.exclusively(outbox.path):
                        is_waiting = False
                        self._say(f"Draining {outbox.path} until SIGTERM.")
                        self._drain(outbox, stop, stop_within)
                except drain.Busy as busy:
                    if not is_waiting:
                        self._say(f"{busy} Waiting to take over from it.")
                    is_waiting = True
                    stop.wait(TAKE_OVER_S)
                except OSError as error:  # the lock's file cannot be opened
                    self.stderr.write(f"{error}; trying again in {drain_thread.LONGEST_PAUSE_S:.0f} s.")
                    stop.wait(drain_thread.LONGEST_PAUSE_S)

    def _drain(self, outbox: Outbox, stop: "_Stop", stop_within: float) -> None:
        total, pause, drained_at = 0, POLL_S, time.monotonic()
        while not stop.requested:
            drained = 0

            def go_on(so_far: int) -> bool:
                nonlocal drained
                drained = so_far
                return not stop.requested

            close_old_connections()  # one that died in the meantime is no outage
            try:
                drained = drain.drain_all(outbox, go_on)
                pause = POLL_S
            except (drain.Away, sqlite3.Error, OSError) as error:
                pause = min(drain_thread.LONGEST_PAUSE_S, 2 * (POLL_S if drained else pause))
                self.stderr.write(f"{error}; trying again in {pause:.1f} s.")
                connections.close_all()
            total += drained
            if drained:
                drained_at = time.monotonic()
            elif time.monotonic() - drained_at > drain_thread.IDLE_S:
                connections.close_all()  # an idle one would keep a database from stopping
            stop.wait(pause)
        total += self._last_round(outbox, stop, stop_within)
        self._say(f"Stopped; drained {total} events. {_left(outbox)}")

    def _last_round(self, outbox: Outbox, stop: "_Stop", seconds: float) -> int:
        """What callers wrote until now, as far as the time allows; a statement that hangs is given up."""
        until = time.monotonic() + seconds
        close_old_connections()
        try:
            with stop.alarm(seconds):
                return drain.drain_all(outbox, lambda _total: time.monotonic() < until)
        except (drain.Away, sqlite3.Error, OSError, _OutOfTime) as error:
            self.stderr.write(str(error))
            return 0

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


class _OutOfTime(BaseException):
    """The time to stop in is over."""


class _Stop:
    """Whether SIGTERM or SIGINT has come; waiting for them costs nothing, and ends when they come."""

    def __init__(self) -> None:
        self.requested = False
        self._is_last_round = False
        self._read, self._write = os.pipe()

    def request(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_last_round:
            raise _OutOfTime("Asked to stop again: at once.")
        self.requested = True
        os.write(self._write, b".")

    def wait(self, seconds: float) -> None:
        if not self.requested:
            select.select([self._read], [], [], seconds)

    @contextmanager
    def alarm(self, seconds: float) -> Iterator[None]:
        """Raises `_OutOfTime` when the seconds are over; and again each second, should the way out hang too."""

        def ring(_number: int, _frame: FrameType | None) -> None:
            raise _OutOfTime(f"Not done in {seconds:g} s.")

        signal.signal(signal.SIGALRM, ring)
        self._is_last_round = True
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), 1)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._is_last_round = False

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


@contextmanager
def _signals() -> Iterator[_Stop]:
    stop = _Stop()
    before = {number: signal.signal(number, stop.request) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


def _left(outbox: Outbox) -> str:
    try:
        backlog = outbox.backlog()
    except (sqlite3.Error, OSError) as error:
        return f"What is left cannot be told: {error}"
    left = f"{backlog.events} are left, safe in the outbox for the next start"
    return f"{left}; {backlog.set_aside} are set aside." if backlog.set_aside else f"{left}."


def _described(body: bytes) -> str:
    try:
        event = decode(body)
    except msgspec.DecodeError:
        return f"{len(body)} bytes that are no event"
    return f"{event.request_id}  org {event.attribution.org_id}  {event.model or 'no model'}"
