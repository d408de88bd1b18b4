"""`manage.py drain_usage [--follow]`: bring the outbox's events into the ledger."""

import signal
import time
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from tqdm import tqdm

from usage_billing.recording import drain, drain_thread
from usage_billing.recording.outbox import Outbox

POLL_S = 0.2
"""How often `--follow` looks into an empty outbox."""


class Command(BaseCommand):
    help = "Bring what waits in the outbox into the ledger; with --follow for good (one a machine, a second one waits)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--follow", action="store_true", help="go on until SIGTERM or SIGINT")
        parser.add_argument("--retry", action="store_true", help="first put back what was set aside")

    def handle(self, *args: Any, follow: bool, retry: bool, **options: Any) -> None:
        outbox = Outbox(settings.USAGE_OUTBOX_PATH)
        if retry:
            self.stdout.write(f"Put back {outbox.put_back()} events that had been set aside.")
        if follow:
            self._follow(outbox)
        else:
            self._once(outbox)

    def _once(self, outbox: Outbox) -> None:
        waiting = outbox.backlog()
        drained = 0
        try:
            with (
                drain.exclusively(outbox.path),
                tqdm(total=waiting.events, unit=" event", disable=None, delay=2) as bar,
            ):
                while some := drain.drain_once(outbox):
                    drained += some
                    bar.update(some)
                outbox.checkpoint()
        except drain.Busy as busy:
            raise CommandError(f"{busy} It does this work already.") from busy
        except drain.Away as away:
            raise CommandError(f"Drained {drained}; the rest waits safely in {outbox.path}: {away}") from away
        set_aside = outbox.backlog().set_aside
        self.stdout.write(f"Drained {drained} events from {outbox.path}; {set_aside} are set aside.")

    def _follow(self, outbox: Outbox) -> None:
        stopping = False

        def stop(_number: int, _frame: FrameType | None) -> None:
            nonlocal stopping
            stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        self.stdout.write(f"Draining {outbox.path} until SIGTERM.")
        self.stdout.flush()
        total, pause = 0, POLL_S
        while not stopping:
            try:
                with drain.exclusively(outbox.path):
                    total += drain.drain_all(outbox)
                pause = POLL_S
            except drain.Busy:
                pause = drain_thread.IDLE_S
            except drain.Away as away:
                pause = min(drain_thread.LONGEST_PAUSE_S, pause * 2)
                self.stderr.write(f"{away}; trying again in {pause:.1f} s.")
                connections.close_all()
            _sleep(pause, lambda: stopping)
        self.stdout.write(f"Stopped; drained {total} events.")


def _sleep(seconds: float, cut_short: Any) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not cut_short():
        time.sleep(0.05)
