"""The local file: once in, an event stays until it is taken out."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from usage_billing.recording import outbox as outbox_module
from usage_billing.recording.outbox import Backlog, Outbox


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "new" / "box.sqlite3")
    yield box
    box.close()


def bodies(box: Outbox) -> list[bytes]:
    return [body for _, body in box.read(10_000)]


def test_events_come_out_in_the_order_they_went_in(box: Outbox) -> None:
    for number in range(5):
        box.append(b"%d" % number)
    assert [body for _, body in box.read(3)] == [b"0", b"1", b"2"]
    assert bodies(box) == [b"0", b"1", b"2", b"3", b"4"]


def test_events_of_one_append_are_kept_together_or_not_at_all(box: Outbox) -> None:
    box.append(b"1", b"2", b"3")
    box.append()
    assert bodies(box) == [b"1", b"2", b"3"]
    with pytest.raises(sqlite3.Error):
        box.append(b"4", object())  # type: ignore[arg-type]
    assert bodies(box) == [b"1", b"2", b"3"]


def test_deleted_events_are_gone_and_their_ids_are_never_given_again(box: Outbox) -> None:
    """A drain that deletes what it has read must not hit an event that came when the table was empty."""
    box.append(b"old")
    ((old, _),) = box.read(1)
    box.delete([old])
    box.append(b"new")
    box.delete([old])
    assert bodies(box) == [b"new"]


def test_set_aside_events_block_nothing_and_can_be_put_back(box: Outbox) -> None:
    box.append(b"bad")
    box.append(b"good")
    box.set_aside(box.read(1)[0][0], "because")
    assert bodies(box) == [b"good"]
    assert box.backlog().set_aside == 1
    assert box.put_back() == 1
    assert bodies(box) == [b"good", b"bad"]
    assert box.backlog().set_aside == 0


def test_backlog_tells_how_much_waits_and_since_when(box: Outbox) -> None:
    assert box.backlog() == Backlog(events=0, oldest_at=None, set_aside=0, lost=0)
    before = time.time()
    box.append(b"a")
    after = time.time()
    box.append(b"b")
    state = box.backlog()
    assert state.events == 2
    assert state.oldest_at is not None
    assert before <= state.oldest_at <= after


def test_losses_are_noted_by_reason(box: Outbox) -> None:
    box.note_losses({"disk full": 2, "locked": 1})
    box.note_losses({"disk full": 3})
    assert box.backlog().lost == 6


def test_an_event_survives_the_kill_of_its_process(box: Outbox) -> None:
    program = (
        "import os, signal, sys; from usage_billing.recording.outbox import Outbox\n"
        "box = Outbox(sys.argv[1])\n"
        "for number in range(100): box.append(b'%d' % number)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(box.path)], check=False, timeout=30)
    assert killed.returncode == -signal.SIGKILL
    assert bodies(box) == [b"%d" % number for number in range(100)]


def test_a_forked_child_opens_the_file_anew_and_both_write_on(box: Outbox) -> None:
    box.append(b"parent before")
    child = os.fork()
    if child == 0:
        try:
            box.append(b"child")
            assert box._inherited != []
        except BaseException:  # noqa: BLE001 - the child must not run on into the test suite
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    box.append(b"parent after")
    assert bodies(box) == [b"parent before", b"child", b"parent after"]


def test_a_fork_while_another_thread_appends_leaves_the_child_able_to(box: Outbox) -> None:
    with box._lock:
        child = os.fork()
        if child == 0:
            try:
                box.append(b"child")
            except BaseException:  # noqa: BLE001 - the child must not run on into the test suite
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert bodies(box) == [b"child"]


def test_many_threads_of_many_processes_lose_nothing(box: Outbox) -> None:
    program = (
        "import sys; from concurrent.futures import ThreadPoolExecutor\n"
        "from usage_billing.recording.outbox import Outbox\n"
        "box = Outbox(sys.argv[1])\n"
        "with ThreadPoolExecutor(10) as threads:\n"
        "    list(threads.map(lambda n: box.append(f'{sys.argv[2]} {n}'.encode()), range(200)))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, str(box.path), name]) for name in "abc"]
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(lambda number: box.append(f"here {number}".encode()), range(200)))
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    expected = {f"{name} {number}".encode() for name in ("a", "b", "c", "here") for number in range(200)}
    assert sorted(bodies(box)) == sorted(expected)


def test_an_append_gives_up_soon_while_another_process_holds_the_file(box: Outbox) -> None:
    box.append(b"before")
    holder = sqlite3.connect(box.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        box.append(b"refused")
    holder.execute("ROLLBACK")
    holder.close()
    box.append(b"after")
    assert bodies(box) == [b"before", b"after"]


def test_events_go_to_a_new_file_when_somebody_has_deleted_the_old_one(box: Outbox) -> None:
    """What is written into a deleted file would be lost without an error."""
    box.append(b"old")
    for path in box.path.parent.iterdir():
        path.unlink()
    box.append(b"new")
    assert bodies(Outbox(box.path)) == [b"new"]


def test_appends_do_not_wait_for_a_reader_that_drains(box: Outbox) -> None:
    drain = Outbox(box.path)
    stop = threading.Event()
    seen: list[bytes] = []

    def draining() -> None:
        while not stop.is_set() or drain.backlog().events:
            rows = drain.read(50)
            seen.extend(body for _, body in rows)
            drain.delete([id_ for id_, _ in rows])
            drain.checkpoint()

    thread = threading.Thread(target=draining)
    thread.start()
    for number in range(500):
        box.append(b"%d" % number)
    stop.set()
    thread.join()
    drain.close()
    assert seen == [b"%d" % number for number in range(500)]


def test_a_large_log_is_cut(box: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "LARGE_LOG_BYTES", 100_000)
    box.append(b"x" * 200_000)
    log = Path(f"{box.path}-wal")
    assert log.stat().st_size > 100_000
    box.checkpoint()
    assert log.stat().st_size == 0
    assert bodies(box) == [b"x" * 200_000]
