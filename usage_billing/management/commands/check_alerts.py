"""`manage.py check_alerts [--follow] [--dry-run]`: evaluate alerts, and send what waits."""

import signal
import threading
from argparse import ArgumentParser
from collections import Counter
from types import FrameType
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils import timezone

from usage_billing.alerts import alert_thread, check_all, prune, send_due
from usage_billing.alerts.firings import Told
from usage_billing.alerts.messages import one_line
from usage_billing.management.printable_command import PrintableCommand
from usage_billing.models import AlertDelivery


class Command(PrintableCommand):
    help = (
        "Evaluate budgets and alert rules once, and send the messages that are due, or with --follow until SIGTERM. A"
        " process that drains does this too; several at once tell each alert once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--follow", action="store_true", help="go on until SIGTERM or SIGINT")
        parser.add_argument("--dry-run", action="store_true", help="only print what would be told")

    def handle(self, *args: Any, follow: bool, dry_run: bool, **options: Any) -> None:
        if follow and dry_run:
            raise CommandError("Give --follow or --dry-run, not both.")
        try:
            if follow:
                self._follow()
            else:
                self._once(dry_run=dry_run)
        except DatabaseError as error:
            raise CommandError(f"Alerts could not be evaluated: {str(error).strip()}") from error

    def _once(self, *, dry_run: bool) -> None:
        told = check_all(timezone.now(), dry_run=dry_run)
        self._print(told)
        if dry_run:
            self.stdout.write(f"{len(told)} alerts would be told. Nothing was changed or sent.")
            return
        prune(timezone.now())
        states: Counter[str] = Counter()
        while tried := send_due():
            states.update(each.state for each in tried)
            for each in tried:
                if each.problem:
                    self.stderr.write(f"Delivery {each.pk} to channel {each.channel_id or 'an owner'}: {each.problem}")
        again, failed = states[AlertDelivery.State.WAITING], states[AlertDelivery.State.FAILED]
        self.stdout.write(
            f"{len(told)} alerts; sent {states[AlertDelivery.State.SENT]} messages, {again} are tried again later,"
            f" {failed} are given up."
        )
        if failed:
            raise CommandError("Some messages were given up. Correct their channels.")

    def _follow(self) -> None:
        """Evaluate and send until a signal; what has begun is finished."""
        stopping = threading.Event()

        def stop(number: int, _frame: FrameType | None) -> None:
            stopping.set()
            signal.signal(number, signal.SIG_DFL)

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        self._say("Evaluating alerts until SIGTERM.")
        try:
            alert_thread.work(stopping.wait, self._print)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        self._say("Stopped. What waits is sent by the next process that evaluates alerts.")

    def _print(self, told: list[Told]) -> None:
        for each in told:
            value = "unknown" if each.value is None else f"{each.value.normalize():f}"
            bound = "" if each.bound is None else f" (bound {each.bound.normalize():f})"
            what = one_line(f"{each.name} {each.key}")
            self._say(f"{each.event.value}: {what}: {value}{bound}, {each.deliveries} messages")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
