"""`manage.py drain_usage [--follow]`: move the outbox's events to the ledger."""

import signal
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from django.core.management.base import CommandError
from django.db import DatabaseError, close_old_connections, connections
from tqdm import tqdm

from usage_billing.alerts import alert_thread
from usage_billing.budgets import chores
from usage_billing.conf import conf
from usage_billing.ledger import drain, drain_thread, repricing_thread
from usage_billing.management.printable_command import PrintableCommand
from usage_billing.recording import quarantine
from usage_billing.recording.event import decode
from usage_billing.recording.outbox import Outbox

POLL_S = 0.2
"""How often `--follow` looks into an empty outbox."""
LOOK_FOR_RUNS_S = 10.0
"""How often `--follow` looks whether a person has requested a repricing in the admin."""
TAKE_OVER_S = 1.0
"""How often a second `--follow` looks whether the first has ended."""
LISTED = 1000
"""The most dead letters that `--list-rejected` prints."""
RECOVERED_AT_ONCE = 1000
"""Recovered events in one append: each append is kept in memory as a whole."""


class Command(PrintableCommand):
    help = (
        "Move the events in the outbox to the ledger, once, or with --follow until SIGTERM. One process a machine"
        " drains; a second --follow waits until the first has ended. It may be killed at any moment: each event counts"
        " once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--follow", action="store_true", help="go on until SIGTERM or SIGINT")
        parser.add_argument("--retry", action="store_true", help="first put the rejected events back into the outbox")
        parser.add_argument("--list-rejected", action="store_true", help="only list the rejected events, and why")
        parser.add_argument("--recover", metavar="FILE", help="first bring back the events in a quarantined file")
        parser.add_argument(
            "--adopt",
            action="store_true",
            help="first let the outbox belong to this database; needed once after the database was replaced",
        )

    def handle(
        self,
        *args: Any,
        follow: bool,
        retry: bool,
        list_rejected: bool,
        recover: str | None,
        adopt: bool,
        **options: Any,
    ) -> None:
        outbox = Outbox(conf.OUTBOX_PATH)
        if list_rejected:
            self._list(outbox)
            return
        if adopt:
            self._adopt(outbox)
        if recover is not None:
            self._recover(outbox, Path(recover))
        if retry:
            self.stdout.write(f"Put {outbox.put_back()} rejected events back into the outbox.")
        if follow:
            self._follow(outbox)
        else:
            self._once(outbox)

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
            chores.release_leases(outbox)
        except drain.DrainBusyError as busy:
            raise CommandError(f"{busy} It does this work already.") from busy
        except drain.DatabaseAwayError as away:
            raise CommandError(f"Drained {drained}; the rest waits safely in {outbox.path}: {away}") from away
        except OSError as error:
            raise CommandError(f"Drained {drained}; {outbox.path} cannot be read: {error}") from error
        self.stdout.write(f"Drained {drained} events from {outbox.path}; {outbox.backlog().rejected} are rejected.")

    def _list(self, outbox: Outbox) -> None:
        letters = outbox.list_rejected(LISTED)
        for letter in letters:
            at = datetime.fromtimestamp(letter.written_at, UTC)
            reason = " ".join(letter.reason.split())
            self.stdout.write(f"{letter.number}  {at:%Y-%m-%d %H:%M:%SZ}  {_described(letter.body)}  {reason}")
        more = outbox.backlog().rejected - len(letters)
        self.stdout.write(
            f"{len(letters)} events are rejected{f', and {more} more' if more > 0 else ''}."
            + (" `manage.py drain_usage --retry` tries them again." if letters else "")
        )

    def _adopt(self, outbox: Outbox) -> None:
        before = outbox.ledger_id
        try:
            now = drain.adopt(outbox)
        except (drain.DatabaseAwayError, OSError) as error:
            raise CommandError(f"{outbox.path} still belongs to ledger {before or 'none'}: {error}") from error
        self.stdout.write(f"{outbox.path} belongs to ledger {now} from now on; before: {before or 'none'}.")

    def _recover(self, outbox: Outbox, path: Path) -> None:
        try:
            bodies = quarantine.recovered(path)
            for start in range(0, len(bodies), RECOVERED_AT_ONCE):
                outbox.append(*bodies[start : start + RECOVERED_AT_ONCE])
        except OSError as error:
            raise CommandError(f"{path} cannot be recovered: {error}") from error
        if not bodies:
            raise CommandError(f"{path} holds no event that can be read. The file stays.")
        self.stdout.write(f"Recovered {len(bodies)} events from {path}; those in the ledger already count once.")

    def _follow(self, outbox: Outbox) -> None:
        """Drain until SIGTERM or SIGINT.

        1. Wait until no other process drains.
        2. Drain the backlog, batch by batch.
        3. After an error, pause, ever longer.
        4. Start the thread of alerts, and that of a repricing that a person has requested; publish the stop budgets.
        5. Close a connection that is idle.
        6. Sleep, and go back to 2. After a signal, drain one batch more and end.

        A batch that hangs is not interrupted: a second signal, or the process supervisor, kills the process.
        """
        self._is_stopping = False
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        is_waiting = False
        try:
            while not self._is_stopping:
                try:
                    with drain.exclusively(outbox.path):
                        self._say(f"Draining {outbox.path} until SIGTERM.")
                        drained = self._drain(outbox)
                    self._say(f"Stopped; drained {drained} events. {_left(outbox)}")
                except drain.DrainBusyError as busy:
                    if not is_waiting:
                        self._say(f"{busy} Waiting to take over from it.")
                    is_waiting = True
                    self._sleep(TAKE_OVER_S)
                except OSError as error:  # the lock's file cannot be opened
                    self.stderr.write(f"{error}; trying again in {drain_thread.LONGEST_PAUSE_S:.0f} s.")
                    self._sleep(drain_thread.LONGEST_PAUSE_S)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _drain(self, outbox: Outbox) -> int:
        """Drain in cycles; the last one begins when a stop is requested. Returns how many events left the outbox."""
        total, pause, idle_s, is_last = 0, POLL_S, 0.0, False
        look_at = time.monotonic()
        while not is_last:
            is_last, drained = self._is_stopping, 0

            def go_on(so_far: int) -> bool:
                nonlocal drained
                drained = so_far
                return so_far == 0 or not self._is_stopping

            close_old_connections()  # one that died in the meantime is no outage
            try:
                drained = drain.drain_all(outbox, go_on)
                pause = POLL_S
                if time.monotonic() >= look_at and not is_last:
                    look_at = time.monotonic() + LOOK_FOR_RUNS_S
                    alert_thread.start()
                    chores.run()
                    self._start_requested_repricing()
            except (drain.DatabaseAwayError, OSError) as error:
                pause = min(drain_thread.LONGEST_PAUSE_S, 2 * (POLL_S if drained else pause))
                self.stderr.write(f"{error}" + ("" if is_last else f"; trying again in {pause:.1f} s."))
                connections.close_all()
            total += drained
            idle_s = 0.0 if drained else idle_s + pause
            if idle_s > drain_thread.IDLE_S:
                connections.close_all()  # an idle one would keep a database from stopping
            self._sleep(pause)
        return total

    def _start_requested_repricing(self) -> None:
        try:
            if repricing_thread.is_anything_waiting():
                repricing_thread.start()
        except DatabaseError as error:
            self.stderr.write(f"Requested repricings wait: {str(error).strip()}")
            connections.close_all()

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._is_stopping = True
        signal.signal(number, signal.SIG_DFL)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._is_stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_S))

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _left(outbox: Outbox) -> str:
    try:
        backlog = outbox.backlog()
    except OSError as error:
        return f"The outbox cannot be read: {error}"
    left = f"{backlog.events} are left, safe in the outbox for the next start"
    return f"{left}; {backlog.rejected} are rejected." if backlog.rejected else f"{left}."


def _described(body: bytes) -> str:
    try:
        event = decode(body)
    except msgspec.DecodeError:
        return f"{len(body)} bytes that are no event"
    return f"{event.request_id}  org {event.attribution.org_id}  {event.model or 'no model'}"
