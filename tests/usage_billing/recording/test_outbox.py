"""The local file: once in, an event stays until it is taken out."""

from __future__ import annotations

import errno
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
from typing import Any

import pytest

from usage_billing.recording import journal as journal_module
from usage_billing.recording import outbox as outbox_module
from usage_billing.recording.journal import LOOK_S
from usage_billing.recording.outbox import Backlog, Outbox


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "new" / "box.sqlite3")
    yield box
    box.close()


def bodies(box: Outbox) -> list[bytes]:
    return [body for _, body in box.read(10_000)]


def journals(box: Outbox) -> list[Path]:
    return sorted(box.path.parent.glob(f"*{journal_module.SUFFIX}"))


def test_events_come_out_in_the_order_they_went_in(box: Outbox) -> None:
    for number in range(5):
        box.append(b"%d" % number)
    assert [body for _, body in box.read(3)] == [b"0", b"1", b"2"]
    assert bodies(box) == [b"0", b"1", b"2", b"3", b"4"]


def test_events_of_one_append_are_kept_together_or_not_at_all(box: Outbox) -> None:
    box.append(b"1", b"2", b"3")
    box.append()
    assert bodies(box) == [b"1", b"2", b"3"]
    with pytest.raises(TypeError):
        box.append(b"4", object())  # type: ignore[arg-type]
    assert bodies(box) == [b"1", b"2", b"3"]
    box.append(b"5", b"6" * 100_000)
    (journal,) = journals(box)
    os.truncate(journal, journal.stat().st_size - 1)
    box.close()
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
    box.reject(box.read(1)[0][0], "because")
    assert bodies(box) == [b"good"]
    assert box.backlog().rejected == 1
    assert box.put_back() == 1
    assert bodies(box) == [b"bad", b"good"]
    assert box.backlog().rejected == 0


def test_backlog_tells_how_much_waits_and_since_when(box: Outbox) -> None:
    assert box.backlog() == Backlog(events=0, oldest_at=None, rejected=0, lost=0)
    before = time.time()
    box.append(b"a")
    after = time.time()
    box.append(b"b")
    for _ in ("in the journal", "in the file"):
        state = box.backlog()
        assert state.events == 2
        assert state.oldest_at is not None
        assert before <= state.oldest_at <= after
        assert len(box.read(1)) == 1
    box.append(b"c")
    assert box.backlog() == Backlog(events=3, oldest_at=state.oldest_at, rejected=0, lost=0)


def test_losses_are_noted_by_reason(box: Outbox) -> None:
    box.note_losses({"disk full": 2, "locked": 1})
    box.note_losses({"disk full": 3})
    assert box.backlog().lost == 6


def test_the_backlog_of_journals_is_told_by_as_few_bytes_of_many_events_as_of_few(
    box: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/healthz` and `/metrics` tell it to strangers: it must not cost more when more waits."""
    pread = os.pread
    bytes_read: list[int] = []

    def counted(file: int, length: int, offset: int) -> bytes:
        content = pread(file, length, offset)
        bytes_read.append(len(content))
        return content

    monkeypatch.setattr(os, "pread", counted)
    costs = []
    for events in (1_000, 4_000):
        while box.backlog().events < events:
            for _ in range(1_000):
                box.append(b"x" * 600)
        bytes_read.clear()
        assert box.backlog().events == events
        costs.append(sum(bytes_read))
    assert len(journals(box)) == 1
    assert costs[0] == costs[1]


def test_the_backlog_of_the_file_is_told_without_a_look_at_each_event(box: Outbox) -> None:
    box.append(b"1", b"2", b"3")
    box.reject(box.read(3)[0][0], "because")
    assert box._connection is not None
    statements: list[str] = []
    box._connection.set_trace_callback(statements.append)
    assert (box.backlog().events, box.backlog().rejected) == (2, 1)
    box._connection.set_trace_callback(None)
    queries = [statement for statement in statements if statement.startswith("SELECT")]
    assert queries != []
    plans = [row[3] for query in queries for row in box._connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert [plan for plan in plans if plan.startswith(("SCAN event", "SCAN set_aside"))] == []


def test_the_backlog_is_right_while_another_process_collects(box: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event is in a journal or in the file at the one moment that is told: in neither, or in both, it never is."""
    monkeypatch.setattr(journal_module, "LARGEST_BYTES", 2_000)  # so that many journals are finished and removed
    program = (
        "import sys; from usage_billing.recording.outbox import Outbox\n"
        "box = Outbox(sys.argv[1])\n"
        "box.read(1); print('reading', flush=True)\n"
        "while len(box.read(3000)) < 3000: pass"
    )
    box.append(b"0" * 100)
    with subprocess.Popen([sys.executable, "-c", program, str(box.path)], stdout=subprocess.PIPE) as collecting:
        assert collecting.stdout is not None
        assert collecting.stdout.readline() == b"reading\n"
        try:
            for number in range(1, 3000):
                box.append(b"0" * 100)
                if number % 5 == 0:
                    assert box.backlog().events == number + 1
            assert collecting.wait(60) == 0
        finally:
            collecting.kill()
    assert box.backlog().events == 3000


def test_an_outbox_of_the_version_that_did_not_keep_count_is_counted(box: Outbox) -> None:
    """A process of that version may go on with it: what it adds and removes is counted as well."""
    box.append(b"makes the file")
    with sqlite3.connect(box.path) as older:
        assert older.execute("SELECT count(*) FROM sqlite_master WHERE name = 'backlog'").fetchone() == (0,)
        older.execute("INSERT INTO event (body, written_at) VALUES (?, 1.0), (?, 2.0)", (b"old", b"older"))
        older.execute("INSERT INTO set_aside VALUES (99, ?, 1.0, 'because')", (b"refused",))
        older.commit()
        assert (box.backlog().events, box.backlog().rejected) == (3, 1)
        older.execute("INSERT INTO event (body, written_at) VALUES (?, 3.0)", (b"from the older version",))
        older.execute("DELETE FROM event WHERE body = ?", (b"old",))
        older.execute("INSERT INTO set_aside VALUES (100, ?, 1.0, 'because')", (b"refused",))
        older.commit()
        assert (box.backlog().events, box.backlog().rejected) == (3, 2)
        older.execute("DELETE FROM event")
        older.execute("DELETE FROM set_aside")
    older.close()
    assert (box.backlog().events, box.backlog().rejected) == (1, 0)


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
    assert bodies(box) == [b"parent before"]
    child = os.fork()
    if child == 0:
        try:
            box.append(b"child")
            assert box.backlog().events == 2
            assert box._inherited != []
            assert len(journals(box)) == 2
        except BaseException:  # noqa: BLE001 - the child must not run on into the test suite
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    box.append(b"parent after")
    assert bodies(box) == [b"parent before", b"child", b"parent after"]


@pytest.mark.parametrize("lock", ["the journal's", "the connection's"])
def test_a_fork_while_another_thread_is_inside_leaves_the_child_able_to_go_on(box: Outbox, lock: str) -> None:
    held = box._journal._lock if lock == "the journal's" else box._lock
    inside, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with held:
            inside.set()
            forked.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        try:
            box.append(b"child")
            assert box.backlog().events == 1
        except BaseException:  # noqa: BLE001 - the child must not run on into the test suite
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    forked.set()
    thread.join()
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


def test_an_append_does_not_wait_while_another_process_holds_the_file(box: Outbox) -> None:
    box.append(b"before")
    assert bodies(box) == [b"before"]
    holder = sqlite3.connect(box.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    box.append(b"meanwhile")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        box.read(10)
    holder.execute("ROLLBACK")
    holder.close()
    assert bodies(box) == [b"before", b"meanwhile"]


def _delete(box: Outbox) -> None:
    for path in box.path.parent.iterdir():
        path.unlink()


def test_events_go_to_a_new_file_when_somebody_has_deleted_the_old_one(box: Outbox) -> None:
    """What is written into a deleted file would be lost without an error."""
    box.append(b"before")
    time.sleep(LOOK_S)
    box.append(b"looked")
    _delete(box)
    box.append(b"new")
    time.sleep(LOOK_S)
    box.append(b"newer")
    # What went into the deleted file since the writer's last look is here again.
    assert bodies(Outbox(box.path)) == [b"looked", b"new", b"newer"]


def test_a_writer_that_ends_sees_that_its_file_was_deleted(box: Outbox) -> None:
    box.append(b"old")
    _delete(box)
    box.append(b"new")
    box.close()
    assert bodies(Outbox(box.path)) == [b"old", b"new"]


def test_what_was_deleted_is_written_again_when_there_is_room(box: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    box.append(b"old")
    _delete(box)

    def full(*_args: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    time.sleep(LOOK_S)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="full"):
            box.append(b"lost")
    box.append(b"new")
    assert bodies(Outbox(box.path)) == [b"old", b"new"]


def test_a_clock_that_is_set_back_does_not_keep_the_writer_from_looking(
    box: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.append(b"old")
    _delete(box)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 90_000)
    box.append(b"new")
    assert sorted(bodies(Outbox(box.path))) == [b"new", b"old"]


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
    assert len(box.read(1)) == 1
    log = Path(f"{box.path}-wal")
    assert log.stat().st_size > 100_000
    box.checkpoint()
    assert log.stat().st_size == 0
    assert bodies(box) == [b"x" * 200_000]


# ── The journals ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_collected_is_not_collected_again(box: Outbox) -> None:
    box.append(b"1")
    assert bodies(box) == [b"1"]
    box.append(b"2")
    assert bodies(box) == [b"1", b"2"]
    assert bodies(Outbox(box.path)) == [b"1", b"2"]
    assert len(journals(box)) == 1


def test_events_of_several_journals_come_out_in_the_order_they_were_written(box: Outbox) -> None:
    """The answer of a background response is often fetched by another process than the one that began it."""
    writers = [Outbox(box.path) for _ in range(4)]
    for number in range(20):
        writers[number * 7 % 4].append(b"%d" % number)
    assert len(journals(box)) == 4
    assert bodies(box) == [b"%d" % number for number in range(20)]
    for writer in writers:
        writer.close()


def test_the_journal_of_a_dead_process_is_collected_and_removed(box: Outbox) -> None:
    program = "import sys; from usage_billing.recording.outbox import Outbox; Outbox(sys.argv[1]).append(b'1', b'2')"
    subprocess.run([sys.executable, "-c", program, str(box.path)], check=True, timeout=30)
    assert len(journals(box)) == 1
    assert bodies(box) == [b"1", b"2"]
    assert journals(box) == []
    assert bodies(box) == [b"1", b"2"]
    with box._connected() as connection:
        assert connection.execute("SELECT count(*) FROM journal").fetchone() == (0,)


def test_a_full_journal_is_followed_by_another(box: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "LARGEST_BYTES", 1000)
    for number in range(100):
        box.append(b"%0100d" % number)
        assert len(journals(box)) <= 3
        if number % 9 == 0:
            box.read(1)
    assert bodies(box) == [b"%0100d" % number for number in range(100)]
    assert len(journals(box)) == 1


def test_a_reader_that_dies_before_its_commit_has_collected_nothing(
    box: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.append(b"1")
    parse = journal_module.parse

    def cut(content: bytes, *, finished: bool) -> Any:
        parse(content, finished=finished)
        raise OSError("died here")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "parse", cut)
        with pytest.raises(OSError, match="died here"):
            box.read(1)
    assert bodies(box) == [b"1"]


def test_two_readers_at_once_collect_each_event_once(box: Outbox) -> None:
    program = (
        "import sys; from usage_billing.recording.outbox import Outbox\n"
        "box, writer = Outbox(sys.argv[1]), Outbox(sys.argv[1])\n"
        "for number in range(300):\n"
        "    writer.append(f'{sys.argv[2]} {number}'.encode())\n"
        "    if number % 7 == 0: box.read(1)\n"
        "    if number % 50 == 0: writer.close()"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, str(box.path), name]) for name in "abc"]
    while any(process.poll() is None for process in processes):
        box.read(1)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(bodies(box)) == sorted(f"{name} {number}".encode() for name in "abc" for number in range(300))
    assert journals(box) == []


def test_a_reader_that_comes_late_to_a_removed_journal_takes_nothing(box: Outbox) -> None:
    """It had the file open when another reader took all, removed it and forgot how far it was."""
    box.append(b"1")
    box.close()
    (path,) = journals(box)
    with journal_module.reading(path) as late:
        box.read(1)
        path.unlink()
        box.read(1)
        box._collect_from(late)
    assert bodies(box) == [b"1"]


def test_damage_is_set_aside_and_hides_nothing(box: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    for body in (b"before", b"damaged", b"after"):
        box.append(body)
    (path,) = journals(box)
    path.write_bytes(path.read_bytes().replace(b"damaged", b"DAMAGED"))
    assert bodies(box) == [b"before", b"after"]
    assert box.backlog().rejected == 1
    with box._connected() as connection:
        ((body, reason),) = connection.execute("SELECT body, reason FROM set_aside").fetchall()
    assert b"DAMAGED" in body
    assert reason == f"{len(body)} bytes of {path.name} are damaged"
    assert reason in caplog.text


def test_an_append_that_was_cut_off_is_told_and_not_kept(box: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    box.append(b"whole")
    box.append(b"cut off")
    (path,) = journals(box)
    os.truncate(path, path.stat().st_size - 3)
    assert bodies(box) == [b"whole"]
    assert caplog.text == ""  # it may still be under way
    box.close()
    assert bodies(box) == [b"whole"]
    assert f"{path.name} ends in half an event" in caplog.text
    assert box.backlog().rejected == 0


def test_an_outbox_of_the_version_without_journals_is_taken_over(box: Outbox) -> None:
    box.append(b"new")
    with sqlite3.connect(box.path) as older:
        older.execute("INSERT INTO event (body, written_at) VALUES (?, 1.0)", (b"old",))
        assert older.execute("SELECT count(*) FROM sqlite_master WHERE name = 'journal'").fetchone() == (0,)
    older.close()
    assert bodies(box) == [b"old", b"new"]


def test_a_disk_that_is_full_costs_what_did_not_fit_and_nothing_else(box: Outbox) -> None:
    """A real limit: the kernel writes a part of the frame that reaches over it, and none of those after it."""
    program = (
        "import resource, sys; from usage_billing.recording.outbox import Outbox\n"
        "box = Outbox(sys.argv[1]); box.append(b'first')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))\n"
        "kept = 0\n"
        "for number in range(10):\n"
        "    try: box.append(b'%01000d' % number)\n"
        "    except OSError: continue\n"
        "    print(number)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "box.append(b'last')"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(box.path)], check=True, timeout=30, capture_output=True, text=True
    )
    kept = [b"%01000d" % int(line) for line in run.stdout.split()]
    assert 0 < len(kept) < 10
    assert sorted(bodies(box)) == sorted([b"first", *kept, b"last"])
    assert box.backlog().rejected == 0
