"""The files that callers append to: whatever happens to one, what was written whole comes out, once and in order."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_billing.recording import journal as journal_module
from usage_billing.recording.journal import (
    SUFFIX,
    SUFFIXES,
    Damage,
    Entry,
    Writer,
    damages,
    entries,
    parse,
    paths,
    reading,
    waiting,
)

APPENDS = [(b"1",), (b"2" * 40, b"", b"3\n\0"), (b"4",)]


def written(directory: Path, appends: list[tuple[bytes, ...]]) -> bytes:
    writer = Writer(directory / "box")
    for bodies in appends:
        writer.append(bodies)
    writer.close()
    (path,) = paths(directory / "box")
    content = path.read_bytes()
    path.unlink()
    return content


def ends(content: bytes) -> list[int]:
    """Where each frame ends."""
    marks = [position for position in range(len(content)) if content.startswith(b"\xf5use", position)]
    return [*marks[1:], len(content)]


def bodies(found: list[Entry | Damage]) -> list[tuple[bytes, ...]]:
    return [tuple(entry.bodies) for entry in entries(found)]


@given(st.lists(st.lists(st.binary(max_size=50), min_size=1, max_size=4).map(tuple), min_size=1, max_size=5))
def test_what_was_appended_comes_out(appends: list[tuple[bytes, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        content = written(Path(directory), appends)
    found, taken = parse(content, finished=False)
    assert bodies(found) == appends
    assert taken == len(content)
    assert damages(found) == []


@pytest.mark.parametrize("finished", [True, False])
def test_cut_anywhere_gives_the_appends_before_the_cut(tmp_path: Path, finished: bool) -> None:
    content = written(tmp_path, APPENDS)
    for cut in range(len(content)):
        whole = sum(end <= cut for end in ends(content))
        found, taken = parse(content[:cut], finished=finished)
        assert bodies(found) == APPENDS[:whole]
        rest = cut - [0, *ends(content)][whole]
        if finished and rest:
            assert damages(found) == [Damage(content[cut - rest : cut], is_cut_short=True)]
        else:
            assert damages(found) == []
        assert taken == (cut if finished else cut - rest)


def test_what_was_not_whole_comes_out_when_it_is(tmp_path: Path) -> None:
    content = written(tmp_path, APPENDS)
    for cut in range(len(content)):
        before, taken = parse(content[:cut], finished=False)
        after, rest = parse(content[taken:], finished=True)
        assert bodies(before) + bodies(after) == APPENDS
        assert taken + rest == len(content)


@pytest.mark.parametrize("finished", [True, False])
def test_a_changed_byte_costs_its_own_append_alone(tmp_path: Path, finished: bool) -> None:
    content = written(tmp_path, APPENDS)
    last = len(APPENDS) - 1
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x55
        found, taken = parse(bytes(changed), finished=finished)
        hit = sum(end <= position for end in ends(content))
        assert bodies(found) == APPENDS[:hit] + APPENDS[hit + 1 :]
        if hit < last or finished:
            start, end = [0, *ends(content)][hit : hit + 2]
            assert [damage.content for damage in damages(found)] == [bytes(changed[start:end])]
            assert taken == len(content)
        else:  # it may still be under way
            assert (damages(found), taken) == ([], [0, *ends(content)][last])


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_junk_hides_no_append(before: bytes, after: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        content = written(Path(directory), APPENDS)
    found, taken = parse(before + content + after, finished=True)
    assert bodies(found) == APPENDS
    assert taken == len(before + content + after)
    assert sum(len(damage.content) for damage in damages(found)) == len(before + after)


def test_a_journal_is_finished_when_its_writer_is(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "box")
    writer.append((b"1",))
    (path,) = paths(tmp_path / "box")
    with reading(path) as live:
        assert not live.finished
    writer.close()
    with reading(path) as dead:
        assert dead.finished


def test_a_journal_is_finished_when_its_process_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from usage_billing.recording.journal import Writer\n"
        "writer = Writer(Path(sys.argv[1])); writer.append((b'1',)); print('written', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "box")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (path,) = paths(tmp_path / "box")
        with reading(path) as live:
            assert not live.finished
        process.send_signal(signal.SIGKILL)
    with reading(path) as dead:
        assert dead.finished
        assert bodies(dead.after(0)[0]) == [(b"1",)]


def test_a_forked_child_does_not_keep_the_journal_of_its_dead_parent_alive(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from usage_billing.recording.outbox import Outbox\n"
        "box = Outbox(sys.argv[1]); box.append(b'1')\n"
        "if os.fork(): os._exit(0)\n"
        "print('child', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "box")], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"child\n"
        process.wait(30)
        (path,) = paths(tmp_path / "box")
        with reading(path) as journal:
            assert journal.finished
        os.killpg(process.pid, signal.SIGKILL)


def test_a_reader_that_takes_a_new_file_for_a_dead_one_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the making of the file and its lock it looks like one whose writer is dead."""
    taken: list[Path] = []
    is_ours = journal_module._is_ours

    def late(file: int, new: str) -> bool:
        if len(taken) < 2:
            (path,) = paths(tmp_path / "box")
            with reading(path) as journal:
                assert journal.finished
                taken.append(path)
                if len(taken) == 1:
                    held = is_ours(file, new)  # the reader still holds the lock
                    path.unlink()
                    return held
                path.unlink()
        return is_ours(file, new)

    monkeypatch.setattr(journal_module, "_is_ours", late)
    writer = Writer(tmp_path / "box")
    writer.append((b"1",))
    (path,) = paths(tmp_path / "box")
    assert len(taken) == 2
    assert path not in taken
    with reading(path) as journal:
        assert not journal.finished
        assert bodies(journal.after(0)[0]) == [(b"1",)]
    writer.close()


def test_paths_are_those_of_this_outbox(tmp_path: Path) -> None:
    (tmp_path / f"box.1-ab{SUFFIX}").touch()
    (tmp_path / f"other.1-ab{SUFFIX}").touch()
    (tmp_path / "box.1-ab.new").touch()
    (tmp_path / "box.2-ab.journal").touch()
    assert paths(tmp_path / "box") == [tmp_path / f"box.1-ab{SUFFIX}", tmp_path / "box.2-ab.journal"]
    assert paths(tmp_path / "nowhere" / "box") == []


# ── How much waits ───────────────────────────────────────────────────────────────────────────────────────────────


def frame_of_the_version_without_counts(written_at: float, *bodies: bytes) -> bytes:
    payload = msgspec.msgpack.encode((written_at, bodies))
    return struct.pack("<4sII", b"\xf5use", zlib.crc32(payload), len(payload)) + payload


def test_what_waits_is_told_wherever_the_journal_is_cut_and_however_far_it_was_collected(tmp_path: Path) -> None:
    content = written(tmp_path, APPENDS)
    path = tmp_path / f"box.1-ab{SUFFIX}"
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        for position in (0, *ends(content)):
            found = entries(parse(content[position:cut], finished=False)[0])
            expected = sum(len(entry.bodies) for entry in found)
            assert waiting(path, position) == (expected, found[0].written_at if found else None)


@given(st.lists(st.lists(st.binary(max_size=9000), max_size=3).map(tuple), min_size=1, max_size=6), st.data())
def test_what_waits_is_told_for_events_of_any_size(appends: list[tuple[bytes, ...]], data: st.DataObject) -> None:
    """Also when the last one is larger than the part of the end that is looked at first."""
    collected = data.draw(st.integers(0, len(appends)))
    with tempfile.TemporaryDirectory() as directory:
        content = written(Path(directory), appends)
        path = Path(directory, f"box.1-ab{SUFFIX}")
        path.write_bytes(content)
        assert waiting(path, [0, *ends(content)][collected])[0] == sum(map(len, appends[collected:]))


def test_damage_hides_nothing_of_what_waits_after_it(tmp_path: Path) -> None:
    content = written(tmp_path, APPENDS)
    path = tmp_path / f"box.1-ab{SUFFIX}"
    starts = [0, *ends(content)[:-1]]
    for start, events in zip(starts, (4, 5, 4), strict=True):
        changed = bytearray(content)
        changed[start + 20] ^= 0x55
        path.write_bytes(changed)
        # A damaged event in the middle still counts until it is collected.
        assert waiting(path, 0)[0] == events


def test_a_journal_of_the_version_without_counts_is_read_and_counted(tmp_path: Path) -> None:
    path = tmp_path / f"box.1-ab{SUFFIXES[1]}"
    frames = [frame_of_the_version_without_counts(1.0, b"1"), frame_of_the_version_without_counts(2.0, b"2", b"3")]
    path.write_bytes(b"".join(frames))
    assert paths(tmp_path / "box") == [path]
    assert waiting(path, 0) == (3, 1.0)
    assert waiting(path, len(frames[0])) == (2, 2.0)
    with reading(path) as journal:
        found, _ = journal.after(0)
    assert found == [Entry(1.0, [b"1"]), Entry(2.0, [b"2", b"3"])]


def test_the_version_without_counts_does_not_find_the_new_frames() -> None:
    """It would take them for damage: it looks for files that end so."""
    assert not SUFFIX.endswith(".journal")


def test_frames_that_are_written_once_more_are_counted_once(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "box")
    writer.append((b"1",))
    (gone,) = paths(tmp_path / "box")
    writer.append((b"2", b"3"))
    gone.unlink()
    writer.close()
    (path,) = paths(tmp_path / "box")
    assert waiting(path, 0)[0] == 3


def test_an_append_that_the_garbage_collector_brings_inside_another_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(tmp_path / "box")
    writer.append((b"1",))
    encode = journal_module._encode

    def collecting(entry: object) -> bytes:
        monkeypatch.setattr(journal_module, "_encode", encode)
        payload = encode(entry)
        writer.append((b"brought", b"with it"))
        return payload

    monkeypatch.setattr(journal_module, "_encode", collecting)
    writer.append((b"2",))
    (path,) = paths(tmp_path / "box")
    assert 0 <= waiting(path, 0)[0] <= 4
    writer.append((b"3",))
    assert waiting(path, 0)[0] == 5
    writer.close()
