"""`drain_usage`: real processes that get real signals, rejected events, quarantined files, another ledger."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from django.core.management import CommandError, call_command

from tests.support.factories import event
from usage_billing.models import Installation, UsageRecord
from usage_billing.recording import journal, quarantine, record
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
    """Return the output of a process that stopped by itself, without failing."""
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


def test_a_drain_that_hangs_ends_at_the_second_signal_and_keeps_every_event(outbox: Outbox, silent_port: int) -> None:
    """A database that takes the connection and then is silent: a supervisor would kill the process."""
    record(event())
    silent = f"postgres://nobody@127.0.0.1:{silent_port}/none?connect_timeout=600"
    process = following(silent, outbox)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Draining")
    time.sleep(0.5)
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    assert process.wait(60) == -signal.SIGTERM
    process.stdout.close()
    assert outbox.backlog().events == 1


@pytest.mark.django_db
def test_list_rejected_prints_each_event_and_why(outbox: Outbox, capsys: pytest.CaptureFixture[str]) -> None:
    record(event(request_id="chatcmpl-refused", org=7, model="gpt-4.1"))
    outbox.append(b"no event")
    for id_, _ in outbox.read(2):
        outbox.reject(id_, "DataError: too\nlong")
    call_command("drain_usage", "--list-rejected")
    printed = capsys.readouterr().out
    assert "chatcmpl-refused  org 7  gpt-4.1  DataError: too long" in printed
    assert "8 bytes that are no event" in printed
    assert "2 events are rejected." in printed


@pytest.mark.django_db
def test_recover_brings_back_the_events_of_a_quarantined_file(
    outbox: Outbox, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        record(event())
    outbox.close()
    (path,) = journal.paths(outbox.path)
    path.write_bytes(b"########" + path.read_bytes()[8:])
    call_command("drain_usage")
    assert UsageRecord.objects.count() == 0
    (kept,) = quarantine.quarantined(outbox.path)
    call_command("drain_usage", "--recover", str(kept))
    assert "Recovered 3 events" in capsys.readouterr().out
    assert UsageRecord.objects.count() == 3
    with pytest.raises(CommandError, match="No such file"):
        call_command("drain_usage", "--recover", str(kept) + "-not")
    kept.write_bytes(b"nothing of ours")
    with pytest.raises(CommandError, match="holds no event"):
        call_command("drain_usage", "--recover", str(kept))
    assert kept.exists()


@pytest.mark.django_db
def test_a_drain_refuses_the_outbox_of_another_ledger_until_it_adopts_it(
    outbox: Outbox, capsys: pytest.CaptureFixture[str]
) -> None:
    outbox.ledger_id = "another"
    record(event())
    with pytest.raises(CommandError, match="drain_usage --adopt") as refused:
        call_command("drain_usage")
    assert str(outbox.path) in str(refused.value)
    assert (outbox.backlog().events, UsageRecord.objects.count()) == (1, 0)
    call_command("drain_usage", "--adopt")
    ledger_id = str(Installation.objects.get().ledger_id)
    assert f"belongs to ledger {ledger_id} from now on; before: another." in capsys.readouterr().out
    assert (outbox.backlog().events, UsageRecord.objects.count()) == (0, 1)
