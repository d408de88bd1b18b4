"""`drain_usage --follow` and what was set aside: real processes that get real signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.support.factories import event
from usage_billing.models import UsageRecord
from usage_billing.recording import quarantine, record
from usage_billing.recording.outbox import Outbox


def following(database_url: str, outbox: Outbox, *options: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "DEBUG": "1",
        "USAGE_OUTBOX_PATH": str(outbox.path),
    }
    return subprocess.Popen(
        [sys.executable, "manage.py", "drain_usage", "--follow", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    """What it printed until it stopped by itself, without failing."""
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    return out


def wait_until(condition: Callable[[], object], seconds: float = 40) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def test_follow_drains_and_stops_when_it_is_asked_to(database_url: str, outbox: Outbox) -> None:
    record(event())
    process = following(database_url, outbox)
    wait_until(lambda: UsageRecord.objects.count() == 1)
    record(event())
    process.send_signal(signal.SIGTERM)
    assert "Stopped; drained 2 events. 0 are left" in said(process)
    assert UsageRecord.objects.count() == 2


@pytest.fixture
def silent_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_follow_stops_in_its_time_and_says_what_is_left(outbox: Outbox, silent_port: int) -> None:
    """A database that takes the connection and then is silent."""
    record(event())
    silent = f"postgres://nobody@127.0.0.1:{silent_port}/none?connect_timeout=600"
    process = following(silent, outbox, "--stop-within", "0.5")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Draining")
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert "1 are left, safe in the outbox" in said(process)
    assert outbox.backlog().events == 1


@pytest.mark.django_db
def test_list_set_aside_tells_each_event_and_why(outbox: Outbox, capsys: pytest.CaptureFixture[str]) -> None:
    record(event(request_id="chatcmpl-refused", org=7, model="gpt-4.1"))
    outbox.append(b"no event")
    for id_, _ in outbox.read(2):
        outbox.reject(id_, "DataError: too\nlong")
    call_command("drain_usage", "--list-rejected")
    printed = capsys.readouterr().out
    assert "chatcmpl-refused  org 7  gpt-4.1  DataError: too long" in printed
    assert "8 bytes that are no event" in printed
    assert "2 events are set aside." in printed


@pytest.mark.django_db
def test_salvage_brings_back_what_a_damaged_outbox_still_holds(
    outbox: Outbox, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        record(event())
    assert len(outbox.read(10)) == 3  # collected: no longer in the journal beside it
    kept = Path(f"{outbox.path}{quarantine.MARK}20261122T000000Z")
    outbox.checkpoint()
    outbox.close()
    outbox.path.rename(kept)
    call_command("drain_usage", "--recover", str(kept))
    assert "Brought back 3 events" in capsys.readouterr().out
    assert UsageRecord.objects.count() == 3
    with pytest.raises(CommandError, match="There is no file"):
        call_command("drain_usage", "--recover", str(kept) + "-not")
