"""The thread that works on requested repricings: in the web's process, or in `drain_usage --follow`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from tests.support import factories
from tests.support.configure import configure
from tests.support.factories import event, own_price
from usage_billing.ledger import repricing, repricing_requests, repricing_thread, writer
from usage_billing.ledger.repricing import Scope
from usage_billing.models import RepriceRun, UsageRecord
from usage_billing.recording.outbox import Outbox

NOVEMBER = Scope(date(2026, 11, 1), date(2026, 11, 30))


def requested() -> RepriceRun:
    """Request the repricing of an unpriced call that has a price now."""
    factories.rate()
    writer.add([event(org=factories.organization(), model="gpt-99")])
    own_price("gpt-99")
    return repricing_requests.request_run(NOVEMBER, by="anna", reason="a contract", at=timezone.now())


def test_thread_of_a_process_works_on_the_run(database_url: str, outbox: Outbox) -> None:
    """In a process of its own, so that the thread ends with it."""
    run = requested()
    program = (
        "import django; django.setup()\n"
        "from usage_billing.ledger import repricing_thread\n"
        "assert repricing_thread.is_in_this_process()\n"
        "repricing_thread.start(); repricing_thread._thread.join()"
    )
    subprocess.run([sys.executable, "-c", program], env=environment(database_url, outbox, "thread"), check=True)
    run.refresh_from_db()
    assert (run.state(timezone.now()), run.records_changed, run.problem) == ("finished", 1, "")


def test_follow_works_on_the_run(database_url: str, outbox: Outbox) -> None:
    run = requested()
    command = [sys.executable, "manage.py", "drain_usage", "--follow"]
    with subprocess.Popen(command, env=environment(database_url, outbox, "off"), stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: RepriceRun.objects.get(pk=run.pk).finished_at is not None)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    run.refresh_from_db()
    assert (run.records_seen, run.records_changed) == (1, 1)


def environment(database_url: str, outbox: Outbox, drain: str) -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": database_url,
        "USAGE_OUTBOX_PATH": str(outbox.path),
        "USAGE_DRAIN": drain,
    }


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("drain", "is_test_run", "expected"), [("thread", False, True), ("thread", True, False), ("off", False, False)]
)
def test_only_a_process_that_drains_works_on_runs(
    settings: Any, monkeypatch: pytest.MonkeyPatch, drain: str, is_test_run: bool, expected: bool
) -> None:
    configure(settings, DRAIN=drain)
    if not is_test_run:
        monkeypatch.delattr(mail, "outbox")
    assert repricing_thread.is_in_this_process() is expected


@pytest.mark.django_db
def test_run_that_another_process_continues_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    run = requested()

    def batches(*_arguments: Any) -> Iterator[Any]:
        for _ in range(2):
            yield date(2026, 11, 18), [UsageRecord.objects.get().pk], {UsageRecord.objects.get().org_id}
            RepriceRun.objects.filter(pk=run.pk).update(last_id=10**9)  # as another process does

    monkeypatch.setattr(repricing, "_batches", batches)
    repricing_thread.work()
    run.refresh_from_db()
    assert (run.finished_at, run.problem) == (None, "")


@pytest.mark.django_db
def test_nothing_waits_after_the_work() -> None:
    requested()
    assert repricing_thread.is_anything_waiting()
    repricing_thread.work()
    assert not repricing_thread.is_anything_waiting()
