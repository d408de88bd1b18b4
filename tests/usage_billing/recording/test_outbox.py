"""The outbox: an event that is in stays until it is taken out."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from usage_billing.recording import journal as journal_module
from usage_billing.recording import quarantine
from usage_billing.recording.journal import LOOK_S
from usage_billing.recording.outbox import Backlog, Outbox


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "new" / "box")
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


def drain(box: Outbox, limit: int = 10_000) -> list[bytes]:
    """Read and delete."""
    rows = box.read(limit)
    box.delete([id_ for id_, _ in rows])
    return [body for _, body in rows]


def test_deleted_events_are_gone_and_deleting_them_again_deletes_no_other(box: Outbox) -> None:
    box.append(b"old")
    ((old, _),) = box.read(1)
    box.delete([old])
    box.append(b"new")
    box.delete([old])
    assert bodies(box) == [b"new"]
    assert drain(box) == [b"new"]
    box.delete([old])
    assert bodies(box) == []


def test_events_of_one_append_can_be_drained_in_several_batches(box: Outbox) -> None:
    box.append(b"1", b"2", b"3")
    box.append(b"4")
    for left in (3, 2, 1, 0):
        (body,) = drain(box, 1)
        assert body == b"%d" % (4 - left)
        assert box.backlog().events == left
        assert len(bodies(Outbox(box.path))) == left


def test_rejected_events_block_nothing_and_can_be_put_back(box: Outbox) -> None:
    box.append(b"bad")
    box.append(b"good")
    box.reject(box.read(1)[0][0], "because")
    assert bodies(box) == [b"good"]
    assert box.backlog().rejected == 1
    ((number, written_at, reason, body),) = box.list_rejected(10)
    assert (number, reason, body) == (1, "because", b"bad")
    assert 0 <= time.time() - written_at < 60
    assert box.put_back() == 1
    assert bodies(box) == [b"bad", b"good"]
    assert (box.backlog().events, box.backlog().rejected, box.put_back()) == (2, 0, 0)


def test_a_drain_that_is_killed_while_it_rejects_leaves_one_dead_letter(
    box: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies between the dead letter and the new position; the next drain rejects the event again."""
    box.append(b"bad")
    box.append(b"worse")
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "delete", lambda self, ids: None)
        box.reject(box.read(1)[0][0], "because")
    for _ in range(2):
        box.reject(box.read(1)[0][0], "because")
    assert [letter.body for letter in box.list_rejected(10)] == [b"bad", b"worse"]
    assert (box.backlog().events, box.backlog().rejected) == (0, 2)


def test_a_dead_letter_that_comes_while_they_are_put_back_is_kept(box: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drain has opened the file of dead letters when `--retry` renames it."""
    box.append(b"first")
    box.append(b"second")
    box.reject(box.read(1)[0][0], "because")
    flock = fcntl.flock
    renamed: list[int] = []

    def late(file: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX and not renamed:
            renamed.append(Outbox(box.path).put_back())
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    box.reject(next(id_ for id_, body in box.read(2) if body == b"second"), "because")
    assert renamed == [1]
    assert bodies(box) == [b"first"]
    assert [letter.body for letter in box.list_rejected(10)] == [b"second"]


def test_backlog_tells_how_much_waits_and_since_when(box: Outbox) -> None:
    assert box.backlog() == Backlog(events=0, oldest_at=None, rejected=0, lost=0)
    before = time.time()
    box.append(b"a")
    after = time.time()
    box.append(b"b")
    state = box.backlog()
    assert state.events == 2
    assert state.oldest_at is not None
    assert before <= state.oldest_at <= after
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
    bytes_read, costs = count_bytes_read(monkeypatch), []
    for events in (1_000, 3_000):
        for _ in range(events):
            box.append(b"x" * 600)
        bytes_read.clear()
        box.backlog()
        costs.append(sum(bytes_read))
    assert len(journals(box)) == 1
    assert costs[0] == costs[1]


def test_a_journal_that_has_not_changed_is_read_once(box: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    box.append(*[b"x" * 600] * 1_000)
    bytes_read = count_bytes_read(monkeypatch)
    assert box.backlog().events == 1_000
    first_look = sum(bytes_read)
    bytes_read.clear()
    assert box.backlog().events == 1_000
    assert sum(bytes_read) < first_look / 100
    box.append(b"one more")
    assert box.backlog().events == 1_001
    box.delete([id_ for id_, _ in box.read(400)])
    assert box.backlog().events == 601


def test_dead_letters_are_counted_anew_after_they_were_put_back(box: Outbox) -> None:
    """The file of dead letters has the same name every time."""
    for round_ in (b"1", b"2"):
        box.append(round_)
        box.reject(box.read(1)[0][0], "because")
        assert box.backlog().rejected == 1
        assert box.put_back() == 1
        assert (box.backlog().rejected, box.backlog().events) == (0, 1)
        box.delete([id_ for id_, _ in box.read(1)])


def count_bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the bytes of each read."""
    pread, bytes_read = os.pread, list[int]()

    def counted(file: int, length: int, offset: int) -> bytes:
        content = pread(file, length, offset)
        bytes_read.append(len(content))
        return content

    monkeypatch.setattr(os, "pread", counted)
    return bytes_read


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


def test_a_forked_child_opens_a_journal_of_its_own_and_both_write_on(box: Outbox) -> None:
    box.append(b"parent before")
    assert bodies(box) == [b"parent before"]
    child = os.fork()
    if child == 0:
        try:
            box.append(b"child")
            assert box.backlog().events == 2
            assert len(journals(box)) == 2
        except BaseException:  # noqa: BLE001 - the child must not run on into the test suite
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    box.append(b"parent after")
    assert bodies(box) == [b"parent before", b"child", b"parent after"]


def test_a_fork_while_another_thread_is_inside_leaves_the_child_able_to_go_on(box: Outbox) -> None:
    held = box._journal._lock
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


def _delete(box: Outbox) -> None:
    for path in box.path.parent.iterdir():
        path.unlink()


def test_events_go_to_a_new_file_when_somebody_has_deleted_the_old_one(box: Outbox) -> None:
    """An event written into a deleted file would be lost without an error."""
    box.append(b"before")
    time.sleep(LOOK_S)
    box.append(b"looked")
    _delete(box)
    box.append(b"new")
    time.sleep(LOOK_S)
    box.append(b"newer")
    # Events written into the deleted file since the writer's last look are written again.
    assert bodies(Outbox(box.path)) == [b"looked", b"new", b"newer"]


def test_a_writer_that_ends_sees_that_its_file_was_deleted(box: Outbox) -> None:
    box.append(b"old")
    _delete(box)
    box.append(b"new")
    box.close()
    assert bodies(Outbox(box.path)) == [b"old", b"new"]


def test_deleted_events_are_written_again_when_the_disk_has_room(box: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
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
    reader = Outbox(box.path)
    stop = threading.Event()
    seen: list[bytes] = []

    def draining() -> None:
        while not stop.is_set() or reader.backlog().events:
            seen.extend(drain(reader, 50))

    thread = threading.Thread(target=draining)
    thread.start()
    for number in range(500):
        box.append(b"%d" % number)
    stop.set()
    thread.join()
    reader.close()
    assert seen == [b"%d" % number for number in range(500)]


# ── The journals ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_reading_changes_nothing(box: Outbox) -> None:
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


def test_the_journal_of_a_dead_process_is_removed_once_it_is_drained(box: Outbox) -> None:
    program = "import sys; from usage_billing.recording.outbox import Outbox; Outbox(sys.argv[1]).append(b'1', b'2')"
    subprocess.run([sys.executable, "-c", program, str(box.path)], check=True, timeout=30)
    assert len(journals(box)) == 1
    assert drain(box, 1) == [b"1"]
    assert bodies(box) == [b"2"]
    assert len(journals(box)) == 1
    assert drain(box) == [b"2"]
    assert bodies(box) == []
    assert journals(box) == []


def test_a_full_journal_is_followed_by_another(box: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "LARGEST_BYTES", 1000)
    drained = []
    for number in range(100):
        box.append(b"%0100d" % number)
        assert len(journals(box)) <= 4
        if number % 9 == 0:
            drained += drain(box)
    drained += drain(box)
    assert drained == [b"%0100d" % number for number in range(100)]
    assert drain(box) == []
    assert len(journals(box)) == 1


def test_two_drains_at_once_drain_each_event_and_leave_no_file(box: Outbox) -> None:
    """An event may be drained twice then, and counts once; none is missed."""
    program = (
        "import sys; from usage_billing.recording.outbox import Outbox\n"
        "box, writer = Outbox(sys.argv[1]), Outbox(sys.argv[1])\n"
        "for number in range(300):\n"
        "    writer.append(f'{sys.argv[2]} {number}'.encode())\n"
        "    if number % 7 == 0:\n"
        "        rows = box.read(5)\n"
        "        for _, body in rows: print(body.decode())\n"
        "        box.delete([id_ for id_, _ in rows])\n"
        "    if number % 50 == 0: writer.close()"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(box.path), name], stdout=subprocess.PIPE) for name in "abc"
    ]
    drained: set[bytes] = set()
    while any(process.poll() is None for process in processes):
        drained.update(drain(box, 5))
    for process in processes:
        drained.update(process.communicate()[0].splitlines())
        assert process.returncode == 0
    drained.update(drain(box))
    assert drained == {f"{name} {number}".encode() for name in "abc" for number in range(300)}
    assert drain(box) == []
    assert journals(box) == []


def test_the_oldest_events_of_a_large_backlog_are_read_without_the_rest(
    box: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "LARGEST_BYTES", 100_000)
    monkeypatch.setattr(journal_module, "_BLOCK_BYTES", 50_000)
    for number in range(2_000):
        box.append(b"%01000d" % number)
    pread = os.pread
    bytes_read: list[int] = []

    def counted(file: int, length: int, offset: int) -> bytes:
        content = pread(file, length, offset)
        bytes_read.append(len(content))
        return content

    monkeypatch.setattr(os, "pread", counted)
    assert [body for _, body in box.read(200)] == [b"%01000d" % number for number in range(200)]
    assert sum(bytes_read) < 600_000


def test_damage_becomes_a_dead_letter_once_and_hides_nothing(box: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    for body in (b"before", b"damaged", b"after"):
        box.append(body)
    (path,) = journals(box)
    path.write_bytes(path.read_bytes().replace(b"damaged", b"DAMAGED"))
    for _ in range(2):
        assert bodies(box) == [b"before", b"after"]
        assert box.backlog().rejected == 1
    ((_, _, reason, body),) = box.list_rejected(10)
    assert b"DAMAGED" in body
    assert reason == f"{len(body)} bytes of {path.name} are damaged"
    assert caplog.text.count(reason) == 1
    assert drain(box) == [b"before", b"after"]
    assert (bodies(box), box.backlog().events, box.backlog().rejected) == ([], 0, 1)


def test_a_damaged_position_costs_no_event(box: Outbox) -> None:
    box.append(b"1")
    box.append(b"2")
    assert drain(box, 1) == [b"1"]
    (path,) = journals(box)
    with path.open("r+b") as file:
        file.seek(12)
        file.write(b"\xff")
    assert bodies(box) == [b"1", b"2"]
    assert box.backlog().events == 2


@pytest.mark.parametrize("content", [b"This is no journal. " * 100, b"SQLite format 3\0" + bytes(4096), b"?"])
def test_a_file_that_is_no_journal_is_quarantined_and_kept(
    box: Outbox, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    box.append(b"ours")
    path = Path(f"{box.path}.1-ab{journal_module.SUFFIX}")
    path.write_bytes(content)
    assert box.backlog().events == 1
    assert bodies(box) == [b"ours"]
    (kept,) = quarantine.quarantined(box.path)
    assert (kept.read_bytes(), path.exists()) == (content, False)
    assert f"drain_usage --recover {kept}" in caplog.text
    assert bodies(box) == [b"ours"]


def test_events_of_a_quarantined_journal_can_be_recovered(box: Outbox) -> None:
    box.append(b"1")
    box.append(b"2", b"3")
    (path,) = journals(box)
    path.write_bytes(b"########" + path.read_bytes()[8:])
    box.append(b"while the file is damaged")
    time.sleep(LOOK_S)
    assert bodies(box) == []
    box.append(b"4")
    assert bodies(box)[-1] == b"4"
    (kept,) = quarantine.quarantined(box.path)
    assert quarantine.recovered(kept)[:3] == [b"1", b"2", b"3"]


def test_another_file_in_the_place_of_the_outbox_is_quarantined_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "box"
    path.write_bytes(b"SQLite format 3\0" + bytes(4096))
    box = Outbox(path)
    box.append(b"1")
    assert bodies(box) == [b"1"]
    (kept,) = quarantine.quarantined(path)
    assert kept.read_bytes().startswith(b"SQLite format 3")


def test_the_ledgers_id_is_kept_and_is_empty_before(box: Outbox) -> None:
    assert box.ledger_id == ""
    box.ledger_id = "one"
    box.append(b"1")
    assert Outbox(box.path).ledger_id == "one"


def test_an_outbox_keeps_an_id_of_its_own(box: Outbox, tmp_path: Path) -> None:
    made = box.id
    box.ledger_id = "one"
    assert Outbox(box.path).id == box.id == made
    assert len({made, Outbox(tmp_path / "other").id}) == 2
    assert box.ledger_id == "one"


def test_many_processes_that_open_a_new_outbox_at_once_quarantine_nothing(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from usage_billing.recording.outbox import Outbox\n"
        "while not os.path.exists(sys.argv[1] + '-go'): pass\n"
        "box = Outbox(sys.argv[1]); box.append(b'1'); box.backlog()"
    )
    path = tmp_path / "new" / "box"
    processes = [subprocess.Popen([sys.executable, "-c", program, str(path)]) for _ in range(6)]
    time.sleep(0.5)
    path.parent.mkdir()
    Path(f"{path}-go").touch()
    assert [process.wait(60) for process in processes] == [0] * 6
    assert quarantine.quarantined(path) == []
    assert Outbox(path).backlog().events == 6


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
