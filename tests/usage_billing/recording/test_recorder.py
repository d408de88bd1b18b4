"""The recorder: it never raises, and it counts what it cannot keep."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from pytest_django import Settings

from tests.support.configure import configure
from tests.support.factories import event
from usage_billing.conf import given
from usage_billing.recording import drain_signal, health, journal, lost, quarantine, quota, record, recorder
from usage_billing.recording.event import decode
from usage_billing.recording.outbox import Backlog, Outbox


def test_a_recorded_event_is_in_the_outbox_when_record_returns(outbox: Outbox) -> None:
    record(event(request_id="mine"))
    ((_, body),) = Outbox(outbox.path).read(10)
    assert b'"request_id":"mine"' in body
    assert health().lost == 0


@pytest.mark.parametrize("error", [OSError("no space"), TypeError("a bug")])
def test_an_event_that_cannot_be_written_is_counted_and_logged_once(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def broken(self: Outbox, body: bytes) -> None:
        raise error

    monkeypatch.setattr(Outbox, "append", broken)
    for _ in range(3):
        record(event())
    assert health().lost == 3
    assert health().error == f"{type(error).__name__}: {error}"
    assert [entry.message.split(";")[0] for entry in caplog.records] == [
        f"An AI call could not be recorded ({type(error).__name__}: {error})"
    ]


def test_losses_are_noted_at_once_for_all_processes(outbox: Outbox) -> None:
    lost(OSError("no space"))
    lost(OSError("no space"))
    assert Outbox(outbox.path).backlog().lost == 2
    assert (health().lost, health().error) == (2, "OSError: no space")
    record(event())
    assert (health().lost, health().error) == (2, "")


def test_losses_that_cannot_be_noted_are_not_forgotten(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Outbox, losses: Any) -> None:
        raise OSError("read-only")

    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "note_losses", broken)
        lost(OSError("no space"))
        record(event())
        assert (health().lost, outbox.backlog().lost) == (1, 0)
    record(event())
    lost(OSError("again"))
    assert (health().lost, outbox.backlog().lost) == (2, 2)


def test_a_forked_child_does_not_count_its_parents_losses_again(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Outbox, losses: Any) -> None:
        raise OSError("read-only")

    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "note_losses", broken)
        lost(OSError("no space"))
    child = os.fork()
    if child == 0:
        try:
            lost(OSError("the child's own"))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert outbox.backlog().lost == 1
    lost(OSError("no space"))
    assert outbox.backlog().lost == 3


def test_an_outbox_at_its_quota_keeps_its_events_and_takes_no_more(
    outbox: Outbox, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(quota, "CHECK_S", 0)
    configure(settings, OUTBOX_MAX_MB=1)
    padding = {str(number): "x" * 2000 for number in range(5)}
    for _ in range(80):
        record(event(response=padding, attribution={"metadata": padding}))
    state = health()
    assert state.backlog is not None
    kept = state.backlog.events
    assert 45 < kept < 60
    assert (state.lost, state.error) == (
        80 - kept,
        "OutboxFullError: the outbox has grown to 1 MB (USAGE_OUTBOX_MAX_MB)",
    )
    assert len([entry for entry in caplog.records if "OutboxFull" in entry.message]) == 1

    outbox.delete([id_ for id_, _ in outbox.read(30)])
    record(event())
    state = health()
    assert (state.error, state.lost) == ("", 80 - kept)


@pytest.mark.parametrize("moment", ["_is_ours", "_is_in_place"])
def test_an_event_that_the_garbage_collector_brings_inside_an_append_is_kept_too(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A dropped stream is closed by a collection, which may run while its thread is inside the outbox."""
    original = getattr(journal, moment)
    brought: list[str] = []

    def collecting(*arguments: Any) -> Any:
        if not brought:
            brought.append("once")
            record(event(request_id="brought by the collector"))
        return original(*arguments)

    monkeypatch.setattr(journal, moment, collecting)
    record(event(request_id="the caller's own"))
    record(event(request_id="the next"))
    assert brought == ["once"]
    ids = sorted(decode(body).request_id for _, body in Outbox(outbox.path).read(10))
    assert ids == ["brought by the collector", "the caller's own", "the next"]
    assert health().lost == 0


def test_an_event_that_the_garbage_collector_brings_inside_a_drain_is_kept_too(outbox: Outbox) -> None:
    draining = recorder.outbox()
    outbox.append(b"old")
    with quarantine.one_at_a_time(outbox.path), draining._journal._lock:
        lost(OSError("no space"))
        record(event())
    assert (outbox.backlog().events, outbox.backlog().lost) == (2, 1)
    record(event())
    assert (outbox.backlog().events, outbox.backlog().lost) == (3, 1)


def test_an_event_that_is_safe_is_not_lost_when_the_drain_cannot_be_woken(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def exiting() -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(drain_signal, "callbacks", [exiting])
    record(event())
    assert (outbox.backlog().events, health().lost) == (1, 0)
    assert "can't start new thread" in caplog.text


def test_a_reason_is_logged_once_also_after_its_losses_are_noted(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        lost(OSError("no space"))
        record(event())
    assert health().lost == 3
    assert len(caplog.records) == 1


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError("a bug in the host's exception")


@pytest.mark.parametrize("path", [None, 5, object(), "\0", "/proc/none/outbox"])
@pytest.mark.parametrize("error", [OSError("no space"), UnprintableError()])
def test_lost_never_raises_with_invalid_settings(
    caplog: pytest.LogCaptureFixture, path: object, error: Exception
) -> None:
    with override_settings(AI_COSTS={**given(), "OUTBOX_PATH": path}):
        lost(error)
        record(event())
        assert recorder._losses.total() == 2
    assert "could not be recorded" in caplog.text


def test_lost_never_raises_without_settings(caplog: pytest.LogCaptureFixture) -> None:
    recorder.outbox.cache_clear()
    recorder.quota.cache_clear()
    with override_settings(AI_COSTS={"OUTBOX_PATH": None, "OUTBOX_MAX_MB": None}):
        lost(OSError("no space"))
        record(event())
        assert recorder._losses.total() == 2
    assert "could not be recorded" in caplog.text


def test_lost_never_raises_before_django_is_configured() -> None:
    program = (
        "from usage_billing.recording import lost, record, Event, recorder\n"
        "lost(OSError('no space'))\n"
        "record(Event(request_id='1', started_at=2e9, duration_ms=1, flavour='chat', url='', status='succeeded'))\n"
        "print(recorder._losses.total())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True, timeout=60
    )
    assert run.stdout == "2\n"
    assert "2 AI calls could not be recorded by this process" in run.stderr


def test_lost_never_raises_when_the_hosts_logging_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug in a filter")

    monkeypatch.setattr(recorder.logger, "error", broken)
    lost(OSError("no space"))
    assert health().lost == 1


def test_health_of_an_outbox_that_cannot_be_opened(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("a file")
    configure(settings, OUTBOX_PATH=str(tmp_path / "in the way" / "outbox"))
    recorder.outbox.cache_clear()
    record(event())
    state = health()
    assert (state.backlog, state.lost) == (None, 1)
    assert state.error.startswith(("FileExistsError", "NotADirectoryError"))


def test_health_of_a_quiet_recorder() -> None:
    state = health()
    assert (state.backlog, state.lost, state.error, state.quarantined) == (
        Backlog(0, None, rejected=0, lost=0),
        0,
        "",
        0,
    )
    assert state.size > 0
