"""The drain thread: it drains by itself, and there is one in each process that records."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from django.core import mail
from pytest_django import Settings

from tests.support.factories import event
from usage_billing.ledger import drain_thread
from usage_billing.models import UsageRecord
from usage_billing.recording import record
from usage_billing.recording.outbox import Outbox


def test_the_thread_drains_new_events_and_those_left_behind(database_url: str, outbox: Outbox) -> None:
    """In a process of its own, so that the thread ends with it."""
    record(event(request_id="left behind by another process"))
    program = (
        "import sys, django; django.setup()\n"
        "from tests.support.factories import event\n"
        "from usage_billing.ledger import drain_thread\n"
        "from usage_billing.recording import record\n"
        "drain_thread.wake(); sys.stdin.readline(); record(event()); sys.stdin.readline()\n"
        "assert drain_thread._thread.daemon"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": database_url,
        "USAGE_OUTBOX_PATH": str(outbox.path),
        "USAGE_DRAIN": "thread",
    }
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        wait_until(lambda: UsageRecord.objects.count() == 1)
        process.stdin.write(b"\n")
        process.stdin.flush()
        wait_until(lambda: UsageRecord.objects.count() == 2)
        wait_until(lambda: outbox.backlog().events == 0)
    assert process.returncode == 0


def test_wake_starts_no_thread_when_the_drain_is_a_process_of_its_own(settings: Settings) -> None:
    drain_thread._forget_thread()
    drain_thread.wake()
    assert drain_thread._thread is None


def test_wake_starts_no_thread_in_a_test_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's database is destroyed, and the events of a real outbox with it."""
    assert hasattr(mail, "outbox")
    started: list[bool] = []
    monkeypatch.setattr(drain_thread, "_start", lambda: started.append(True))
    monkeypatch.setattr(drain_thread, "_is_wanted", lambda: True)
    drain_thread._forget_thread()
    drain_thread.wake()
    assert started == []
    monkeypatch.delattr(mail, "outbox")
    drain_thread.wake()
    assert started == [True]


def test_a_forked_child_starts_a_thread_of_its_own(settings: Settings) -> None:
    drain_thread._thread = threading.current_thread()
    child = os.fork()
    if child == 0:
        os._exit(drain_thread._thread is not None)
    _, status = os.waitpid(child, 0)
    drain_thread._forget_thread()
    assert os.waitstatus_to_exitcode(status) == 0


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
